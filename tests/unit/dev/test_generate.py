from __future__ import annotations

from pathlib import Path

import pytest

from catchup_dev.generate import GENERATED


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: Path(path).name)
def test_a_generated_file_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == GENERATED[path](), "run `make generate`"
