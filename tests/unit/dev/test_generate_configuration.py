from __future__ import annotations

import pytest

from catchup_contract.env import Env
from catchup_contract.outcomes import ExitCode
from catchup_dev.cluster.layout import CHECKOUT
from catchup_dev.generate import configuration
from catchup_jobs.settings import Settings
from catchup_operator.cli import run
from catchup_operator.options import VARIABLES


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_says_what_it_is(name: str) -> None:
    assert Settings.model_fields[name].description


def test_every_variable_of_the_contract_is_on_the_page() -> None:
    page = configuration.page()
    assert [name for name in Env if f"`{name}`" not in page] == []


def test_the_architecture_says_of_each_exit_code_what_the_page_says() -> None:
    table = (CHECKOUT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = [row for row in configuration.page().splitlines() if row.startswith("| exit code ")]
    assert len(rows) == len(ExitCode)
    assert [row for row in rows if f"\n{row.replace('exit code ', '')}" not in table] == []


def test_the_operators_help_names_every_variable() -> None:
    assert run.help is not None
    assert [name for name, _, _ in VARIABLES if name not in run.help] == []
