"""The schema of the chart's values beside what reads them: each rule refuses something, and what a pod would refuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from integration.operator.chart_rendering import EVERYTHING, job_template, pod_templates, render
from integration.operator.conftest import CHART, Namespace
from integration.operator.test_chart_values import template
from integration.operator.value_cases import BAD, BAD_TOGETHER, GOOD, OF_THE_CHART, ONLY_THE_CHARTS, READ

from catchup_contract.env import Env
from catchup_dev.generate import chart
from catchup_dev.generate.value_rules import RULES
from catchup_jobs.adapters.google.proxy import http_proxy
from catchup_jobs.jobs.run.errors import MisconfiguredError
from catchup_jobs.settings import Settings
from catchup_operator.options import InvalidOptionError, Options

# The tests of the chart share one API server, those of the operator two others.
pytestmark = pytest.mark.xdist_group("chart")


def _values_of_rules() -> dict[str, str]:
    """The rule of each value that has one, by the value's path."""
    paths = [value.path for value in chart.values((CHART / "values.yaml").read_text())]
    found = {path: path if path in RULES else path.rpartition(".")[2] for path in paths}
    return {path: rule for path, rule in found.items() if rule in RULES}


def test_every_rule_is_of_some_value_and_has_what_it_refuses() -> None:
    assert set(_values_of_rules().values()) == RULES.keys() == BAD.keys()


def _nested(path: str, value: Any) -> dict[str, Any]:
    for part in reversed(path.split(".")):
        value = {part: value}
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("rule", BAD)
def test_what_a_rule_refuses_helm_refuses_by_the_values_name(helm: Path, rule: str) -> None:
    path = next(path for path, of in _values_of_rules().items() if of == rule)
    for value in BAD[rule]:
        done = template(helm, _nested(path, value))
        assert done.returncode != 0, value
        # A name that is none is said of its map's names.
        assert f"at '/{path.replace('.', '/')}" in done.stderr or "invalid propertyName" in done.stderr, value


# What a value needs beside it.
WITH: dict[str, dict[str, str]] = {
    "smtp.host": {"smtp.from": "digest@example.com"},
    "smtp.from": {"smtp.host": "mail.test"},
    "twilio.from": {"twilio.existingSecret": "twilio"},
    "twilio.messagingServiceSid": {"twilio.existingSecret": "twilio"},
}


def _cases() -> Iterator[tuple[str, Any, bool]]:
    for path in READ:
        yield from ((path, value, True) for value in GOOD[path])
        rule = _values_of_rules()[path]
        bad = (*BAD[rule], *BAD_TOGETHER.get(path, ()))
        # An empty variable counts as none.
        yield from ((path, value, False) for value in bad if value not in ("", *ONLY_THE_CHARTS.get(rule, ())))


@pytest.mark.parametrize("case", [*_cases()], ids=str)
def test_the_chart_refuses_what_a_pod_would_refuse_and_takes_what_it_takes(
    helm: Path, monkeypatch: pytest.MonkeyPatch, case: tuple[str, Any, bool]
) -> None:
    path, value, right = case
    if right or value in BAD_TOGETHER.get(path, ()):  # the others are in the table of rules
        values = _nested(path, value)
        for other, with_value in WITH.get(path, {}).items():
            section, name = other.split(".")
            values[section][name] = with_value
        done = template(helm, values)
        assert (done.returncode == 0) is right, done.stderr
    variable = READ[path]
    if variable in {"HTTP_PROXY", "HTTPS_PROXY"}:
        accepted = _accepts(lambda: http_proxy(value), MisconfiguredError)
    elif isinstance(variable, Env):
        monkeypatch.setenv(variable, str(value))
        accepted = _accepts(Settings.load, MisconfiguredError)
    else:
        accepted = _accepts(lambda: Options.from_env({variable: str(value)}), InvalidOptionError)
    assert accepted is right


def test_every_variable_that_a_value_becomes_is_compared_with_what_reads_it(helm: Path, namespace: Namespace) -> None:
    values = {
        **EVERYTHING,
        "proxy": {"http": "http://p:1", "https": "http://p:1", "noProxy": "x"},
        "tracing": {"endpoint": "http://collector:4318"},
        "google": {**EVERYTHING["google"], "tokenUri": "http://google.test/token"},
        "metrics": {"enabled": True, "tls": {"existingSecret": "tls"}},
    }
    documents = render(helm, namespace, values)
    containers = [pod["spec"]["containers"][0] for _, pod in pod_templates(documents)] + [job_template(documents)]
    found = {entry["name"] for each in containers for entry in each.get("env", ()) if "value" in entry}
    assert found - OF_THE_CHART == {str(variable) for variable in READ.values()}


def _accepts(read: Any, refusal: type[Exception]) -> bool:
    try:
        read()
    except refusal:
        return False
    return True
