"""`python -m catchup_dev.generate`: write the generated files that are stale, and name them."""

from __future__ import annotations

import sys

from catchup_dev.cluster.layout import CHECKOUT
from catchup_dev.generate import GENERATED, stale


def main() -> int:
    """Write what is stale; return the exit code."""
    written = stale()
    for path in written:
        path.write_text(GENERATED[path](), encoding="utf-8")
        print(f"wrote {path.relative_to(CHECKOUT)}")
    if not written:
        print("all generated files are current")
    return 0


if __name__ == "__main__":
    sys.exit(main())
