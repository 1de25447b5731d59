"""What names an image: the files its Dockerfile copies, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from catchup_dev.cache import digest_files
from catchup_dev.console import Failure
from catchup_dev.dockerfile import stage, used_files

if TYPE_CHECKING:
    from pathlib import Path

DOCKERFILE = """\
FROM base AS build
COPY requirements/a.txt \\
     pyproject.toml /src/
COPY --chown=1:1 package /src/package
FROM base
COPY --from=build /opt/venv /opt/venv
ADD ["docs/*.md", "/docs/"]
"""


@pytest.fixture
def context(tmp_path: Path) -> Path:
    for name in (
        "Dockerfile",
        "pyproject.toml",
        "other.toml",
        "requirements/a.txt",
        "requirements/b.txt",
        "package/module.py",
        "package/__pycache__/module.cpython-311.pyc",
        "package/inner/data.json",
        "docs/a.md",
        "docs/a.png",
    ):
        path = tmp_path / "context" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "context" / "Dockerfile").write_text(DOCKERFILE)
    return tmp_path / "context"


def test_only_what_is_copied_counts(context: Path) -> None:
    files = used_files(context / "Dockerfile", context)
    assert [str(path.relative_to(context)) for path in files] == [
        "docs/a.md",
        "package/inner/data.json",
        "package/module.py",
        "pyproject.toml",
        "requirements/a.txt",
    ]


def test_the_name_changes_with_the_content_only(context: Path) -> None:
    files = used_files(context / "Dockerfile", context)
    before = digest_files(context, files)
    (context / "pyproject.toml").touch()
    (context / "other.toml").write_text("changed")
    assert digest_files(context, files) == before
    (context / "package" / "module.py").write_text("changed")
    assert digest_files(context, files) != before


def test_a_build_sees_the_used_files_without_their_times(context: Path, tmp_path: Path) -> None:
    files = used_files(context / "Dockerfile", context)
    stage(files, context, tmp_path / "staged")
    staged = [path for path in (tmp_path / "staged").rglob("*") if path.is_file()]
    assert len(staged) == len(files)
    assert {path.stat().st_mtime for path in staged} == {0}


def test_a_copy_of_what_is_not_there_is_named(context: Path) -> None:
    (context / "docs" / "a.md").unlink()
    with pytest.raises(Failure, match=r"docs/\*\.md"):
        used_files(context / "Dockerfile", context)
