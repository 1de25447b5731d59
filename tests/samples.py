"""What `make test` plays a sample of, and `make test-all` in full, with CATCHUP_ALL=1.

These are the tests marked `sampled`, and all random examples of Hypothesis (`conftest.py`).
"""

from __future__ import annotations

import os
from typing import Final

IN_FULL: Final = "CATCHUP_ALL" in os.environ
