"""A digest as an email message: headers, plain text and HTML."""

from __future__ import annotations

import hashlib
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, Policy
from email.utils import format_datetime, parseaddr
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from catchup_jobs.domain.digest.email_text import ACTIONS

if TYPE_CHECKING:
    from datetime import datetime

    from catchup_jobs.domain.digest.email_text import EmailDigest
    from catchup_jobs.jobs.digest.ports import Letter

_TEMPLATES: Final = Path(__file__).parent / "templates"


class _OneLine(UnstructuredHeader, BaseHeader):
    """An address in a header: never folded, since Python would tear a long one, or encode it as words."""

    def fold(self, *, policy: Policy) -> str:
        """Return the header's line."""
        return f"{self.name}: {self}{policy.linesep}"


_headers = HeaderRegistry()
_headers.map_to_type("list-unsubscribe", _OneLine)
# As quoted-printable every line is short and every byte ASCII, whatever the servers on the way can do.
_POLICY: Final = SMTP.clone(cte_type="7bit", header_factory=_headers)


def compose(letter: Letter, *, sender: str, now: datetime) -> EmailMessage:
    """Return the message. The same letter has the same Message-ID, today or at another attempt.

    Args:
        sender: an address, alone or as `Name <address>`.
        now: aware, becomes the Date.
    """
    name, address = parseaddr(sender)
    content = letter.content
    message = EmailMessage(policy=_POLICY)
    message["From"] = Address(display_name=name or "CatchUp", addr_spec=address)
    message["To"] = Address(addr_spec=letter.to)
    message["Subject"] = content.subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = message_id(letter.key, address)
    # RFC 3834: no out-of-office replies, please.
    message["Auto-Submitted"] = "auto-generated"
    if content.unsubscribe is not None:
        message["List-Unsubscribe"] = f"<{content.unsubscribe}>"
        # RFC 8058: one click, without a page in between.
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(content.text(), cte="quoted-printable")
    message.add_alternative(html(content), subtype="html", cte="quoted-printable")
    return message


def message_id(key: str, sender: str) -> str:
    """Return a Message-ID that depends on the key and the sender's domain alone, and shows neither user nor date."""
    digest = hashlib.sha256(f"digest {key}".encode()).hexdigest()[:32]
    return f"<{digest}.digest@{sender.rpartition('@')[2]}>"


def html(content: EmailDigest) -> str:
    """Return the HTML alternative; every value is escaped."""
    return _template().render(digest=content, actions=ACTIONS)


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("digest.html")
