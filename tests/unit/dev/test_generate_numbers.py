from __future__ import annotations

from typing import TYPE_CHECKING

from catchup_dev.generate import numbers

if TYPE_CHECKING:
    from pathlib import Path

_MODULE = '''
"""A module."""
from datetime import timedelta
from typing import Final

KEEP: Final = timedelta(days=90)
"""How long rows | columns
are kept.
"""
_OK: Final = 200
NAME: Final = "ada"
"""No number."""
NIGHT: Final = (21, 8)
"""The hours of the night."""
'''


def test_constants_with_a_number_and_a_docstring_are_listed(tmp_path: Path) -> None:
    (tmp_path / "rows.py").write_text(_MODULE, encoding="utf-8")
    assert list(numbers.rows(tmp_path / "rows.py", tmp_path)) == [
        "| How long rows / columns are kept. | `timedelta(days=90)` | `KEEP` | `rows.py` |",
        "| The hours of the night. | `(21, 8)` | `NIGHT` | `rows.py` |",
    ]


def test_numbers_of_all_three_source_roots_are_on_the_page() -> None:
    page = numbers.page()
    assert all(f"`{name}`" in page for name in ("BACKOFF_LIMIT", "LEASE_SECONDS", "FAILED_RUNS_KEPT"))
