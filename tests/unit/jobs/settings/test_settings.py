"""The environment of a job: defaults of a laptop, demands of production, and mistakes that are told clearly."""

from __future__ import annotations

import multiprocessing
import os
from datetime import UTC, datetime, time
from pathlib import Path

import pytest
import yaml
from cryptography.fernet import Fernet

from catchup_contract.env import Env
from catchup_contract.kinds import SYNC
from catchup_jobs.adapters.files.key_file import read_or_make_key_file
from catchup_jobs.domain.planning.options import DEFAULT_OPTIONS, PlanningOptions, Strategy
from catchup_jobs.jobs.run.errors import MisconfiguredError
from catchup_jobs.settings import Settings

ROOT = Path(__file__).parents[4]
POSTGRESQL = "postgresql://catchup:s3cret@db/catchup"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Start from an environment without any of our variables."""
    for name in Env:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return monkeypatch


def test_without_settings_everything_is_in_the_users_data_directory(tmp_path: Path) -> None:
    settings = Settings.load()
    directory = tmp_path / "catchup-jobs"
    assert settings.database_url == f"sqlite:///{directory / 'catchup.db'}"
    assert settings.redis_url is None
    assert settings.is_embedded
    assert list(directory.iterdir()) == [], "a key is made only when one is needed"
    (key,) = settings.encryption_keys()
    Fernet(key)
    assert (directory / "encryption.keys").stat().st_mode & 0o777 == 0o600
    assert Settings.load().encryption_keys() == [key]


def test_postgresql_wants_redis_and_keys(environment: pytest.MonkeyPatch) -> None:
    environment.setenv(Env.DATABASE_URL, POSTGRESQL)
    settings = Settings.load()
    with pytest.raises(MisconfiguredError, match="CATCHUP_REDIS_URL"):
        _ = settings.redis_url
    with pytest.raises(MisconfiguredError, match="CATCHUP_ENCRYPTION_KEYS"):
        settings.encryption_keys()


def test_an_explicit_sqlite_file_wants_keys_but_no_redis(environment: pytest.MonkeyPatch) -> None:
    environment.setenv(Env.DATABASE_URL, "sqlite:////data/catchup.db")
    settings = Settings.load()
    assert settings.redis_url is None
    with pytest.raises(MisconfiguredError, match="CATCHUP_ENCRYPTION_KEYS"):
        settings.encryption_keys()


def test_keys_are_read_newest_first_with_any_separator(environment: pytest.MonkeyPatch) -> None:
    environment.setenv(Env.ENCRYPTION_KEYS, "new, old\noldest")
    assert Settings.load().encryption_keys() == ["new", "old", "oldest"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "  ", "\n\n"])
def test_the_newline_at_the_end_of_a_secret_is_no_part_of_any_value(environment: pytest.MonkeyPatch, end: str) -> None:
    values = {
        Env.DATABASE_URL: POSTGRESQL,
        Env.REDIS_URL: "redis://:s3cret@cache/0",
        Env.TWILIO_AUTH_TOKEN: "s3cret",
        Env.GOOGLE_CLIENT_SECRET: "s3cret",
    }
    for name, value in values.items():
        environment.setenv(name, value + end)
    environment.setenv(Env.SMTP_HOST, end)
    environment.setenv(Env.SMTP_PORT, f"587{end}")
    settings = Settings.load()
    found = (settings.database, settings.redis, settings.twilio_auth_token, settings.google_client_secret)
    assert [secret and secret.get_secret_value() for secret in found] == list(values.values())
    assert (settings.smtp_host, settings.smtp_port) == (None, 587)


def test_a_variable_that_is_not_utf8_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.setenv(Env.DATABASE_URL, "postgresql://u:s3cret\udcff@db/x")
    with pytest.raises(MisconfiguredError, match=Env.DATABASE_URL) as caught:
        Settings.load()
    assert "s3cret" not in str(caught.value)


def test_an_empty_variable_is_an_unset_one(environment: pytest.MonkeyPatch) -> None:
    for name in Env:
        environment.setenv(name, "")
    assert Settings.load().is_embedded


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (Env.TIME_ZONE, "Local"),
        (Env.TIME_ZONE, "../etc/passwd"),
        (Env.DIGEST_DAY, "Someday"),
        (Env.DIGEST_TIME, "24:00"),
        (Env.DIGEST_TIME, "9:00"),
        (Env.SYNC_EVERY, "7m"),
        (Env.DEADLINE_SECONDS, "soon"),
        (Env.DEADLINE_SECONDS, "0"),
        (Env.DEADLINE_SECONDS, "999999999999"),
        (Env.LOG_FORMAT, "xml"),
    ],
)
def test_a_wrong_value_is_named_by_its_variable_and_not_repeated(
    environment: pytest.MonkeyPatch, name: Env, value: str
) -> None:
    environment.setenv(name, f"{value}")
    with pytest.raises(MisconfiguredError, match=name) as caught:
        Settings.load()
    assert value not in str(caught.value).replace(name, "") or value == "0"


def test_the_slot_and_the_deadline_come_from_the_job(environment: pytest.MonkeyPatch) -> None:
    assert Settings.load().slot is None
    assert Settings.load().deadline_seconds(SYNC) == 600
    environment.setenv(Env.CRONJOB_NAME, "sync-ada-1a2b")
    environment.setenv(Env.JOB_NAME, "sync-ada-1a2b-29401200")
    environment.setenv(Env.DEADLINE_SECONDS, "120")
    settings = Settings.load()
    assert settings.slot == datetime.fromtimestamp(29401200 * 60, UTC)
    assert settings.deadline_seconds(SYNC) == 120


def test_secrets_do_not_show(environment: pytest.MonkeyPatch) -> None:
    environment.setenv(Env.DATABASE_URL, POSTGRESQL)
    environment.setenv(Env.REDIS_URL, "redis://:s3cret@redis")
    environment.setenv(Env.ENCRYPTION_KEYS, "s3cret")
    environment.setenv(Env.GOOGLE_CLIENT_SECRET, "s3cret")
    assert "s3cret" not in repr(Settings.load())


@pytest.mark.parametrize("text", ["new,old", "new\nold\n", "new, old", "new\r\nold\r\n"])
def test_a_key_file_is_read_as_the_variable_is(environment: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    path.chmod(0o600)
    environment.setenv(Env.ENCRYPTION_KEYS, text)
    assert read_or_make_key_file(path) == Settings.load().encryption_keys() == ["new", "old"]


def test_a_data_directory_that_cannot_be_made_is_told_with_the_way_out(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    environment.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    with pytest.raises(MisconfiguredError, match="CATCHUP_DATABASE_URL"):
        _ = Settings.load().database_url


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("key")
    path.chmod(0o640)
    with pytest.raises(MisconfiguredError, match="chmod 600"):
        read_or_make_key_file(path)


@pytest.mark.slow
def test_processes_that_make_the_key_file_at_once_get_one_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        keys = pool.map(read_or_make_key_file, [tmp_path / "keys"] * 8)
    assert len({key for (key,) in keys}) == 1
    assert os.listdir(tmp_path) == ["keys"]  # noqa: PTH208 - names are what is meant


def test_planning_is_humane_in_contact_hours_unless_said_otherwise(environment: pytest.MonkeyPatch) -> None:
    assert Settings.load().planning_options == DEFAULT_OPTIONS
    environment.setenv(Env.PLANNING_STRATEGY, "earliest")
    environment.setenv(Env.CONTACT_HOURS, "09:30-20:00")
    assert Settings.load().planning_options == PlanningOptions(Strategy.EARLIEST, time(9, 30), time(20))


def test_the_chart_sets_for_planning_what_holds_without_it() -> None:
    values = yaml.safe_load((ROOT / "helm/catchup-jobs/values.yaml").read_text(encoding="utf-8"))["planning"]
    settings = Settings.load()
    assert (values["strategy"], values["contactHours"]) == (settings.planning_strategy, settings.contact_hours)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (Env.PLANNING_STRATEGY, "latest"),
        *((Env.CONTACT_HOURS, value) for value in ("8-21", "21:00-08:00", "08:00-24:00", "08:00", "08:00-08:00", "x")),
    ],
)
def test_wrong_rules_of_planning_are_named(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)
    with pytest.raises(MisconfiguredError, match=name):
        Settings.load()


# RFC 3986, 3.2: authority = [ userinfo "@" ] host [ ":" port ], with a numeric port of RFC 6335.
@pytest.mark.parametrize("name", [Env.GOOGLE_API_ENDPOINT, Env.GOOGLE_TOKEN_URI, Env.GOOGLE_AUTH_URI])
@pytest.mark.parametrize(
    "value",
    [
        *(
            "www.googleapis.com/calendar/v3/",
            "ftp://x/calendar/v3/",
            "http://x:port/",
            "http://x y/",
            "http://x:99999/",
        ),
        *("https:///v3/", "http://[::1/", "http://x:0/", "//x/", "http:x"),
    ],
)
def test_an_endpoint_that_no_client_could_ask_is_refused_and_not_repeated(
    environment: pytest.MonkeyPatch, name: Env, value: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(MisconfiguredError, match=name) as caught:
        Settings.load()
    assert value not in str(caught.value)
