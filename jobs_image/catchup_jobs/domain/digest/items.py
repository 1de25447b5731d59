"""The suggestions in a digest, as they were when the digest was claimed.

They are stored as JSON with the digest, so that every attempt sends the same content.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

MAX_NAME: Final = 60
MAX_REASON: Final = 300
# Format characters that names need: they join emoji, and letters of Arabic and Indic scripts.
_JOINERS: Final = frozenset("\u200c\u200d")
_NOT_AT_THE_END: Final = frozenset("\u200c\u200d\ufe0e\ufe0f")


@dataclass(frozen=True, slots=True)
class DigestItem:
    """One suggestion in a digest. Its `repr` shows no person.

    Attributes:
        contact: the contact's name as it was stored; `clean` it before it is shown.
        start_at, end_at: the proposed time (UTC).
        mode: `in_person`, `call` or `either`.
        reason: why to meet this person now, in words.
        contact_zone: the contact's IANA zone, None where it is not known.
    """

    suggestion_id: int
    contact: str = field(repr=False)
    start_at: datetime
    end_at: datetime
    mode: str
    reason: str = field(repr=False)
    contact_zone: str | None = None

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
        )


def clean(text: str, limit: int, *, ellipsis: str = "...") -> str:
    """Return the text on one line and at most `limit` characters long, for any message and any header.

    Control characters and line breaks become spaces. Invisible characters and those that change the direction of the
    text are removed, so that a name cannot forge the rest of the message.
    """
    kept = "".join(_one_line(character) for character in text[: limit * 20])
    line = " ".join(kept.split())
    if len(line) <= limit:
        return line
    cut = line[: limit - len(ellipsis)]
    while cut and (cut[-1] in _NOT_AT_THE_END or cut[-1] == " " or unicodedata.combining(cut[-1])):
        cut = cut[:-1]
    return cut + ellipsis


def _one_line(character: str) -> str:
    if character in _JOINERS:
        return character
    match unicodedata.category(character):
        case "Cc" | "Zl" | "Zp" | "Zs":
            return " "
        case "Cf" | "Cs" | "Co" | "Cn":
            return ""
        case _:
            return character
