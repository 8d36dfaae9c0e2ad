"""All interleavings of the pure queue within small bounds: nothing is ever wrong, and in calm every task ends.

Each bound is searched whole; what it went through is printed (`pytest -s`, or the report of a failure).
"""

from __future__ import annotations

import os
import random
import sys

import pytest

from kew.domain.events import Expired, Orphaned
from kew.domain.lifecycle import TABLE
from tests.support.exhaustive.bounds import ALL, BOUNDS, LONGER, T0, Bound, calls, settings
from tests.support.exhaustive.canonical import key_of, queue_of
from tests.support.exhaustive.moves import World
from tests.support.exhaustive.oracles import Violation
from tests.support.exhaustive.search import Search

SEARCHED = {**BOUNDS, **(LONGER if os.environ.get("KEW_EXHAUSTIVE") == "long" else {})}


@pytest.mark.slow(10)
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SEARCHED)
@pytest.mark.no_cover
def test_no_interleaving_breaks_a_promise(name: str) -> None:
    found = Search(SEARCHED[name]).run()
    sys.stdout.write(f"\n{name}: {found}\n")
    assert found.states >= SEARCHED[name].least, "the search went through less than it used to"


EVERYTHING = Bound(
    name="everything once",
    tasks=calls({}, {"at_most_once": True}),
    settings=settings(max_deliveries=1, max_workers=1),
    lease_ms=1,
    may=ALL | {"answer", "ask for a retry", "replay", "snooze"},
    least=0,
)


@pytest.mark.no_cover
def test_the_search_takes_every_row_of_the_lifecycle() -> None:
    """But those of orphans, whose process isn't in the picture, and of tasks that expire before they start."""
    taken = Search(EVERYTHING).run().rows
    assert taken == {row for row in TABLE if row.event not in (Orphaned, Expired)}


def test_a_task_that_never_ends_is_seen() -> None:
    nobody = Bound(
        name="nobody can run it", tasks=calls({"function": "lost"}), settings=settings(), least=0
    )
    with pytest.raises(Violation, match="a task never ends"):
        Search(nobody).run()


@pytest.mark.no_cover
@pytest.mark.parametrize("name", BOUNDS)
def test_canonical_moments_have_the_same_future(name: str) -> None:
    """A queue and the plainest one with its key, led through the same moves, never come to differ."""
    bound = BOUNDS[name]
    for seed in range(60):
        draw = random.Random(seed)
        real = plain = World(bound, bound.start(), T0)
        for _ in range(40):
            moves = sorted(real.moves())
            assert moves == sorted(plain.moves())
            move = draw.choice(moves)
            real, plain = real.do(move), plain.do(move)
            keys = [
                key_of(world.queue, world.now, keeps_ends=True, is_symmetric=False)
                for world in (real, plain)
            ]
            assert keys[0] == keys[1], move
            plain = World(bound, queue_of(keys[0]), T0)
