"""A user whose syncs crash, since the token is in a state that this version has never heard of."""

from __future__ import annotations

import json
from typing import Any

from e2e.test_product import person, schedule

from catchup_contract.env import Env
from catchup_dev.stack import RELEASE, Stack

UNLUCKY = "unlucky"
_CHECK = "ck_oauth_tokens_state"
_SQL = """
import json, os, psycopg, sys
with psycopg.connect(os.environ["CATCHUP_DATABASE_URL"].replace("+psycopg", "")) as connection:
    for statement in json.load(sys.stdin):
        rows = connection.execute(statement)
    print(json.dumps(rows.fetchall() if rows.description else []))
"""


def sql(stack: Stack, *statements: str) -> list[Any]:
    """Run statements in the installation's database; return the last one's rows."""
    toolbox = ("exec", "-i", f"deployment/{RELEASE}-toolbox", "--", "python", "-c", _SQL)
    rows: list[Any] = json.loads(stack.kubectl(*toolbox, stdin=json.dumps(statements)))
    return rows


def crash(stack: Stack) -> tuple[str, str]:
    """Start a Job whose pods crash; return its name, and the rule that was dropped for it."""
    person(stack, UNLUCKY)
    schedule(stack, UNLUCKY)
    definition = f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = '{_CHECK}'"  # noqa: S608 - ours
    ((rule,),) = sql(stack, definition)
    sql(
        stack,
        f"ALTER TABLE oauth_tokens DROP CONSTRAINT {_CHECK}",
        f"UPDATE oauth_tokens SET state = 'hibernating' WHERE user_id = '{UNLUCKY}'",  # noqa: S608 - ours
    )
    return _started(stack), rule


def _started(stack: Stack) -> str:
    # By hand, with a deadline of 30 seconds: so its lease is over soon.
    name = f"{UNLUCKY}-sync-short"
    cronjob = f"--from=cronjob/{stack.cronjob_of(UNLUCKY, 'sync')}"
    job = json.loads(stack.kubectl("create", "job", name, cronjob, "--dry-run=client", "--output=json"))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (deadline,) = (entry for entry in container["env"] if entry["name"] == Env.DEADLINE_SECONDS)
    deadline["value"] = "30"
    stack.kubectl("create", "-f", "-", stdin=json.dumps(job))
    return name


def mend(stack: Stack, rule: str) -> None:
    """Let the user's token be what it was."""
    sql(
        stack,
        f"UPDATE oauth_tokens SET state = 'active' WHERE user_id = '{UNLUCKY}'",  # noqa: S608 - ours
        f"ALTER TABLE oauth_tokens ADD CONSTRAINT {_CHECK} {rule}",
    )
