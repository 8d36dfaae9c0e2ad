"""A manager's total: shared by priority, with nothing left idle that somebody wants."""

from __future__ import annotations

import attrs

from kew.app.working.capacity import Capacity


@attrs.define
class Queue:
    priority: int
    used: int = 0
    missing: int = 0
    woken: int = 0

    def load(self) -> int:
        return self.used

    def wake(self) -> None:
        self.woken += 1


def joined(capacity: Capacity, *queues: Queue) -> None:
    for queue in queues:
        capacity.join(queue)


def test_without_a_total_everybody_gets_what_it_wants() -> None:
    capacity, queue = Capacity(), Queue(2)
    joined(capacity, queue)
    assert capacity.offer(queue, 50) == 50


def test_the_total_bounds_what_all_queues_use() -> None:
    capacity, one, other = Capacity(5), Queue(2, used=3), Queue(2)
    joined(capacity, one, other)
    assert capacity.offer(other, 4) == 2
    assert other.missing == 2


def test_slots_that_are_about_to_be_settled_count_as_free() -> None:
    capacity, queue = Capacity(5), Queue(2, used=5)
    joined(capacity, queue)
    assert capacity.offer(queue, 3) == 0
    assert capacity.offer(queue, 3, settling=3) == 3


def test_what_a_higher_queue_wants_is_left_for_it() -> None:
    capacity, high, low = Capacity(4), Queue(1, missing=3), Queue(3)
    joined(capacity, low, high)
    assert capacity.offer(low, 4) == 1


def test_a_lower_queue_takes_nothing_from_a_higher_one() -> None:
    capacity, high, low = Capacity(4), Queue(1), Queue(3, missing=4)
    joined(capacity, high, low)
    assert capacity.offer(high, 4) == 4
    assert high.missing == 0


def test_freed_slots_wake_those_that_starve_by_priority() -> None:
    order: list[int] = []

    class Noting(Queue):
        def wake(self) -> None:
            order.append(self.priority)

    capacity = Capacity(4)
    joined(capacity, Noting(3, missing=1), Noting(2, missing=0), Noting(1, missing=2))
    capacity.freed()
    assert order == [1, 3]


def test_a_queue_that_left_takes_no_part() -> None:
    capacity, gone, other = Capacity(4), Queue(1, used=4, missing=4), Queue(2)
    joined(capacity, gone, other)
    capacity.leave(gone)
    capacity.leave(gone)
    assert capacity.offer(other, 4) == 4
