from __future__ import annotations

import pytest

from catchup_dev.generate import chart


def test_a_value_without_a_comment_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"a\.c has no"):
        list(chart.values("a:\n  # -- told\n  b: 1\n  c: 2\n"))
