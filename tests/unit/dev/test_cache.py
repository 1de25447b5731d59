"""The cache shows whole things or nothing, whoever makes them and however that ends."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from catchup_dev.cache import cache_root, cached_directory, digest, locked

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_a_making_that_fails_leaves_nothing_and_is_tried_again() -> None:
    def fail(scratch: Path) -> None:
        (scratch / "half").touch()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        cached_directory("thing", fail)
    assert [entry for entry in cache_root().iterdir() if entry.is_dir()] == []
    made = cached_directory("thing", lambda scratch: (scratch / "whole").touch())
    assert [entry.name for entry in made.iterdir()] == ["whole"]


def test_what_a_killed_maker_left_is_removed() -> None:
    left = cache_root() / ".thing.making-killed"
    left.mkdir()
    cached_directory("thing", lambda scratch: (scratch / "whole").touch())
    assert not left.exists()


def test_two_makers_side_by_side_make_it_once() -> None:
    made = []

    def make(scratch: Path) -> None:
        made.append(scratch)
        time.sleep(0.05)

    makers = [threading.Thread(target=cached_directory, args=("thing", make)) for _ in range(3)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(made) == 1


def test_who_waited_for_a_lock_whose_file_was_deleted_still_keeps_others_out(tmp_path: Path) -> None:
    path = tmp_path / "some.lock"
    inside: list[str] = []

    def hold(name: str) -> None:
        with locked(path):
            inside.append(name)
            assert len(inside) == 1
            time.sleep(0.02)
            path.unlink(missing_ok=True)
            inside.remove(name)

    holders = [threading.Thread(target=hold, args=(str(number),)) for number in range(5)]
    for holder in holders:
        holder.start()
    for holder in holders:
        holder.join()
    assert inside == []


def test_parts_of_a_digest_do_not_run_together() -> None:
    assert digest(["ab", "c"]) != digest(["a", "bc"])
