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
    from catchup_jobs.jobs.digest.ports import Message

_TEMPLATES: Final = Path(__file__).parent / "templates"


class _OneLine(UnstructuredHeader, BaseHeader):
    """A URL in a header, which is never folded: Python would split a long one, or encode it as words."""

    def fold(self, *, policy: Policy) -> str:
        """Return the header's line."""
        return f"{self.name}: {self}{policy.linesep}"


_headers = HeaderRegistry()
_headers.map_to_type("list-unsubscribe", _OneLine)
# In quoted-printable every line is short and every byte is ASCII, as any mail server accepts.
_POLICY: Final = SMTP.clone(cte_type="7bit", header_factory=_headers)


def compose(message: Message[EmailDigest], *, sender: str, now: datetime) -> EmailMessage:
    """Return the email. Every attempt to send the same message has the same Message-ID.

    Args:
        sender: an address, alone or as `Name <address>`.
        now: aware, becomes the Date.
    """
    name, address = parseaddr(sender)
    content = message.content
    email = EmailMessage(policy=_POLICY)
    email["From"] = Address(display_name=name or "CatchUp", addr_spec=address)
    email["To"] = Address(addr_spec=message.to)
    email["Subject"] = content.subject
    email["Date"] = format_datetime(now)
    email["Message-ID"] = message_id(message.key, address)
    # RFC 3834: no automatic replies.
    email["Auto-Submitted"] = "auto-generated"
    if content.unsubscribe is not None:
        email["List-Unsubscribe"] = f"<{content.unsubscribe}>"
        # RFC 8058: one click, without a page in between.
        email["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    email.set_content(content.text(), cte="quoted-printable")
    email.add_alternative(html(content), subtype="html", cte="quoted-printable")
    return email


def message_id(key: str, sender: str) -> str:
    """Return a Message-ID that depends only on the key and the sender's domain, and reveals neither user nor date."""
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
