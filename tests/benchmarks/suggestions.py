"""How fast, and in how much memory, one process plans a fleet's suggestions.

Run by `make bench`, or alone: `python tests/benchmarks/suggestions.py --help`. A real PostgreSQL of its own is filled
with users of 50 contacts and 200 events each, then `FleetSuggestions` runs over them in a process of its own, as in a
pod: once for a fleet that has no suggestions yet, once more when nothing changes. Reading (while the batch before is
planned) and writing are timed apart; the peak of memory is the kernel's for the whole process. Last comes one user with
too much: 20,000 contacts who all like what 2,000 events side by side are called.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT / name) for name in ("tests", "contract", "jobs_image", "dev")]

NOW: Final = datetime(2026, 11, 23, 11, tzinfo=UTC)
CONTACTS: Final = 50
EVENTS: Final = 200
INTERACTIONS: Final = 5

# What the data are made of: the same each time, since numbers take the place of chance.
_INTERESTS: Final = (
    "climbing", "chess", "jazz", "running", "board games", "photography", "cooking", "hiking", "theatre", "opera",
    "sailing", "tennis", "knitting", "science fiction", "gardening", "cycling", "swimming", "baking", "poetry", "yoga",
)  # fmt: skip
_FILL: Final = """
INSERT INTO users (id, name, city, time_zone, digest_day, digest_time, sync_every, night_start, night_end, created_at,
                   updated_at)
SELECT 'user-' || lpad(u::text, 6, '0'), 'User ' || u, 'Berlin',
       (ARRAY['Europe/Berlin', 'America/New_York', 'Asia/Kathmandu', 'Asia/Tokyo', 'Etc/UTC'])[1 + u % 5], 'Sunday',
       '09:00', '30m', '22:00', '07:00', '{now}', '{now}'
FROM generate_series(1, {users}) u;
INSERT INTO manual_blocks SELECT id, day, '08:00', '20:00' FROM users,
       unnest(ARRAY['MO', 'TU', 'WE', 'TH', 'FR', 'SA', 'SU']) day WHERE right(id, 1)::int < 3;
INSERT INTO commute_windows SELECT id, day, '08:00', '09:00' FROM users,
       unnest(ARRAY['MO', 'TU', 'WE', 'TH', 'FR']) day;
INSERT INTO oauth_tokens (user_id, provider, key_id, ciphertext, state, version, updated_at)
SELECT id, 'google', 'k', '', 'active', 1, '{now}' FROM users;
INSERT INTO calendars (user_id, google_id, summary, is_primary, access_role, selected, horizon_end, last_full_sync_at,
                       last_success_at)
SELECT id, 'primary', id, true, 'owner', true, timestamptz '{now}' + interval '45 days', '{now}', '{now}' FROM users;
INSERT INTO contacts (user_id, external_id, name, frequency, city, created_at, updated_at)
SELECT id, 'c' || c, 'Contact ' || c,
       (ARRAY['weekly', 'biweekly', 'monthly', 'quarterly', 'yearly', 'flexible', 'na', NULL])[1 + c % 8],
       (ARRAY['Berlin', 'Hamburg', 'Paris', NULL])[1 + c % 4], timestamptz '{now}' - interval '800 days', '{now}'
FROM users, generate_series(1, {contacts}) c;
INSERT INTO contact_tags SELECT c.id, ({interests})[1 + ((c.id * 7 + t * 13) % {interest_count})::int]
FROM contacts c, generate_series(1, 2) t ON CONFLICT DO NOTHING;
INSERT INTO contact_tags SELECT id, 'IRL preferred' FROM contacts WHERE id % 6 = 0;
INSERT INTO contact_tags SELECT id, 'URL preferred' FROM contacts WHERE id % 6 = 1;
INSERT INTO contact_groups SELECT id, 'Close Friends' FROM contacts WHERE id % 10 = 0;
INSERT INTO interactions
SELECT c.id, timestamptz '{now}' - ((c.id * 11 % 90) + i * 30) * interval '1 day' FROM contacts c,
       generate_series(0, {interactions} - 1) i WHERE c.id % 12 <> 0;
