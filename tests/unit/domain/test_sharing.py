"""Sharing a limit: what a claim leaves to a process that found the limit reached, and when it leaves nothing."""

from __future__ import annotations

from random import Random

import attrs
import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from kew.domain import queue as rules
from kew.domain.config import Settings
from kew.domain.events import Succeeded
from kew.domain.queue import Change
from kew.domain.requests import ClaimRequest, Grant
from kew.domain.sharing import COME_MS, TURN_MS, Starved, in_turn, part_of, waiting_since
from kew.domain.snapshot import Snapshot
from tests.support.tasks import LEASE_MS, NOW, queue, request, running, settlement, task

COUNTS = st.integers(0, 60)


def starved(holds: int, waited: int = 0, notified: int = 0) -> Starved:
    return Starved(holds, NOW - waited, notified)


def busy(limit: int, waiting: int = 40, **those: Starved) -> Snapshot:
    """A queue with free places, many tasks, and these starved processes."""
    tasks = [task(f"t{n}", ticket=n) for n in range(1, waiting + 1)]
    known = queue(*tasks, settings=Settings(max_workers=limit))
    return attrs.evolve(known, starved=those)


def claimed(before: Snapshot, asked: ClaimRequest) -> tuple[int, Change, Grant]:
    change, grant = rules.claim(before, asked, NOW)
    return len(grant.tasks), change, grant


@given(
    free=COUNTS,
    holds=COUNTS,
    others=st.lists(st.tuples(COUNTS, st.integers(0, 2 * TURN_MS)), max_size=5),
)
def test_a_part_is_an_equal_one_and_what_is_left_of_it_is_for_the_next_in_turn(
    free: int, holds: int, others: list[tuple[int, int]]
) -> None:
    those = {f"b{n}": starved(each, waited) for n, (each, waited) in enumerate(others)}
    part, next_in_turn = part_of(free, those, "a", holds, NOW)
    equal = (holds + free + sum(each for each, _ in others)) / (len(others) + 1)
    assert 0 <= part <= free
    assert holds + part <= max(holds, equal + 1)
    assert (next_in_turn is not None) == (part < free)
    assert next_in_turn is None or those[next_in_turn].holds < equal + 1


def test_alone_it_is_all_that_is_free() -> None:
    assert part_of(7, {}, "a", 3, NOW) == (7, None)
    assert part_of(7, {"a": starved(3, 900)}, "a", 3, NOW) == (7, None)


def test_turns_go_to_those_who_waited_long_enough_then_to_the_claimer() -> None:
    those = {
        "b": starved(0, TURN_MS),
        "c": starved(0, TURN_MS - 1),
        "d": starved(0, TURN_MS + 9),
        "e": starved(0, TURN_MS),
    }
    assert in_turn(those, "a", 1, NOW) == ["d", "b", "e", "a", "c"]
    assert in_turn(those, "c", 0, NOW) == ["d", "b", "e", "c"]
    assert in_turn(those, "d", 0, NOW) == ["d", "b", "e", "c"]
    assert in_turn(those, "d", 1, NOW) == ["b", "e", "d", "c"]
    assert part_of(1, those, "d", 0, NOW) == (1, None)
    assert part_of(1, those, "d", 1, NOW) == (0, "b")
    assert in_turn(those, "e", 0, NOW) == ["d", "b", "e", "c"]
    assert in_turn(those, "e", 1, NOW) == ["d", "b", "e", "c"]


def test_who_held_a_lease_until_now_has_not_waited() -> None:
    assert waiting_since(starved(1, 900), 1, NOW) == NOW - 900
    assert waiting_since(starved(1, 900), 0, NOW) == NOW
    assert waiting_since(None, 0, NOW) == NOW


def test_who_meets_the_limit_while_tasks_wait_is_starved_from_then_on() -> None:
    count, change, _ = claimed(busy(4), request("a", want=10, holds=2))
    assert (count, change.starved, change.next_in_turn) == (4, [("a", starved(6))], None)
    full = queue(running("r"), task(ticket=2), settings=Settings(max_workers=1))
    assert claimed(full, request("b", want=5))[1].starved == [("b", starved(0))]


def test_who_finds_nothing_again_waits_on_from_when_it_began() -> None:
    full = queue(running("r"), task(ticket=2), settings=Settings(max_workers=1))
    was = attrs.evolve(full, starved={"b": starved(0, 900, notified=2)})
    assert claimed(was, request("b", want=5))[1].starved == [("b", starved(0, 900))]
    assert claimed(was, request("b", want=5, holds=1))[1].starved == [("b", starved(1))]


@pytest.mark.parametrize(
    ("before", "want"),
    [
        (busy(9), 5),  # it got all it wanted
        (busy(9, waiting=3), 5),  # nothing is left
        (busy(9, waiting=9), 20),  # nor here, though the limit is met
        (attrs.evolve(busy(4), known={}), 20),  # what is left it can't run
    ],
)
def test_who_has_all_that_there_is_for_it_is_not_starved(before: Snapshot, want: int) -> None:
    was = attrs.evolve(before, starved={"a": starved(1)})
    _, change, _ = claimed(was, request("a", want=want))
    assert change.starved == [("a", None)]
    assert was.after(change).starved == {}


