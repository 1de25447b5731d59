"""A digest as an email message: headers, plain text and HTML."""

from __future__ import annotations

import hashlib
import re
from email.header import Header
from email.headerregistry import BaseHeader, HeaderRegistry
from email.message import EmailMessage
from email.policy import SMTP, Policy
from email.utils import format_datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from catchup_jobs.domain.digest.addresses import Mailbox
from catchup_jobs.domain.digest.email_text import ACTIONS

if TYPE_CHECKING:
    from datetime import datetime

    from catchup_jobs.domain.digest.email_text import EmailDigest
    from catchup_jobs.jobs.digest.provider_answers import Message

_TEMPLATES: Final = Path(__file__).parent / "templates"


class _HeaderClasses(HeaderRegistry):
    """Python's classes of headers: it would make a class anew for each header of each message."""

    @cache  # noqa: B019 - there is one registry
    def __getitem__(self, name: str) -> type[BaseHeader]:
        """Return the class of a header."""
        return super().__getitem__(name)


# RFC 2045, 6.7: a line of quoted-printable has at most 76 characters; RFC 2047, 2: so has a line with encoded words.
_MAX_LINE: Final = 76
# In quoted-printable every line is short and every byte is ASCII, as any mail server accepts.
_POLICY: Final = SMTP.clone(cte_type="7bit", max_line_length=_MAX_LINE, header_factory=_HeaderClasses())
# RFC 2047: a parser takes these for the beginning of an encoded word.
_ENCODED_WORD: Final = "=?"
# RFC 5322, 3.2.3: a phrase of atoms needs no quotes.
_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")


class _Written(str):
    """A header's value as it stands in the message: `email` takes it as it is.

    A value that `email` is given as text is parsed: encoded words in a name that somebody wrote would become headers.
    """

    __slots__ = ("name",)
    name: str

    def fold(self, *, policy: Policy) -> str:
        """Return the header's lines."""
        return f"{self.name}: {self}{policy.linesep}"


def compose(message: Message[EmailDigest], *, sender: Mailbox, now: datetime) -> EmailMessage:
    """Return the email. Every attempt to send the same message has the same Message-ID.

    Args:
        now: aware, becomes the Date.
    """
    content = message.content
    email = EmailMessage(policy=_POLICY)
    headers = {
        "From": _mailbox("From", Mailbox(sender.name or "CatchUp", sender.address)),
        "To": message.to,
        "Subject": _text("Subject", content.subject),
        "Date": format_datetime(now),
        "Message-ID": message_id(message.key, sender.domain),
        # RFC 3834: no automatic replies.
        "Auto-Submitted": "auto-generated",
    }
    if content.unsubscribe is not None:
        # Never folded: Python would split a long URL, or encode it as words.
        headers["List-Unsubscribe"] = f"<{content.unsubscribe}>"
        if content.unsubscribe.startswith("https:"):
            # RFC 8058: one click, without a page in between; by https only.
            headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    for name, value in headers.items():
        written = _Written(value)
        written.name = name
        email[name] = written
    email.set_content(content.text(), cte="quoted-printable")
    email.add_alternative(html(content), subtype="html", cte="quoted-printable")
    return email


def _text(header: str, text: str) -> str:
    """Return text as RFC 2047 writes it, folded: as it is where it is ASCII, else in encoded words."""
    charset = "us-ascii" if text.isascii() and _ENCODED_WORD not in text else "utf-8"
    return Header(text, charset, maxlinelen=_MAX_LINE, header_name=header).encode(linesep="\r\n")


def _mailbox(header: str, mailbox: Mailbox) -> str:
    name = mailbox.name
    if not name.isascii() or _ENCODED_WORD in name:
        return f"{_text(header, name)}\r\n <{mailbox.address}>"
    if not _ATOMS.fullmatch(name):
        escaped = re.sub(r'(["\\])', r"\\\1", name)
        name = f'"{escaped}"'
    return f"{name} <{mailbox.address}>"


def message_id(key: str, domain: str) -> str:
    """Return a Message-ID that depends only on the key and the sender's domain, and reveals neither user nor date."""
    digest = hashlib.sha256(f"digest {key}".encode()).hexdigest()[:32]
    return f"<{digest}.digest@{domain}>"


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
