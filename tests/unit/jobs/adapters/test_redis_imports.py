"""What the client of Redis brings into each pod."""

from __future__ import annotations

import subprocess
import sys

import pytest

_LISTING = "import sys; {imports}; print(*sorted(name for name in sys.modules if name.startswith('opentelemetry.')))"


def loaded(imports: str) -> list[str]:
    command = [sys.executable, "-c", _LISTING.format(imports=imports)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("module", ["locks", "quota", "progress", "client"])
def test_nothing_of_opentelemetry_is_imported_for_redis(module: str) -> None:
    assert loaded(f"import catchup_jobs.adapters.redis.{module}") == []


def test_traces_can_be_made_before_and_after() -> None:
    redis, traces = "import catchup_jobs.adapters.redis.locks", "import opentelemetry.sdk.trace"
    assert "opentelemetry.sdk.trace" in loaded(f"{redis}; {traces}")
    assert "opentelemetry.sdk.trace" in loaded(f"{traces}; {redis}")
