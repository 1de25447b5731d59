"""docs/numbers.md, made from the constants that have a docstring, of the source roots and of `dev/catchup_dev`."""

from __future__ import annotations

import ast
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from catchup_dev.cluster.layout import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ROOTS: Final = (
    "contract/catchup_contract",
    "operator/catchup_operator",
    "jobs_image/catchup_jobs",
    "dev/catchup_dev",
)
_VALUE_LENGTH: Final = 60
_HEADER: Final = """# Numbers

The numbers in the code: the constants of modules that have a docstring. What an installation or a user can set is in
[configuration.md](configuration.md); the timing of probes is in `helm/catchup-jobs/templates/operator.yaml`.
"""


def page() -> str:
    """Return the text of docs/numbers.md."""
    parts = [_HEADER]
    for root in _ROOTS:
        lines = [row for path in sorted((CHECKOUT / root).rglob("*.py")) for row in rows(path, CHECKOUT / root)]
        parts.append(f"## `{root}/`\n\n| number | value | constant | file |\n| --- | --- | --- | --- |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def rows(path: Path, root: Path) -> Iterator[str]:
    """Yield the table's row of each number of the module at `path`, which is named as seen from `root`."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for node, following in pairwise(body):
        if isinstance(node, ast.AnnAssign) and _is_number(node) and (text := _docstring(following)):
            where = f"`{path.relative_to(root).as_posix()}`"
            yield f"| {text.replace('|', '/')} | `{_shown(node.value)}` | `{ast.unparse(node.target)}` | {where} |"


def _is_number(node: ast.AnnAssign) -> bool:
    parts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
    return any(isinstance(value, int | float) and not isinstance(value, bool) for value in parts)


def _docstring(node: ast.stmt) -> str:
    match node:
        case ast.Expr(ast.Constant(str(text))):
            return " ".join(text.split())
        case _:
            return ""


def _shown(value: ast.expr | None) -> str:
    text = ast.unparse(value) if value is not None else ""
    return text if len(text) <= _VALUE_LENGTH else f"{text[:_VALUE_LENGTH]} …"
