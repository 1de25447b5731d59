"""Channels in the environment: nothing, half, wrong and whole."""

from __future__ import annotations

import pytest

from catchup_contract.env import Env
from catchup_jobs.jobs.run.errors import MisconfiguredError
from catchup_jobs.settings import Settings

TWILIO = {Env.TWILIO_ACCOUNT_SID: "AC0", Env.TWILIO_AUTH_TOKEN: "s3cret", Env.TWILIO_FROM: "+15550100000"}
SMTP = {Env.SMTP_HOST: "mail", Env.SMTP_FROM: "CatchUp <digest@example.com>"}


def load(monkeypatch: pytest.MonkeyPatch, values: dict[Env, str]) -> Settings:
    for name in Env:
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return Settings.load()


def test_nothing_set_is_not_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, {})
    assert not settings.require_twilio()
    assert not settings.require_smtp()
    assert settings.action_base_url is None


def test_an_empty_value_is_as_if_it_were_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = dict.fromkeys([*TWILIO, *SMTP, Env.SMTP_PORT, Env.ACTION_BASE_URL, Env.SMTP_SECURITY], "")
    settings = load(monkeypatch, empty)
    assert not settings.require_twilio()
    assert not settings.require_smtp()


def test_whole_configurations_are_taken_and_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, TWILIO | SMTP | {Env.SMTP_USERNAME: "u", Env.SMTP_PASSWORD: "s3cret"})
    assert settings.require_twilio()
    assert settings.require_smtp()
    assert "s3cret" not in repr(settings)


def test_a_messaging_service_takes_the_place_of_a_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    values: dict[Env, str] = {name: value for name, value in TWILIO.items() if name is not Env.TWILIO_FROM}
    assert load(monkeypatch, values | {Env.TWILIO_MESSAGING_SERVICE_SID: "MG0"}).require_twilio()


@pytest.mark.parametrize("missing", TWILIO)
def test_half_of_twilio_is_misconfigured(monkeypatch: pytest.MonkeyPatch, missing: Env) -> None:
    settings = load(monkeypatch, {name: value for name, value in TWILIO.items() if name is not missing})
    with pytest.raises(MisconfiguredError, match=missing):
        settings.require_twilio()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({Env.SMTP_HOST: "mail"}, Env.SMTP_FROM),
        (SMTP | {Env.SMTP_USERNAME: "u"}, Env.SMTP_PASSWORD),
        (SMTP | {Env.SMTP_PASSWORD: "p"}, Env.SMTP_USERNAME),
    ],
)
def test_half_of_a_mail_server_is_misconfigured(
    monkeypatch: pytest.MonkeyPatch, values: dict[Env, str], named: Env
) -> None:
    with pytest.raises(MisconfiguredError, match=named):
        load(monkeypatch, values).require_smtp()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (Env.SMTP_PORT, "many"),
        (Env.SMTP_PORT, "0"),
        (Env.SMTP_SECURITY, "ssl"),
        (Env.SMTP_FROM, "somebody"),
        (Env.SMTP_FROM, "digest@example.com\nBcc: eve@example.com"),
        (Env.SMTP_FROM, "CatchUp, Inc. <digest@example.com>"),
        (Env.SMTP_FROM, "a@b@x"),
        (Env.SMTP_FROM, "=?utf-8?q?ada?=@example.com"),
        (Env.ACTION_BASE_URL, "app.invalid"),
        (Env.ACTION_BASE_URL, "ftp://app.example.com"),
        (Env.ACTION_BASE_URL, "https://app.example.com/?a=b"),
        (Env.ACTION_BASE_URL, "https://app.example.com/" + "x" * 100),
        (Env.ACTION_BASE_URL, "https://app.example.com/><"),
        (Env.CONNECT_URL, "app.invalid"),
        (Env.CONNECT_URL, "javascript:alert(1)"),
        (Env.CONNECT_URL, "https://app.example.com/" + "x" * 100),
        (Env.CONNECT_URL, 'https://app.example.com/"><'),
        (Env.TWILIO_API_BASE_URL, "double:8971"),
        (Env.TWILIO_ACCOUNT_SID, "AC 0"),
        (Env.TWILIO_AUTH_TOKEN, "pässwörd"),
        (Env.TWILIO_FROM, "CatchUpDigests"),
        (Env.TWILIO_FROM, "Catch\u202eUp"),
        (Env.SMTP_HOST, "mail example"),
        (Env.SMTP_PASSWORD, "a\x07b"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: Env, value: str
) -> None:
    with pytest.raises(MisconfiguredError, match=name) as caught:
        load(monkeypatch, {name: value})
    assert value not in str(caught.value).replace(name, "")


@pytest.mark.parametrize("sender", ["+15550100000", "15550", "CatchUp", "Catch Up 24", "whatsapp:+15550100000"])
def test_a_number_a_short_code_and_a_name_can_send(monkeypatch: pytest.MonkeyPatch, sender: str) -> None:
    assert load(monkeypatch, TWILIO | {Env.TWILIO_FROM: sender}).twilio_from == sender


@pytest.mark.parametrize(
    ("sender", "replies"),
    [("+15550100000", True), ("15550", True), ("whatsapp:+15550100000", True), ("CatchUp", False), ("Catch 22", False)],
)
def test_a_name_takes_no_reply(monkeypatch: pytest.MonkeyPatch, sender: str, replies: bool) -> None:
    assert load(monkeypatch, TWILIO | {Env.TWILIO_FROM: sender}).sms_takes_replies is replies


def test_the_line_break_at_the_end_of_a_secret_is_not_a_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {Env.TWILIO_AUTH_TOKEN: "s3cret\n", Env.SMTP_PASSWORD: "p\u00e4ss w\u00f6rd\r\n"}
    settings = load(monkeypatch, TWILIO | SMTP | secrets)
    assert settings.twilio_auth_token is not None
    assert settings.smtp_password is not None
    assert settings.twilio_auth_token.get_secret_value() == "s3cret"
    assert settings.smtp_password.get_secret_value() == "p\u00e4ss w\u00f6rd"


def test_the_address_to_connect_by_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "https://app.example.com/settings/?tab=calendar#google"
    assert load(monkeypatch, {Env.CONNECT_URL: address}).connect_url == address
    assert load(monkeypatch, {Env.CONNECT_URL: ""}).connect_url is None


def test_an_action_base_url_needs_no_slash_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, {Env.ACTION_BASE_URL: "https://app.example.com/act/"})
    assert settings.action_base_url == "https://app.example.com/act"
