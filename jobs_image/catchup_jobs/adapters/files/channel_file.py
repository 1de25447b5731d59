"""The `channels` of a user in the JSON file of `catchup-jobs user import`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, model_validator

from catchup_jobs.adapters.files.fields import Entry, PastInstant
from catchup_jobs.domain.digest.addresses import GivenAddress, is_email, with_ascii_domain
from catchup_jobs.domain.digest.channels import EMAIL, SMS
from catchup_jobs.domain.stored_enums import ChannelMode


def _e164(text: str) -> str:
    # 60 ms of CPU that only imports with a number pay.
    import phonenumbers  # noqa: PLC0415

    wrong = "must be a phone number with its country, such as +44 7700 900123"
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        raise ValueError(wrong) from None
    # Possible, not valid: whether a number is in use, the provider knows better than a list of ranges.
    if not phonenumbers.is_possible_number(number) or number.extension:
        raise ValueError(wrong)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _email(text: str) -> str:
    address = with_ascii_domain(text)
    if not is_email(address):
        raise ValueError(
            "must be an email address such as ada@example.com or ada@bücher.example: plain letters before the @, and a"
            " domain by IDNA 2008"
        )
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.lower()}"


class _Sms(Entry):
    phone: Annotated[str, Field(max_length=40), AfterValidator(_e164)]
    mode: Literal["off", "on"] = "on"
    consent: StrictBool | None = None
    consent_at: PastInstant | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.consent is False and self.consent_at is not None:
            raise ValueError("has a `consentAt` although `consent` is false")
        return self

    def given(self) -> GivenAddress:
        consented = True if self.consent_at is not None else self.consent
        return GivenAddress(SMS, self.phone, ChannelMode(self.mode), consented, self.consent_at)


class _EmailAddress(Entry):
    address: Annotated[str, AfterValidator(_email)]
    mode: ChannelMode = ChannelMode.FALLBACK
    # Emails need none; one that is later than an unsubscription ends that.
    consent_at: PastInstant | None = None

    def given(self) -> GivenAddress:
        consented = True if self.consent_at is not None else None
        return GivenAddress(EMAIL, self.address, self.mode, consented, self.consent_at)


class ChannelsEntry(Entry):
    """How the user is reached; a channel that is not there is removed."""

    sms: _Sms | None = None
    email: _EmailAddress | None = None

    def given(self) -> tuple[GivenAddress, ...]:
        """Return the addresses."""
        return tuple(entry.given() for entry in (self.sms, self.email) if entry is not None)
