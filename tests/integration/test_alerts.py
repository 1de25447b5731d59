"""The alerting rules of the chart: each fires, clears by itself, and has a runbook. `promtool` is the judge."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client.core import Metric
from prometheus_client.registry import CollectorRegistry

from catchup_contract.outcomes import ASKS_SOMEBODY, Reason
from catchup_contract.trouble import SHARED_PART
from catchup_jobs.adapters.database.metrics.backlog import _RUNS_MAX
from catchup_jobs.adapters.database.metrics.pools import _TROUBLED_RUNS
from catchup_operator.instruments import Instruments

ROOT: Final = Path(__file__).parents[2]
RULES: Final = ROOT / "helm/catchup-jobs/files/alerts.yaml"
STORIES: Final = ROOT / "tests/alerts/stories.yaml"
PARTS: Final = ["Meaning", "Impact", "Look", "Mend", "Clear", "Prevent"]
ALERTS: Final[list[dict[str, Any]]] = [
    rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
]
NAMES: Final = [rule["alert"] for rule in ALERTS]


def promtool(*arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_accepts_the_rules() -> None:
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", str(RULES))


def test_the_stories_of_all_alerts_hold() -> None:
    promtool("test", "rules", str(STORIES))


@pytest.mark.parametrize("name", NAMES)
def test_each_alert_has_a_story_in_which_it_fires_and_then_clears(name: str) -> None:
    told = [
        bool(step.get("exp_alerts"))
        for story in yaml.safe_load(STORIES.read_text())["tests"]
        for step in sorted(story["alert_rule_test"], key=lambda step: _minutes(step["eval_time"]))
        if step["alertname"] == name
    ]
    assert True in told
    assert told[-1] is False, "the last step of a story is that it has cleared"


def _minutes(text: str) -> int:
    return sum(int(number) * {"h": 60, "m": 1}[unit] for number, unit in re.findall(r"(\d+)([hm])", text))


@pytest.mark.parametrize("rule", ALERTS, ids=NAMES)
def test_each_alert_says_what_how_bad_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert {"summary", "description", "runbook_url"} == rule["annotations"].keys()
    page = ROOT / rule["annotations"]["runbook_url"]
    assert page.stem == rule["alert"]
    assert re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE) == PARTS


def test_every_runbook_is_of_an_alert() -> None:
    assert {page.stem for page in (ROOT / "docs/runbooks").glob("CatchUp*.md")} == set(NAMES)


def served() -> set[str]:
    """Return the names of all samples that the operator and the exporter may serve."""
    operator, exporter = (
        ROOT / path
        for path in ("operator/catchup_operator/ops/metrics.py", "jobs_image/catchup_jobs/adapters/exporter")
    )
    texts = {
        "catchup_operator_": operator.read_text(),
        "catchup_": "".join(path.read_text() for path in exporter.glob("*.py")),
    }
    words = {prefix + word for prefix, text in texts.items() for word in re.findall(r'"([a-z_]+)"', text)}
    return words | {metric.name for metric in _instruments()}


def _instruments() -> list[Metric]:
    registry: CollectorRegistry = Instruments().registry
    return list(registry.collect())


def test_the_numbers_and_reasons_of_the_rules_are_those_of_the_code() -> None:
    text = RULES.read_text()
    # Where as many runs fail as are read at most, a part of the users is no measure.
    bounds = [int(number) for number in re.findall(r">= (\d{4,})", text)]
    assert len(bounds) == 2
    assert all(0.5 * most < bound < most for bound in bounds for most in (_RUNS_MAX, _TROUBLED_RUNS))
    shares = re.findall(r"(0\.\d+) \* max by \(namespace, pool\) \(catchup_pool_members\)", text)
    assert [float(share) for share in shares] == [SHARED_PART] * 2
    exempt = re.findall(r'catchup_pool_members_failing{reason!~"([^"]+)"', text)
    assert len(exempt) == 3
    assert set(exempt) == {"reconnect|not_connected|no_channel"}
    assert {Reason(reason) for reason in exempt[0].split("|")} <= ASKS_SOMEBODY


@pytest.mark.parametrize("rule", ALERTS, ids=NAMES)
def test_each_alert_asks_only_for_metrics_that_are_served(rule: dict[str, Any]) -> None:
    asked = set(re.findall(r"\bcatchup_[a-z_]+", rule["expr"]))
    assert asked
    assert asked <= served()
