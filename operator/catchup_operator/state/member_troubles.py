"""What statuses of pools' members are to say of trouble and do not say yet."""

from __future__ import annotations

from collections.abc import Mapping

from catchup_contract.kinds import Kind, user_kinds
from catchup_contract.outcomes import Reason
from catchup_contract.trouble import TroublePage, uid_hash
from catchup_operator.manifests.names import Key
from catchup_operator.state.reported_conditions import ReportedConditions


class MemberTroubles:
    """Tracks members whose statuses differ from what ticks tell. Lost at the operator's end: ticks tell it again."""

    def __init__(self, reported: ReportedConditions) -> None:
        self._reported = reported
        self._wanted: dict[Key, dict[Kind, Reason | None]] = {}
        self._waiting: dict[Key, None] = {}

    def compare(self, kind: Kind, page: TroublePage, members: Mapping[Key, str]) -> None:
        """Compare a page with the statuses of a pool's members, by their uids."""
        condition = user_kinds()[kind].condition
        for key, uid in members.items():
            hashed = uid_hash(uid)
            if not page.covers(hashed):
                continue
            reason, reported = page.members.get(hashed), self._reported.find(key, condition)
            said = reported.reason if reported is not None and reported.status == "False" else None
            if said == (None if reason is None else reason.camel_case):
                self._wanted.get(key, {}).pop(kind, None)
                continue
            self._wanted.setdefault(key, {})[kind] = reason
            self._waiting[key] = None

    def take(self) -> Key:
        """Return a member whose status is to be written, in the order in which they were found, and go on to the next.

        Raises:
            StopIteration: there is none.
        """
        key = next(iter(self._waiting))
        del self._waiting[key]
        return key

    def wanted(self, key: Key) -> Mapping[Kind, Reason | None]:
        """Return by kind why a member is in trouble, None where it is not any more; empty where all is said."""
        return dict(self._wanted.get(key, {}))

    def note_written(self, key: Key, written: Mapping[Kind, Reason | None]) -> None:
        """Record that a status says so, or that none is to."""
        left = {kind: reason for kind, reason in self.wanted(key).items() if written.get(kind, ...) != reason}
        if left:
            self._wanted[key] = left
        else:
            self._wanted.pop(key, None)

    @property
    def waiting(self) -> int:
        """How many members' statuses are to be written."""
        return len(self._waiting)
