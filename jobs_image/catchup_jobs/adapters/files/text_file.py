"""Text files as editors and shells of any system write them."""

from __future__ import annotations

from typing import TextIO

from catchup_jobs.jobs.run.errors import PermanentError


def read_text(file: TextIO) -> str:
    """Return the text of a file that is opened as UTF-8, without the mark that some editors put first (RFC 8259, 8.1).

    Raises:
        PermanentError: it is not UTF-8.
    """
    try:
        return file.read().removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise PermanentError("the file is not UTF-8 text: save it as UTF-8") from None
