"""From numbers to Prometheus' metric families: names, units and words. No label grows with the number of users."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily

from catchup_contract.cadence import MISSED_SYNCS
from catchup_jobs.adapters.database.metrics.snapshot import Snapshot

_PREFIX: Final = "catchup_"


def families(snapshot: Snapshot) -> Iterator[Metric]:
    """Yield the metrics of what the database says."""
    yield from _runs(snapshot)
    yield from _backlog(snapshot)
    yield from _pools(snapshot)
    yield from _suggestions(snapshot)
    yield _labelled("table_rows", "Rows by table; PostgreSQL's own estimate.", ("table",), snapshot.table_rows)
    yield gauge("schema_version", "The newest migration of the database.", snapshot.schema_version)
    yield _labelled(
        "exporter_query_seconds",
        "What each question to the database took, when it was asked last; a dear one is asked more rarely.",
        ("query",),
        snapshot.seconds,
    )


def _runs(snapshot: Snapshot) -> Iterator[Metric]:
    ends = SummaryMetricFamily(
        f"{_PREFIX}run_duration_seconds",
        "Ends of runs by kind of job, outcome and reason, and how long they took from their start; a run that is"
        " repeated by its Job counts with the outcome retry each time.",
        labels=("kind", "outcome", "reason"),
    )
    for total in snapshot.ends:
        ends.add_metric([total.kind, total.state, total.reason], total.runs, total.seconds)
    yield ends
    yield _labelled(
        "run_last_success_timestamp_seconds",
        "When the latest run of a kind began that succeeded, of whichever user.",
        ("kind",),
        {kind: at.timestamp() for kind, at in snapshot.last_success.items()},
    )
    yield _labelled(
        "runs_failing",
        "Users (or parts of the fleet) whose latest run of a kind failed, by its reason.",
        ("kind", "reason"),
        snapshot.failing,
    )
    yield _labelled(
        "dead_letters", "Runs that were given up and wait for a person.", ("kind", "reason"), snapshot.abandoned
    )


def _backlog(snapshot: Snapshot) -> Iterator[Metric]:
    yield gauge(
        "syncs_overdue",
        f"Users whose sync runs and has not succeeded for {MISSED_SYNCS} intervals.",
        snapshot.overdue.users,
    )
    yield from _timestamp(
        "syncs_overdue_oldest_success_timestamp_seconds",
        "The oldest of the last successes of users whose sync is overdue.",
        snapshot.overdue.oldest_success,
    )
    yield gauge(
        "digests_late",
        "Digests of which a message waits since an hour after the due time.",
        snapshot.late_digests.digests,
    )
    yield from _timestamp(
        "digests_late_oldest_due_timestamp_seconds",
        "The earliest of the due times of digests that are late.",
        snapshot.late_digests.oldest_due,
    )
    yield _labelled(
        "deliveries_unsettled",
        "Messages that are neither sent nor refused nor skipped; unknown: perhaps sent.",
        ("channel", "status"),
        snapshot.unsettled,
    )
    yield _labelled("calendar_tokens", "Users by the state of their calendar's token.", ("state",), snapshot.tokens)


def _pools(snapshot: Snapshot) -> Iterator[Metric]:
    yield _labelled("pool_members", "Users whom a pool serves.", ("pool",), snapshot.members)
    yield _labelled(
        "pool_members_late",
        "Members of a pool who are due and were not served in time.",
        ("pool", "kind"),
        snapshot.late_members,
    )
    yield _labelled(
        "pool_members_failing",
        "Members of a pool whose latest run of a kind failed or asks somebody to act, by its reason.",
        ("pool", "kind", "reason"),
        snapshot.failing_members,
    )
    yield _labelled(
        "pool_oldest_sync_timestamp_seconds",
        "When the last sync that succeeded began of the member of a pool who waits longest, or the member joined.",
        ("pool",),
        {pool: at.timestamp() for pool, at in snapshot.oldest_syncs.items()},
    )


def _suggestions(snapshot: Snapshot) -> Iterator[Metric]:
    last = [shard.last_success for shard in snapshot.shards]
    if last and None not in last:
        yield from _timestamp(
            "suggestions_last_success_timestamp_seconds",
            "When the last suggestion run that succeeded began, of the part of the fleet that waits longest.",
            min(at for at in last if at is not None),
        )
    running = [shard for shard in snapshot.shards if shard.is_running]
    yield gauge("suggestions_running", "Parts of the fleet for which suggestions are planned now.", len(running))
    yield gauge(
        "suggestions_users_planned",
        "Users for whom the latest suggestion runs have planned so far.",
        sum(shard.users for shard in snapshot.shards),
    )


def gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    """Return a gauge without labels."""
    return GaugeMetricFamily(_PREFIX + name, text, value=value)


def up(services: Mapping[str, bool]) -> GaugeMetricFamily:
    """Return which services answered."""
    return _labelled("service_up", "Whether a service that the jobs need answers the exporter.", ("service",), services)


def build_info(version: str) -> CounterMetricFamily | GaugeMetricFamily:
    """Return the product's version."""
    return _labelled("build_info", "The version of the jobs.", ("version",), {version: 1})


def _labelled(
    name: str, text: str, labels: tuple[str, ...], values: Mapping[str, float] | Mapping[tuple[str, ...], float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(_PREFIX + name, text, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric([key] if isinstance(key, str) else [*key], value)
    return family


def _timestamp(name: str, text: str, at: datetime | None) -> Iterator[Metric]:
    if at is not None:
        yield gauge(name, text, at.timestamp())
