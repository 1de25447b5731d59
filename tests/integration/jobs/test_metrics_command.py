"""`catchup-jobs metrics` as Prometheus meets it: a process with a real PostgreSQL and a real Redis."""

from __future__ import annotations

import http.client
import re
import signal
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from integration.jobs.test_cli import Shell
from integration.jobs.test_runs_listing import end, run
from integration.services import RedisServer, free_port
from scraping import samples, scraped
from waiting import eventually

from catchup_contract.outcomes import Reason
from catchup_dev.doubles.smtp.certificate import make
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.redis.quota import RedisQuota

MAIN = "from catchup_jobs.cli import main; main()"


@pytest.fixture
def shell(tmp_path: Path, database: Database, redis_url: str) -> Shell:
    shell = Shell(tmp_path)
    shell.environment |= {
        "CATCHUP_DATABASE_URL": database.engine.url.render_as_string(hide_password=False),
        "CATCHUP_REDIS_URL": redis_url,
    }
    return shell


@contextmanager
def serving(shell: Shell, *options: str, **env: str) -> Iterator[str]:
    """Run the exporter; yield its address. It ends by SIGTERM, as a pod does, with 0."""
    process = shell.start(MAIN, "metrics", "--port", "0", "--listen", "127.0.0.1", "--every", "0", *options, env=env)
    assert process.stderr is not None
    try:
        lines = iter(process.stderr.readline, "")
        port = next(found[1] for line in lines if (found := re.fullmatch(r"serving metrics on port (\d+)\n", line)))
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


def test_a_scrape_tells_what_fails_and_what_the_services_answer(shell: Shell, database: Database) -> None:
    end(database, run(), reason=Reason.MISCONFIGURED)
    with serving(shell) as address:
        found = scraped(f"{address}/metrics")
    assert found["catchup_runs_failing{kind=sync,reason=misconfigured}"] == 1
    assert found["catchup_run_duration_seconds_count{kind=sync,outcome=failed,reason=misconfigured}"] == 1
    assert found["catchup_service_up{service=database}"] == found["catchup_service_up{service=redis}"] == 1
    assert found["catchup_google_quota_used_ratio"] == 0
    assert found["process_resident_memory_bytes"] > 0


def test_without_its_services_it_says_so_tells_no_old_number_and_goes_on_when_they_are_back(
    shell: Shell, database: Database
) -> None:
    own = RedisServer()
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    with serving(shell, CATCHUP_REDIS_URL=own.url, CATCHUP_DATABASE_URL=nowhere) as address:
        found = scraped(f"{address}/metrics")
        assert (found["catchup_service_up{service=database}"], found["catchup_service_up{service=redis}"]) == (0, 0)
        assert not [name for name in found if name.startswith(("catchup_runs", "catchup_google"))]
        assert urllib.request.urlopen(f"{address}/healthz", timeout=5).status == 200
        own.start()
        try:
            eventually(lambda: scraped(f"{address}/metrics")["catchup_service_up{service=redis}"] == 1)
        finally:
            own.stop()
        assert scraped(f"{address}/metrics")["catchup_service_up{service=redis}"] == 0


def test_the_quota_is_told_as_the_share_of_the_bucket_that_is_used(shell: Shell, redis_url: str) -> None:
    env = {"CATCHUP_GOOGLE_PROJECT_QUOTA": "100"}
    quota = RedisQuota.open(redis_url, "ada", project=100, user=1000, day=10**6)
    for _ in range(1000):  # a fifth of a minute's quota may be used at once: 20. The others wait for ten minutes
        quota.reserve()
    quota.close()
    code, output, _ = shell.run("metrics", "--once", env=env)
    assert code == 0
    assert 1 < samples(output)["catchup_google_quota_used_ratio"] <= 50


def test_it_answers_nothing_but_metrics_and_health_and_takes_no_port_of_others(shell: Shell) -> None:
    with serving(shell) as address:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{address}/", timeout=5)
        assert refused.value.code == 404
        refused.value.close()
        port = address.rpartition(":")[2]
        code, _, errors = shell.run("metrics", "--port", port, "--listen", "127.0.0.1")
    assert code == 78
    assert port in errors


def test_with_a_certificate_it_speaks_https_only_and_without_one_it_names_the_folder(
    shell: Shell, tmp_path: Path
) -> None:
    folder = tmp_path / "certificate"
    code, _, errors = shell.run("metrics", "--port", "0", "--tls", str(folder))
    assert code == 78
    assert f"tls.crt and tls.key in {folder} cannot be read" in errors
    certificate, key = make(folder, ["127.0.0.1"])
    certificate.rename(folder / "tls.crt")
    key.rename(folder / "tls.key")
    with serving(shell, "--tls", str(folder)) as address:
        trusting = ssl.create_default_context(cafile=folder / "tls.crt")
        secure = address.replace("http:", "https:")
        assert scraped(f"{secure}/metrics", trusting)["catchup_service_up{service=redis}"] == 1
        with pytest.raises((OSError, http.client.HTTPException)):
            urllib.request.urlopen(f"{address}/metrics", timeout=30)
        with urllib.request.urlopen(f"{secure}/healthz", timeout=30, context=trusting) as reply:
            assert reply.status == 200


def test_no_job_and_no_other_command_imports_the_client_of_prometheus(shell: Shell) -> None:
    listing = (
        "import sys, atexit; atexit.register(lambda: print([name for name in sys.modules if 'prometheus' in name]));"
        "from catchup_jobs.cli import main; main()"
    )
    for arguments in (("sync", "--user", "ada"), ("digest", "--user", "ada"), ("suggestions",), ("runs", "list")):
        process = shell.start(listing, *arguments)
        output, _ = process.communicate(timeout=120)
        assert output.splitlines()[-1] == "[]", arguments
