"""Sync, suggestions and digest together, while users edit, servers fail and pods die, by a seed: nothing is lost.

A few seeds here; 200 with `make torture`. `CATCHUP_SEED=17` plays that one alone, also one of those; a story that fails
prints what happened in it. Timing is the machine's, so that a seed may need to be played more than once to fail again.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from integration.jobs.story import pods
from integration.jobs.story.clock import Clock
from integration.jobs.story.faults import FAULTS, backend_of, hand
from integration.jobs.story.story import HAND, Story, cast
from integration.jobs.story.world import Machine, World
from integration.services import postgres_server
from seeds import seeds

from catchup_dev.doubles.google import server as google_server
from catchup_dev.doubles.smtp import server as smtp_server
from catchup_dev.doubles.twilio import server as twilio_server
from catchup_jobs.adapters.database.migrate import upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# One set of servers for all of them.
pytestmark = pytest.mark.xdist_group("stories")

SEEDS = seeds(few=4, in_sample=2)
# A minute of a story is a second.
SPEED = 60.0


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Servers, doubles and a source of pods, for all stories of this process."""
    directory = tmp_path_factory.mktemp("stories")
    clock = Clock.make(directory / "clock", speed=SPEED)
    with ExitStack() as stack:
        postgres = stack.enter_context(postgres_server())
        postgres.create("template_of_stories")
        templates = {"postgresql": "template_of_stories", "sqlite": str(directory / "template.db")}
        upgrade(postgres.url("template_of_stories"))
        upgrade(f"sqlite:///{templates['sqlite']}")
        yield Machine(
            clock,
            stack.enter_context(pods.running(directory / "clock")),
            postgres,
            templates,
            stack.enter_context(google_server.running()),
            stack.enter_context(twilio_server.running()),
            stack.enter_context(smtp_server.running()),
        )


@pytest.mark.parametrize("seed", SEEDS, ids="seed-{}".format)
def test_nothing_is_lost_nothing_twice_and_all_are_well_in_the_end(machine: Machine, tmp_path: Path, seed: int) -> None:
    for double in (machine.google.control, machine.twilio.control, machine.mail.control):
        double.reset()
    world = World(machine, backend_of(seed), tmp_path, cast(seed), name=f"story_{seed}")
    try:
        Story(world, seed).play()
    except BaseException:
        print("\n".join([f"CATCHUP_SEED={seed} plays this story again:", *world.trace]))
        raise
    finally:
        world.close()


def test_four_seeds_play_every_fault() -> None:
    for first in range(0, 200, 4):
        assert set().union(*(hand(seed, HAND) for seed in range(first, first + 4))) == set(FAULTS)
