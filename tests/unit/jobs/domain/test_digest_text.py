"""What a digest says, by SMS and by email, whatever a name holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catchup_jobs.domain.digest.email_text import EmailDigest, entries_of
from catchup_jobs.domain.digest.formatting import contact_time, long_time, short_time, zone_name
from catchup_jobs.domain.digest.gsm7 import is_gsm7, length, segments
from catchup_jobs.domain.digest.items import DigestItem
from catchup_jobs.domain.digest.sms_text import MAX_SEGMENTS, compose
from catchup_jobs.domain.text import clean

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 11, 29, 13, tzinfo=UTC)
REASON = "42 days since you last met; you aim for monthly; both like climbing"
LINK = "https://app.example.com/catchup/AWEAAAAAAAAAEQHDmggxVdlhgyFDXXdc9_1kZ2ab"


def item(number: int = 1, name: str = "Ben", *, zone: str | None = None, reason: str = REASON) -> DigestItem:
    start = START + timedelta(days=number - 1)
    return DigestItem(number, name, start, start + timedelta(hours=1), "call", reason, zone)


def items(count: int, name: str = "Ben") -> list[DigestItem]:
    return [item(number, f"{name} {number}") for number in range(1, count + 1)]


# The SMS ----------------------------------------------------------------------------------------------------------


def test_an_entry_of_an_sms_has_name_time_zone_reason_and_how_to_act() -> None:
    text = compose([item()], BERLIN, code="K7Q2P9")
    assert "Ben Sun 29 Nov 14:00 CET, call: 42 days since you last met; you aim for monthly; both like climbing" in text
    assert "Accept, dismiss or snooze in CatchUp" in text
    assert "#K7Q2P9" in text
    assert "http" not in text


def test_with_a_link_the_sms_says_where_to_act() -> None:
    assert LINK in compose([item()], BERLIN, code="K7Q2P9", link=LINK)


def test_the_contacts_clock_is_shown_where_it_differs() -> None:
    assert "14:00 CET (08:00 EST there)" in compose([item(zone="America/New_York")], BERLIN, code="K7Q2P9")
    assert "there" not in compose([item(zone="Europe/Paris")], BERLIN, code="K7Q2P9")
    assert "there" not in compose([item(zone="No/Zone")], BERLIN, code="K7Q2P9")


def test_another_date_on_the_contacts_clock_is_named() -> None:
    late = DigestItem(1, "Ben", START + timedelta(hours=6), START + timedelta(hours=7), "call", "", "Asia/Tokyo")
    assert short_time(late, BERLIN) == "Sun 29 Nov 20:00 CET (Mon 30 Nov 04:00 JST there)"
    assert contact_time(late, BERLIN) == "Monday 30 November, 04:00 JST for Ben"


@pytest.mark.parametrize(
    ("zone", "name"),
    [
        ("Europe/Berlin", "CET"),
        ("Etc/UTC", "UTC"),
        ("Asia/Dubai", "UTC+4"),
        ("Asia/Kathmandu", "UTC+5:45"),
        ("America/Sao_Paulo", "UTC-3"),
        ("Australia/Lord_Howe", "UTC+11"),
    ],
)
def test_a_zone_without_a_name_is_shown_by_its_offset(zone: str, name: str) -> None:
    assert zone_name(START, ZoneInfo(zone)) == name


def test_the_zone_is_that_of_the_proposed_day_not_of_today() -> None:
    summer = DigestItem(
        1, "Ben", datetime(2026, 7, 1, 12, tzinfo=UTC), datetime(2026, 7, 1, 13, tzinfo=UTC), "call", ""
    )
    assert "14:00-15:00 CEST" in long_time(summer, BERLIN)


def test_a_digest_is_one_sms_of_two_segments_and_the_rest_by_its_count() -> None:
    text = compose(items(12), BERLIN, code="K7Q2P9")
    named = sum(f"Ben {number} " in text for number in range(1, 13))
    assert f"+{12 - named} more" in text
    assert named >= 7
    assert segments(text) == MAX_SEGMENTS
    assert length(text) <= 306


def test_people_are_named_before_reasons_are_given() -> None:
    text = compose(items(3), BERLIN, code="K7Q2P9", link=LINK)
    for number, when in enumerate(("Sun 29 Nov 14:00", "Mon 30 Nov 14:00", "Tue 1 Dec 14:00"), 1):
        assert f"Ben {number} {when} CET, call" in text
    assert LINK in text
    assert "more" not in text
    assert segments(text) == MAX_SEGMENTS
    assert "42 days" in text  # what is left goes to the first reasons


@given(st.integers(1, 20), st.integers(1, 40), st.sampled_from([None, LINK]))
def test_no_reason_and_no_link_takes_the_place_of_a_person(count: int, length_of_name: int, link: str | None) -> None:
    of = items(count, "x" * length_of_name)
    bare = compose([item(number, each.contact, reason="") for number, each in enumerate(of, 1)], BERLIN, code="K7Q2P9")
    told = compose(of, BERLIN, code="K7Q2P9", link=link)
    assert told.count(", call") == bare.count(", call")
    assert link is None or link in told or "days" not in told


@pytest.mark.parametrize("link", [None, LINK])
@pytest.mark.parametrize("count", [1, 3, 12])
def test_a_sender_that_cannot_receive_stop_says_how_else_to_stop(count: int, link: str | None) -> None:
    text = compose(items(count), BERLIN, code="K7Q2P9", link=link, takes_replies=False)
    assert "STOP" not in text
    assert " or stop" in text
    assert segments(text) <= MAX_SEGMENTS


@pytest.mark.parametrize("name", ["Conan O\u2019Brien", "Ben \u2013 \u201cB\u201d", "Ben\u2026", "Ben\u00a0B"])
def test_typographic_punctuation_does_not_halve_the_message(name: str) -> None:
    assert is_gsm7(compose([item(1, name)], BERLIN, code="K7Q2P9"))


def test_what_fits_is_said_whole_before_anything_is_left_out() -> None:
    whole = compose(items(1), BERLIN, code="K7Q2P9")
    assert REASON in whole
    shorter = compose(items(3), BERLIN, code="K7Q2P9")
    assert "42 days since you last met" in shorter
    assert "climbing" not in shorter
    assert "more" not in shorter


@pytest.mark.parametrize("name", ["Łukasz Żółć", "山田太郎", "Zoë 😀", "José Muñoz ç"])
@pytest.mark.parametrize("link", [None, LINK])
def test_names_outside_of_the_gsm_alphabet_stay_as_they_are_within_two_segments(name: str, link: str | None) -> None:
    text = compose(items(5, name), BERLIN, code="K7Q2P9", link=link)
    assert not is_gsm7(text)
    assert length(text) <= 134
    assert name in text
    assert "#K7Q2P9" in text


def test_the_mark_of_a_shortened_title_does_not_cost_the_gsm_alphabet() -> None:
    text = compose([item(reason='you have "A very long tit\u2026" then; both like tea')], BERLIN, code="K7Q2P9")
    assert "A very long tit..." in text
    assert is_gsm7(text)


def test_a_clause_that_alone_would_halve_the_message_is_left_out() -> None:
    text = compose(
        [item(reason="both like \u0448\u0430\u0445\u043c\u0430\u0442\u044b; 42 days since you last met")],
        BERLIN,
        code="K7Q2P9",
    )
    assert "call: 42 days since you last met" in text
    assert is_gsm7(text)


def test_a_long_link_is_given_up_before_the_segments_are() -> None:
    text = compose(items(3, "山田太郎"), BERLIN, code="K7Q2P9", link="https://example.com/" + "x" * 130)
    assert "http" not in text
    assert segments(text) <= MAX_SEGMENTS


NASTY = {
    "line breaks": "Ben\r\nBcc: eve@example.com\n\nSTOP",
    "html": "<script>alert(1)</script>",
    "emoji": "👨‍👩‍👧‍👦" * 40,
    "10 kB": "x" * 10_000,
    "10 kB of CJK": "山" * 10_000,
    "right-to-left override": "Ben\u202egnp.exe",
    "control characters": "Ben\x00\x07\x1b[31m",
    "only spaces and marks": "\u200b\u2028 \u00ad",
}


@pytest.mark.parametrize("name", NASTY.values(), ids=NASTY.keys())
@pytest.mark.parametrize("link", [None, LINK])
def test_no_name_breaks_out_of_its_line_or_of_the_segments(name: str, link: str | None) -> None:
    text = compose([item(1, name, reason=name), item(2, name)], BERLIN, code="K7Q2P9", link=link)
    assert segments(text) <= MAX_SEGMENTS
    assert len(text) <= 1600  # Twilio refuses more (error 21617)
    assert "#K7Q2P9" in text
    assert not any(line.startswith(("Bcc", "STOP")) for line in text.splitlines())
    assert not {"\r", "\u202e", "\x00", "\x1b"} & set(text)


@given(st.lists(st.text(max_size=300), min_size=1, max_size=50), st.booleans())
def test_any_digest_fits_two_segments(names: list[str], linked: bool) -> None:
    many = [item(number, name, zone="Asia/Kathmandu", reason=name) for number, name in enumerate(names, 1)]
    assert segments(compose(many, BERLIN, code="K7Q2P9", link=LINK if linked else None)) <= MAX_SEGMENTS


@given(st.text(max_size=400), st.integers(10, 80))
def test_a_cleaned_text_is_one_line_within_its_limit_and_cleaning_again_changes_nothing(text: str, limit: int) -> None:
    cleaned = clean(text, limit)
    assert len(cleaned) <= limit
    assert len(cleaned.splitlines()) <= 1
    assert clean(cleaned, limit) == cleaned


def test_a_name_that_shows_nothing_is_a_contact() -> None:
    assert "a contact Sun 29 Nov" in compose([item(1, "\u200b \u00ad")], BERLIN, code="K7Q2P9")


# The email --------------------------------------------------------------------------------------------------------


def email(*of: DigestItem, links: bool = False) -> EmailDigest:
    by_id = {each.suggestion_id: dict.fromkeys(("accept", "snooze", "dismiss"), LINK) for each in of} if links else {}
    unsubscribe = LINK if links else None
    return EmailDigest("Ada", entries_of(of, BERLIN, by_id), "every Sunday at 09:00 (Europe/Berlin)", unsubscribe)


def test_an_entry_of_an_email_has_name_time_zone_reason_and_how_to_act() -> None:
    text = email(item(zone="America/New_York")).text()
    assert "Ben\n  Sunday 29 November, 14:00-15:00 CET\n  (08:00 EST for Ben)\n  Call: 42 days" in text
    assert "open CatchUp" in text
    assert "every Sunday at 09:00 (Europe/Berlin)" in text


def test_with_links_each_entry_can_be_answered_and_without_there_are_none() -> None:
    text = email(item(), links=True).text()
    assert all(f"{action}: {LINK}" in text for action in ("Accept", "Snooze", "Dismiss"))
    assert f"To stop these emails: {LINK}" in text
    assert "http" not in email(item()).text()


@pytest.mark.parametrize(
    ("count", "subject"),
    [
        (1, "Catch up with Ben 1"),
        (2, "Catch up with Ben 1 and Ben 2"),
        (5, "Catch up with Ben 1, Ben 2 and 3 more"),
    ],
)
def test_the_subject_names_people(count: int, subject: str) -> None:
    assert email(*items(count)).subject == subject


@pytest.mark.parametrize("name", NASTY.values(), ids=NASTY.keys())
def test_no_name_breaks_out_of_the_subject(name: str) -> None:
    subject = email(item(1, name), item(2, name), item(3, name)).subject
    assert len(subject) < 130
    assert len(subject.splitlines()) == 1


def test_an_item_survives_being_frozen() -> None:
    frozen = item(zone="Asia/Tokyo")
    assert DigestItem.from_json(frozen.to_json()) == frozen
