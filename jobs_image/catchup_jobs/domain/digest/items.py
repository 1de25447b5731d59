"""The suggestions in a digest, as they were when the digest was claimed.

They are stored as JSON with the digest, so that every attempt sends the same content.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

MAX_NAME: Final = 60
"""Characters of a contact's name in a message."""
MAX_REASON: Final = 300
"""Characters of a reason in a message."""


@dataclass(frozen=True, slots=True)
class DigestItem:
    """One suggestion in a digest. Its `repr` shows no person.

    Attributes:
        contact: the contact's name as it was stored; `domain.text.clean` it before it is shown.
        start_at, end_at: the proposed time (UTC).
        mode: `in_person`, `call` or `either`.
        reason: why to meet this person now, in words.
        contact_zone: the contact's IANA zone, None where it is not known.
        contact_id: the contact's row.
    """

    suggestion_id: int
    contact: str = field(repr=False)
    start_at: datetime
    end_at: datetime
    mode: str
    reason: str = field(repr=False)
    contact_zone: str | None = None
    contact_id: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values that `from_json` reads."""
        return {
            "suggestion_id": self.suggestion_id,
            "contact": self.contact,
            "start_at": self.start_at.isoformat(),
            "end_at": self.end_at.isoformat(),
            "mode": self.mode,
            "reason": self.reason,
            "contact_zone": self.contact_zone,
            "contact_id": self.contact_id,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> DigestItem:
        """Read what `to_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        return cls(
            suggestion_id=document["suggestion_id"],
            contact=document["contact"],
            start_at=datetime.fromisoformat(document["start_at"]),
            end_at=datetime.fromisoformat(document["end_at"]),
            mode=document["mode"],
            reason=document["reason"],
            contact_zone=document["contact_zone"],
            contact_id=document.get("contact_id"),
        )
