"""The product on a real node: one cluster and one installation for the session, apart from the demo's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.unlucky import UNLUCKY, crash, mend

from catchup_dev.cluster import Cluster
from catchup_dev.stack import CHART, RELEASE, Stack

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave these tests out, and say why, where nobody may make a node."""
    if os.geteuid() != 0:
        needs_root = pytest.mark.skip(reason="a node needs root: namespaces, mounts, network devices")
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(needs_root)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The product installed as a user does it, with the double in Google's place."""
    cluster = Cluster(f"e2e-{os.getpid()}", tmp_path_factory.mktemp("cluster"), node=True, helm=True)
    found = Stack(cluster)
    try:
        cluster.up()
        built = found.load_images()
        found.stand_ins.start()
        found.make_namespace()
        values = found.write_values(found.values(built))
        found.helm("install", RELEASE, str(CHART), "--values", str(values), "--timeout=4m")
        found.wait_for_operator()
        yield found
    finally:
        found.stand_ins.stop()
        cluster.down()


@pytest.fixture(scope="session")
def crashing(stack: Stack) -> tuple[str, str]:
    """A Job whose pods crash, just started: its name, and what to mend when they have."""
    return crash(stack)


@pytest.fixture(scope="session")
def crashed(stack: Stack, crashing: tuple[str, str]) -> dict[str, Any]:
    """That Job, failed for good; what made it crash is mended."""
    name, rule = crashing
    stack.follow(UNLUCKY, name, seconds=150)
    mend(stack, rule)
    return stack.get("job", name)
