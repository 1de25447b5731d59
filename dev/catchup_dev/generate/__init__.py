"""Every generated file of the tree, and what makes it: `make generate` writes them, a test holds them current."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from catchup_dev.cluster.layout import CHECKOUT
from catchup_dev.generate import chart, configuration, numbers, pod_types, scaling

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GENERATED: Final[dict[Path, Callable[[], str]]] = {
    # The chart cannot refer to a file outside of it.
    **{chart.CHART / "files" / crd.name: partial(crd.read_text, encoding="utf-8") for crd in configuration.DEFINITIONS},
    chart.CHART / "README.md": lambda: chart.readme(chart.VALUES.read_text(encoding="utf-8")),
    chart.CHART / "values.schema.json": lambda: chart.schema(chart.VALUES.read_text(encoding="utf-8")),
    pod_types.TABLE: pod_types.table,
    CHECKOUT / "docs" / "configuration.md": configuration.page,
    CHECKOUT / "docs" / "numbers.md": numbers.page,
    scaling.PAGE: scaling.page,
}


def stale() -> list[Path]:
    """Return the generated files that are not as they would be made now."""
    return [path for path, make in GENERATED.items() if not path.exists() or path.read_text(encoding="utf-8") != make()]
