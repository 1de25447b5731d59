"""What `make test` plays a sample of, and `make test-all` in full.

`make test` sets CATCHUP_SAMPLE. It leaves out the tests marked `release`, plays each test that is for both databases on
one of them, and ten random examples of each property. `make test-all` sets CATCHUP_ALL. A run of single tests has
neither: it plays both databases, and a sample of what takes minutes (`sampled`).
"""

from __future__ import annotations

import os
from binascii import crc32
from collections.abc import Sequence
from typing import Final

IN_FULL: Final = "CATCHUP_ALL" in os.environ
IS_SAMPLE: Final = "CATCHUP_SAMPLE" in os.environ


def is_chosen(test: str, choices: Sequence[str], choice: str) -> bool:
    """Return whether a sample plays a test with this one of several choices, which the test's name decides."""
    return choices[crc32(test.encode()) % len(choices)] == choice
