"""What `make test` plays a sample of, and `make test-all` in full: the tests marked `sampled`, with CATCHUP_ALL=1."""

from __future__ import annotations

import os
from typing import Final

IN_FULL: Final = "CATCHUP_ALL" in os.environ