INSERT INTO events (calendar_id, google_id, status, busy, start_at, end_at, summary, description, location, ical_uid)
SELECT c.id, 'event-' || e, 'confirmed', e % 10 <> 0,
       date_trunc('day', timestamptz '{now}') + (e * 46 / {events} - 1) * interval '1 day'
           + ((c.id + e * 5) % 11 + 7) * interval '1 hour',
       date_trunc('day', timestamptz '{now}') + (e * 46 / {events} - 1) * interval '1 day'
           + ((c.id + e * 5) % 11 + 7) * interval '1 hour' + (30 + e % 3 * 15) * interval '1 minute',
       CASE WHEN e % 25 = 0 THEN 'Evening of ' || ({interests})[1 + ((c.id + e) % {interest_count})::int]
            ELSE 'Meeting ' || (c.id * 31 + e) || ' with the team of project ' || e END,
       CASE WHEN e % 2 = 0 THEN 'Agenda: what was done, what comes next, who needs help with what, and number ' || e
            || ' of the list that we began last week.' END,
       CASE WHEN e % 3 = 0 THEN 'Room ' || e % 40 END, 'uid-' || c.id || '-' || e
FROM calendars c, generate_series(1, {events}) e;
ANALYZE;
"""


# One user with too much of everything.
_TOO_MUCH: Final = """
INSERT INTO contacts (user_id, external_id, name, frequency, city, created_at, updated_at)
SELECT 'user-000001', 'm' || c, 'Client ' || c, 'monthly', (ARRAY['Berlin', 'Paris', NULL])[1 + c % 3],
       timestamptz '{now}' - (40 + c % 400) * interval '1 day', '{now}'
FROM generate_series(1, {contacts}) c;
INSERT INTO contact_tags SELECT id, 'client' FROM contacts WHERE external_id LIKE 'm%';
INSERT INTO events (calendar_id, google_id, status, busy, start_at, end_at, summary)
SELECT c.id, 'call-' || e, 'confirmed', true, timestamptz '{now}' + (180 + e * 10) * interval '1 minute',
       timestamptz '{now}' + (185 + e * 10) * interval '1 minute', 'Client call ' || e
FROM calendars c, generate_series(1, {events}) e;
ANALYZE;
"""
_HISTORY: Final = """
INSERT INTO suggestions (user_id, contact_id, trigger, status, mode, start_at, end_at, reasoning, answered_at,
    expiry_reason, delivered_at, created_at, updated_at)
SELECT user_id, id, 'time_bound', (ARRAY['accepted', 'dismissed', 'expired'])[1 + n % 3], 'call',
    at, at + interval '1 hour', '-', at, CASE WHEN n % 3 = 2 THEN 'passed' END, at, at, at
FROM (SELECT user_id, id, n, timestamptz '{now}' - interval '30 days' - n * interval '1 hour' AS at
    FROM contacts, generate_series(1, {suggestions} / (SELECT count(*) FROM contacts)) AS n) AS past;
ANALYZE;
"""


class Timed:
    """A store that notes how long each kind of its work takes."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.seconds = {"read": 0.0, "write": 0.0}

    def __getattr__(self, name: str) -> Any:
        method, kind = getattr(self._store, name), "write" if name == "save" else "read"

        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return method(*arguments, **named)
            finally:
                self.seconds[kind] += time.perf_counter() - began

        return timed


def fill(url: str, users: int) -> None:
    """Store the users, with everything that suggestions are planned from."""
    interests = "ARRAY[" + ", ".join(f"'{interest}'" for interest in _INTERESTS) + "]"
    script = _FILL.format(
        now=NOW.isoformat(),
        users=users,
        contacts=CONTACTS,
        events=EVENTS,
        interactions=INTERACTIONS,
        interests=interests,
        interest_count=len(_INTERESTS),
    )
    _execute(url, script)


def fill_too_much(url: str, contacts: int, events: int) -> None:
    """Give the one user of the fleet so many contacts and events more."""
    _execute(url, _TOO_MUCH.format(now=NOW.isoformat(), contacts=contacts, events=events))


def fill_history(url: str, suggestions: int) -> None:
    """Give the one user of the fleet so many suggestions that were accepted, dismissed or never answered."""
    _execute(url, _HISTORY.format(now=NOW.isoformat(), suggestions=suggestions))


def _execute(url: str, script: str) -> None:
    import psycopg  # noqa: PLC0415 - the parent alone

    with psycopg.connect(url, autocommit=True) as connection:
        for statement in script.split(";\n"):
            if statement.strip():
                connection.execute(statement)


