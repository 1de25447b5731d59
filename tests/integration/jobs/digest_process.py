"""Digests whose process dies: `python -m integration.jobs.digest_process '<JSON>'`.

For one user it runs the digest, and whoever started it may kill it. For many it runs the first one's digest and notes
the lines that it passed around the send. Then, for each of these lines (of every so many, from the first to be taken)
and a user of its own, it forks a process that runs a digest and dies there, as by SIGKILL: no handler runs, no
transaction ends. It prints as JSON how many lines it passed and at which it died, in the order of the users.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from integration.jobs.killed_lines import KILLED, WatchedLines

from catchup_contract.kinds import DIGEST
from catchup_jobs.adapters.database.digests.store import DatabaseDigests
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.people.addresses import DatabaseAddresses
from catchup_jobs.adapters.database.runs.store import DatabaseRunStore
from catchup_jobs.adapters.encryption import Encryption
from catchup_jobs.adapters.files.locks import FileLocks
from catchup_jobs.adapters.messaging.twilio_sms import TwilioAccount, TwilioSms
from catchup_jobs.domain.digest.channels import EMAIL, SMS
from catchup_jobs.domain.digest.email_text import EmailDigest, email_digest
from catchup_jobs.domain.digest.sms_text import sms_text
from catchup_jobs.jobs.digest.job import Digest
from catchup_jobs.jobs.digest.messenger import Messenger, Sender
from catchup_jobs.jobs.run.execution import run_job
from catchup_jobs.jobs.run.ports import Process, Run

# Everything between the decision to send and the record of what came of it.
WATCHED = WatchedLines(
    {
        "due_digest.py": {"send", "settle"},
        "store.py": {"claim", "settle"},
        "settlement.py": {"settle"},
        "rows.py": {"ensure_digest", "ensure_delivery"},
        "items.py": {"mark", "selection", "_pending"},
        "twilio_sms.py": {"send", "_state"},
        "twilio_http.py": {"request", "_body"},
    }
)


def _messenger(account: TwilioAccount, now: datetime) -> Messenger:
    return Messenger(
        {
            SMS: Sender(sms_text, str, lambda: TwilioSms(account, now=lambda: now)),
            EMAIL: Sender(email_digest, EmailDigest.preview, None),
        }
    )


@dataclass
class Pod:
    """One digest on a database and a double, with a clock that stands still."""

    options: dict[str, Any]

    def run(self, user_id: str) -> None:
        """Run the digest."""
        now = datetime.fromisoformat(self.options["now"])
        database = Database.open(self.options["database_url"])
        store = DatabaseDigests(database, DatabaseAddresses(database, lambda: Encryption([self.options["key"]])))
        account = TwilioAccount(**self.options["account"])
        run_job(
            Digest(store=store, messenger=_messenger(account, now)),
            Run(DIGEST, user_id, now, ""),
            store=DatabaseRunStore(database),
            locks=FileLocks(Path(self.options["locks"])),
            process=Process(
                now=lambda: now,
                sleep=lambda _: None,
                random=lambda: 0.5,
                stopping=lambda: False,
                process_id=f"pod-of-{user_id}",
            ),
            deadline_seconds=900,
        )
        database.close()


def main(text: str) -> None:
    """Run all digests."""
    options = json.loads(text)
    pod = Pod(options)
    if len(options["users"]) == 1:
        pod.run(*options["users"])
        return
    users = iter(options["users"])
    first = next(users)
    lines = WATCHED.passed_by(lambda: pod.run(first))
    chosen = lines[options["first"] :: options["every"]]
    for line in chosen:
        code = WATCHED.die_at(line, partial(pod.run, next(users)))
        assert code == KILLED, f"{line}: {code}"
    json.dump({"passed": len(lines), "died_at": chosen}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
