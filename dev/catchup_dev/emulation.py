"""Lets this machine run programs of another architecture: QEMU's user mode, registered with the kernel's binfmt_misc.

The kernel keeps a registration until the machine is started again
(https://docs.kernel.org/admin-guide/binfmt-misc.html). With the flag `F` it opens QEMU at once, so that a program finds
it in any root directory, such as that of a container.
"""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Final

from catchup_dev import packages
from catchup_dev.console import Console, Failure

PROGRAMS: Final = {"arm64": "qemu-aarch64-static"}
"""Architectures by Debian's names, and QEMU's program for each."""
_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_BINFMT: Final = Path("/proc/sys/fs/binfmt_misc")
# The first 20 bytes of an ELF program (elf(5)): 64 bit, little-endian, type 2 or 3 (executable, shared), machine 0xb7.
_MAGIC: Final = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK: Final = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"


def machine() -> str:
    """Return this machine's architecture by Debian's name."""
    return _MACHINES.get(platform.machine(), platform.machine())


def ensure(architecture: str, console: Console) -> None:
    """Have programs of the architecture run here until the machine is started again; needs root.

    Raises:
        Failure: where the kernel has no binfmt_misc.
    """
    program = PROGRAMS[architecture]
    entry = _BINFMT / program.removesuffix("-static")
    if _is_registered(entry):
        return
    packages.ensure({program: "qemu-user-static"}, console)
    if not (_BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(_BINFMT)], check=False, capture_output=True)
    # Debian's package may have registered it.
    if not _is_registered(entry):
        try:
            (_BINFMT / "register").write_text(f":{entry.name}:M::{_MAGIC}:{_MASK}:/usr/bin/{program}:FP")
        except OSError as error:
            raise Failure(
                f"This kernel does not run programs of {architecture}: {error.strerror}.",
                todo="build on a machine of that architecture, or on one whose kernel has binfmt_misc.",
            ) from error
        console.say(f"Programs of {architecture} run here by QEMU until the machine is started again.")


def _is_registered(entry: Path) -> bool:
    if not entry.exists():
        return False
    lines = entry.read_text().splitlines()
    return "enabled" in lines and any(line.startswith("flags:") and "F" in line for line in lines)
