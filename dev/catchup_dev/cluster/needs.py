"""What a cluster needs on the machine before it can start, and saying so before minutes go by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catchup_dev import binaries, packages
from catchup_dev.cache import cache_root

if TYPE_CHECKING:
    from pathlib import Path

    from catchup_dev.console import Console


@dataclass(frozen=True)
class Needs:
    """Programs and packages by what the cluster is to have."""

    node: bool
    helm: bool

    @property
    def tools(self) -> tuple[str, ...]:
        """What people use themselves."""
        return ("kubectl", "helm") if self.helm else ("kubectl",)

    def _programs(self) -> tuple[str, ...]:
        return (*binaries.CONTROL_PLANE, *(binaries.NODE if self.node else ()), *self.tools)

    def _packages(self) -> dict[str, str]:
        return {**packages.CONTROL_PLANE, **(packages.NODE if self.node else {})}

    def announce(self, console: Console) -> None:
        """Say up front what a first run will do."""
        to_install = packages.missing(self._packages())
        to_build = binaries.missing(self._programs())
        if to_install:
            console.say(f"Will install Debian packages: {' '.join(to_install)} (about a minute)")
        if to_build:
            parts = ", ".join(f"{module.name} ({module.first_build})" for module in to_build)
            console.say(f"Will build, once, into {cache_root()}: {parts}; times are for two cores")
        if not self.node:
            console.say("Control plane only: Jobs and pods can be made, but there is no node to run them.")

    def ensure(self, console: Console) -> dict[str, Path]:
        """Install and build what is missing; the programs' paths."""
        packages.ensure(self._packages(), console)
        return self.programs(console)

    def programs(self, console: Console | None = None) -> dict[str, Path]:
        """Build what is missing; return the programs' paths."""
        return binaries.ensure(self._programs(), console)
