"""The tables of sizes in docs/scaling.md, made by the formulas that stand there.

A figure that a benchmark measures anew is changed here, and `make generate` computes the tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final

from catchup_dev.cluster.layout import CHECKOUT
from catchup_jobs.jobs.pool.tick import WORKERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PAGE: Final = CHECKOUT / "docs" / "scaling.md"
_DAY: Final = 86_400
_USERS: Final = (100, 1_000, 2_000, 10_000, 100_000, 300_000, 1_000_000)


@dataclass(frozen=True)
class Figure:
    """A number that the tables are computed from.

    Attributes:
        symbol: its name in the formulas.
        source: where it is from.
    """

    symbol: str
    value: float
    unit: str
    meaning: str
    source: str


# CPU is that of node, control plane and pod together.
OWN: Final = Figure("own", 2.6, "CPU s", "a sync in a pod of its own", "[measured](benchmarks.md#a-user-in-a-pool)")
OWN_DIGEST: Final = Figure(
    "ownDigest", 2.5, "CPU s", "a start of a digest in a pod of its own", "`own`, less what its pod takes less"
)
POOLED: Final = Figure(
    "pooled",
    0.013,
    "CPU s",
    "a sync in a pool beside its `tick`, with PostgreSQL, Redis, node and control plane",
    "[measured](benchmarks.md#a-user-in-a-pool)",
)
POOLED_DIGEST: Final = Figure("pooledDigest", 0.012, "CPU s", "a digest in a pool, sent by email", "the aim")
TICK: Final = Figure("tick", 2.6, "CPU s", "a pod of a pool, whomever it serves", "as a pod of its own")
PLAN: Final = Figure("plan", 0.0023, "CPU s", "planning a user once", "[measured](benchmarks.md#suggestions)")
SYNCS: Final = Figure("syncs", 48, "a day", "syncs of a user", "every 30 minutes")
STARTS: Final = Figure("starts", 5 / 7, "a day", "starts of a weekly digest", "five a week where the clock is set")
WAIT: Final = Figure("wait", 0.3, "s", "how long a sync waits for Google and the database", "assumed")
SEND: Final = Figure("send", 0.5, "s", "how long a digest waits for its provider", "assumed")
HERD: Final = Figure("herd", 0.3, "", "part of the users whose digest is due at one minute", "assumed: one zone")
ROWS: Final = Figure("rows", 208_000, "bytes", "a user in PostgreSQL", "[measured](benchmarks.md#the-databases-size)")
COMMITS: Final = Figure("commits", 5, "", "transactions of a sync", "[measured](benchmarks.md#a-user-in-a-pool)")
FIGURES: Final = (
    OWN, OWN_DIGEST, POOLED, POOLED_DIGEST, TICK, PLAN, SYNCS, STARTS, WAIT, SEND, HERD, ROWS, COMMITS,
)  # fmt: skip

# Limits of Kubernetes, with their sources in docs/scaling.md: pods a second, CronJobs, custom resources.
_PODS: Final = 20
_CRONJOBS: Final = 5_000
_RESOURCES: Final = 10_000
_GOOGLE_DAY: Final = 1_000_000
_INTERVALS: Final = {"15m": 15, "30m": 30, "1h": 60, "3h": 180, "6h": 360, "24h": 1440}
# Suggestions are planned every six hours.
_PLANS: Final = 4
_FIRINGS_POOLED: Final = 3 / 7
_TICKS: Final = 1440


def own_cores(users: int) -> float:
    """Return the cores that users with CronJobs of their own take, over the day."""
    a_day = SYNCS.value * OWN.value + STARTS.value * OWN_DIGEST.value + _PLANS * PLAN.value
    return users * a_day / _DAY


def sync_shards(users: int) -> int:
    """Return the shards of a pool's sync: half of what a pod's workers can do within a minute."""
    due_a_minute = users * SYNCS.value / 1440
    return max(1, ceil(due_a_minute / (60 * WORKERS / WAIT.value / 2)))


def digest_shards(users: int) -> int:
    """Return the shards of a pool's digest, so that all of one minute are sent within the hour."""
    return max(1, ceil(users * HERD.value / (3600 * WORKERS / SEND.value)))


def pool_cores(users: int) -> float:
    """Return the cores that the members of pools take, over the day."""
    a_day = SYNCS.value * POOLED.value + _FIRINGS_POOLED * POOLED_DIGEST.value + _PLANS * PLAN.value
    ticks = (sync_shards(users) + digest_shards(users)) * _TICKS * TICK.value
    return (users * a_day + ticks) / _DAY


def own_clusters(users: int) -> int:
    """Return the clusters that users with CronJobs of their own need, by the smallest of Kubernetes' limits."""
    pods_a_second = users * (SYNCS.value + STARTS.value) / _DAY
    return ceil(max(pods_a_second / _PODS, 2 * users / _CRONJOBS, users / _RESOURCES))


def requests_a_day(users: int, minutes: int) -> int:
    """Return the requests to Google a day of users with one calendar, synced each so many minutes."""
    return users * (1440 // minutes + 1)


def page() -> str:
    """Return the text of docs/scaling.md with its tables as they are computed now."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in {"figures": _figures, "sizes": _sizes, "requests": _requests}.items():
        text = _replaced(text, name, table)
    return text


def _replaced(text: str, name: str, table: Callable[[], str]) -> str:
    begin, end = f"<!-- {name}: by make generate -->\n", f"<!-- end of {name} -->\n"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"docs/scaling.md has no table of {name}")
    return f"{before}{begin}{table()}{end}{after}"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _figures() -> str:
    rows = [(f"`{one.symbol}`", f"{_plain(one.value)} {one.unit}".rstrip(), one.meaning, one.source) for one in FIGURES]
    return _table(("symbol", "figure", "what it is", "from"), rows)


def _sizes() -> str:
    titles = (
        "users",
        "own: pods/s",
        "own: cores",
        "own: CronJobs",
        "own: clusters",
        "pool: cores",
        "pool: shards of sync, digest",
        "PostgreSQL",
        "transactions/s",
    )
    rows = [
        (
            f"{users:,}",
            _short(users * (SYNCS.value + STARTS.value) / _DAY),
            _short(own_cores(users)),
            f"{2 * users:,}",
            f"{own_clusters(users):,}",
            _short(pool_cores(users)),
            f"{sync_shards(users)}, {digest_shards(users)}",
            f"{_short(users * ROWS.value / 1e9)} GB",
            _short(users * SYNCS.value * COMMITS.value / _DAY),
        )
        for users in _USERS
    ]
    return _table(titles, rows)


def _requests() -> str:
    rows = []
    for users in _USERS:
        days = [requests_a_day(users, minutes) for minutes in _INTERVALS.values()]
        rows.append([f"{users:,}", *(f"**{day:,}**" if day > _GOOGLE_DAY else f"{day:,}" for day in days)])
    return _table(("users", *(f"every {name}" for name in _INTERVALS)), rows)


def _plain(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:.3g}"


def _short(number: float) -> str:
    """Return a number with two digits that count."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"  # noqa: PLR2004