def measure(url: str, batch_size: int) -> dict[str, Any]:
    """Plan the whole fleet in this process and return what it took."""
    from catchup_contract.kinds import SUGGESTIONS  # noqa: PLC0415
    from catchup_contract.summary import Count  # noqa: PLC0415
    from catchup_jobs.adapters.database.engine import Database  # noqa: PLC0415 - as a pod would
    from catchup_jobs.adapters.database.runs.store import DatabaseRunStore  # noqa: PLC0415
    from catchup_jobs.adapters.database.suggestions.store import DatabaseSuggestionStore  # noqa: PLC0415
    from catchup_jobs.adapters.files.locks import FileLocks  # noqa: PLC0415
    from catchup_jobs.jobs.run.execution import run_job  # noqa: PLC0415
    from catchup_jobs.jobs.run.ports import Process, Run  # noqa: PLC0415
    from catchup_jobs.jobs.suggestions.job import FleetSuggestions, NoProgressReporter  # noqa: PLC0415

    database = Database.open(url)
    store = Timed(DatabaseSuggestionStore(database))
    began, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as locks:
        report = run_job(
            FleetSuggestions(store, NoProgressReporter(), batch_size=batch_size),
            Run(SUGGESTIONS, "0", None, f"bench-{time.time_ns()}"),
            store=DatabaseRunStore(database),
            locks=FileLocks(Path(locks)),
            process=Process(lambda: NOW, time.sleep, lambda: 0.5, lambda: False, f"pod-{os.getpid()}"),
            deadline_seconds=10_800,
        )
    seconds = time.perf_counter() - began
    counts = {count.value: number for count, number in report.summary.counts.items() if number}
    assert report.exit_code == 0, report
    return {
        "users": counts.get(Count.USERS.value, 0),
        "seconds": seconds,
        "cpu": time.process_time() - cpu,
        "read": store.seconds["read"],
        "write": store.seconds["write"],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "counts": counts,
    }


def in_a_process(url: str, batch_size: int) -> dict[str, Any]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--url", url, "--batch-size", str(batch_size)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def told(name: str, found: dict[str, Any]) -> str:
    """Return a line of the table."""
    users, seconds = found["users"], found["seconds"]
    each = [1000 * part / users for part in (found["read"], found["write"], found["cpu"])]
    counts = found["counts"]
    return (
        f"{name:<24} {users:>6} users {users / seconds:>6.0f}/s  read {each[0]:.2f} ms (meanwhile), "
        f"write {each[1]:.2f} ms, cpu {each[2]:.2f} ms a user  peak {found['peak_mb']:.0f} MB  "
        f"{counts.get('suggestionsCreated', 0)} new"
    )


def main() -> int:
    """Fill and measure; with --url, measure only."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--users", type=int, nargs="+", default=[1_000, 10_000], help="sizes of the fleet")
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--url", help="measure in this process, with the fleet of this database")
    options = parser.parse_args()
    if options.url:
        sys.stdout.write(json.dumps(measure(options.url, options.batch_size)) + "\n")
        return 0
    from integration.services import postgres_server  # noqa: PLC0415 - the parent alone

    from catchup_jobs.adapters.database.migrate import upgrade  # noqa: PLC0415

    for users in options.users:
        with postgres_server() as server:
            url = server.url("postgres")
            upgrade(url)
            fill(url, users)
            for name in ("new fleet", "nothing changes"):
                sys.stdout.write(told(name, in_a_process(url, options.batch_size)) + "\n")
                sys.stdout.flush()
    with postgres_server() as server:
        url = server.url("postgres")
        upgrade(url)
        fill(url, 1)
        # As many contacts as an import takes for one user.
        fill_too_much(url, 20_000 - CONTACTS, 2_000 - EVENTS)
        for name in ("too much", "nothing changes"):
            sys.stdout.write(told(name, in_a_process(url, options.batch_size)) + "\n")
    with postgres_server() as server:
        url = server.url("postgres")
        upgrade(url)
        fill(url, 1)
        in_a_process(url, options.batch_size)
        sys.stdout.write(told("no history", in_a_process(url, options.batch_size)) + "\n")
        fill_history(url, 50_000)
        sys.stdout.write(told("a history of 50,000", in_a_process(url, options.batch_size)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