def test_a_claim_leaves_a_starved_process_its_part_and_says_whom_to_tell() -> None:
    before = busy(10, b=starved(0, 7))
    count, change, grant = claimed(before, request("a", want=10))
    assert (count, change.next_in_turn) == (5, "b")
    assert before.after(change).starved == {"a": starved(5), "b": starved(0, 7, notified=1)}
    assert grant.wait_ms == COME_MS


def test_what_the_process_keeps_meanwhile_counts_as_its_part() -> None:
    assert claimed(busy(10, b=starved(0)), request("a", want=10, holds=4))[0] == 3
    assert claimed(busy(10, b=starved(0)), request("a", want=10, holds=10))[0] == 0
    assert claimed(busy(10, b=starved(9)), request("a", want=10, holds=3))[0] == 8


def test_nothing_is_held_back_where_there_is_room_for_both() -> None:
    count, change, _ = claimed(busy(10, b=starved(0)), request("a", want=5))
    assert (count, change.next_in_turn) == (5, None)
    count, change, _ = claimed(busy(10, b=starved(0)), request("a", want=3))
    assert (count, change.next_in_turn) == (3, None)


def test_a_place_that_cannot_be_divided_changes_hands_after_a_while() -> None:
    early, late = busy(1, b=starved(0, TURN_MS - 1)), busy(1, b=starved(0, TURN_MS))
    count, change, _ = claimed(early, request("a", want=3))
    assert (count, change.next_in_turn) == (1, None)
    count, change, grant = claimed(late, request("a", want=3))
    assert (count, change.next_in_turn, grant.wait_ms) == (0, "b", COME_MS)
    count, change, _ = claimed(late.after(change), request("b", want=3))
    assert (count, change.starved, change.next_in_turn) == (1, [("b", starved(1))], None)


def test_who_left_a_part_looks_again_soon_or_when_a_lease_ends_before() -> None:
    soon = running("r", ticket=99, lease="c.0.1.1", lease_until=NOW + COME_MS - 1)
    for lease, wait in ((soon, COME_MS - 1), (soon.moved(lease_until=NOW + 900), COME_MS)):
        before = busy(3, b=starved(0))
        before = attrs.evolve(before, tasks={**before.tasks, "r": lease})
        count, change, grant = claimed(before, request("a", want=9))
        assert (count, change.next_in_turn, grant.wait_ms) == (1, "b", wait)


def test_who_finds_less_than_its_part_tells_nobody() -> None:
    count, change, grant = claimed(busy(10, waiting=2, b=starved(0)), request("a", want=10))
    assert (count, change.next_in_turn) == (2, None)
    assert grant.wait_ms == LEASE_MS


def test_a_process_that_never_comes_is_soon_left_nothing() -> None:
    before, left = busy(10, 100, b=starved(0)), []
    for sequence in range(1, 6):
        count, change, grant = claimed(before, request("a", sequence, want=10))
        left.append(10 - count)
        before = before.after(change)
        for given_task in grant.tasks:
            done = settlement(Succeeded(b""), given_task.id, given_task.lease)
            before = before.after(rules.settle(before, done, NOW)[0])
    assert left == [5, 5, 5, 0, 0]


class Processes:
    """Some processes of one queue, each with 20 slots."""

    def __init__(self, count: int, limit: int) -> None:
        self.held: dict[str, list[str]] = {f"p{n}": [] for n in range(count)}
        self.sequences = dict.fromkeys(self.held, 0)
        known = dict.fromkeys(self.held, frozenset({"shop:send"}))
        self.queue = attrs.evolve(busy(limit, waiting=600), known=known)

    def settle(self, name: str, count: int) -> None:
        """Its first `count` tasks end."""
        for task_id in self.held[name][:count]:
            done = settlement(Succeeded(b""), task_id, self.queue.tasks[task_id].lease)
            self.queue = self.queue.after(rules.settle(self.queue, done, NOW)[0])
        del self.held[name][:count]

    def claim(self, name: str) -> None:
        """For all of its free slots; whoever is told of a part claims it next."""
        self.sequences[name] += 1
        holds = len(self.held[name])
        asked = request(name, self.sequences[name], want=20 - holds, holds=holds)
        change, grant = rules.claim(self.queue, asked, NOW)
        self.queue = self.queue.after(change)
        self.held[name] += [each.id for each in grant.tasks]
        if change.next_in_turn:
            self.claim(change.next_in_turn)


@pytest.mark.no_cover
@settings(max_examples=30, deadline=None)
@given(random=st.randoms(use_true_random=False), count=st.integers(2, 4))
def test_processes_that_settle_and_claim_by_turns_have_at_least_half_an_equal_part(
    random: Random, count: int
) -> None:
    limit = 20
    processes = Processes(count, limit)
    for name in processes.held:
        processes.claim(name)
    assert [len(held) for held in processes.held.values()] == [limit, *[0] * (count - 1)]
    for _ in range(6):
        for name in sorted(processes.held, key=lambda _: random.random()):
            processes.settle(name, random.randint(6, 20))
            processes.claim(name)
    parts = [len(held) for held in processes.held.values()]
    assert sum(parts) == limit
    assert min(parts) >= limit / count / 2
