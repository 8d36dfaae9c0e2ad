"""Where queues and ids lie: what is stored relies on it, so these values never change."""

import pytest

from kew.domain.config import is_name
from kew.domain.partitions import (
    LAYOUT_ID,
    RESERVED,
    SLOTS,
    block,
    blocked_life,
    home_of,
    is_reserved,
    layout,
    mark_of,
    partition_of,
    reservation,
    reserved_for,
    slot_of,
)
from kew.domain.task import Life, Submission, Task, TaskStatus, Unreadable

GOLDEN = {
    "": 0x0000,
    "mails": 0x2005,
    "orders": 0xFDEE,
    "orders-2": 0xAC7C,
    "reports.daily": 0x1FE5,
    "größe": 0xA989,
    "\ud800": 0xA528,
}


def record_of(call: Submission, queue: str = RESERVED) -> Task:
    return Task(call=call, queue=queue, status=TaskStatus.QUEUED, ready_at=1, ticket=7, queued_at=1)


@pytest.mark.parametrize(("text", "slot"), GOLDEN.items())
def test_the_slot_of_a_text_never_changes(text: str, slot: int):
    assert slot_of(text) == slot


@pytest.mark.parametrize(
    ("queue", "partitions"),
    [("mails", (0, 1, 1, 5)), ("orders", (0, 0, 2, 46)), ("größe", (0, 1, 0, 9))],
)
def test_a_queue_lies_in_one_partition_of_1_2_3_and_64(queue: str, partitions: tuple[int, ...]):
    assert tuple(partition_of(queue, count) for count in (1, 2, 3, 64)) == partitions


@pytest.mark.parametrize("partitions", [1, 2, 3, 64, SLOTS])
@pytest.mark.parametrize("queue", GOLDEN)
def test_a_generated_id_is_found_in_its_queues_partition_whatever_their_number(
    queue: str, partitions: int
):
    task_id = f"send-mail-h7GkQ2mZ81xYbN4c{mark_of(queue)}"
    assert home_of(task_id, partitions) == partition_of(queue, partitions)


@pytest.mark.parametrize("task_id", ["order-7", "a~3f1", "a~3F1A", "~3f1a-7", "a~3f1a\n"])
def test_any_other_id_is_found_by_its_own_slot(task_id: str):
    assert home_of(task_id, 64) == slot_of(task_id) % 64


def test_queues_spread_over_the_partitions():
    places = [partition_of(f"queue-{n}", 64) for n in range(6400)]
    assert all(50 <= places.count(place) <= 150 for place in range(64))


def test_a_reservation_names_the_partition_and_a_block_the_life_of_a_reservation():
    assert reserved_for(record_of(reservation("a", 12))) == 12
    assert reserved_for(record_of(block("a", Life(99, 0)))) is None
    assert reserved_for(record_of(reservation("a", 12), "orders")) is None
    assert blocked_life(record_of(block("a", Life(99, 0)))) == Life(99, 0)


def test_what_reserves_an_id_is_told_apart_from_tasks():
    assert is_reserved(record_of(reservation("a", 1)))
    assert not is_reserved(record_of(reservation("a", 1), "orders"))
    assert not is_reserved(Unreadable("a", "why"))
    assert not is_reserved(None)
    assert not is_name(RESERVED)


def test_the_layout_differs_by_number_and_order():
    made = {layout(number, count).nonce for count in (2, 3) for number in range(count)}
    assert len(made) == 5
    assert layout(0, 2).id == LAYOUT_ID
