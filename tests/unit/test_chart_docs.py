from __future__ import annotations

import pytest

from catchup_dev import chart_docs


def test_the_charts_readme_and_schema_are_current() -> None:
    text = (chart_docs.CHART / "values.yaml").read_text()
    assert chart_docs.README.read_text() == chart_docs.readme(text), "run `make docs`"
    assert chart_docs.SCHEMA.read_text() == chart_docs.schema(text), "run `make docs`"


def test_a_value_without_a_comment_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"a\.c has no"):
        list(chart_docs.values("a:\n  # -- told\n  b: 1\n  c: 2\n"))
