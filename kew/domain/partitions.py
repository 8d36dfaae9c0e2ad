"""Which partition of a namespace a queue lies in, and where an id is looked up: a rule that stored data relies on.

A *slot* is the lower 16 bits of the CRC-32 of a text in UTF-8. A queue lies in the partition `slot(name) % partitions`.
An id's *home* is the partition in which it is looked up: generated ids end with the slot of their queue
("send-mail-h7Gk2...~3f1a"), so their home is their queue's partition; any other id has the slot of its own text.

An id whose home isn't the partition of its queue is reserved in its home first. A reservation is a task record of the
queue `RESERVED`, which waits for ever and which no process claims: so it takes the id for every queue of its partition,
in the store's own atomic step, and names the partition that may use the id. Before a reservation is given back, its id
is *blocked* in that partition, by a record of the same kind: no submit that relies on the reservation can succeed then.
"""

from __future__ import annotations

import re
import zlib
from typing import Final, TypeGuard

import attrs

from kew.domain.config import MOST_TASKS, SHORTEST_TTL, Settings, to_ms
from kew.domain.task import Found, Life, QueuePriority, Submission, Task

SLOTS: Final = 1 << 16
MARKED: Final = re.compile(r"~([0-9a-f]{4})\Z")
LAID_OUT: Final = re.compile(r"n(\d+)of(\d+)")
RESERVED: Final = "~ids"
"""The queue of reservations and blocks, in every partition. No user's queue can have this name."""
LAYOUT_ID: Final = "~partitions"
"""The record that says which partition of how many this is."""
FOREVER_MS: Final = 10**15 - 1
RESERVED_SETTINGS: Final = Settings(
    max_size=MOST_TASKS, breaker_failures=0, task_ttl_ms=to_ms(SHORTEST_TTL)
)
"""A block lasts, once its reservation is gone, until no sending of a submit can arrive any more."""


def slot_of(text: str) -> int:
    """The slot of a queue's name, or of an id that carries none."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass")) % SLOTS


def partition_of(queue: str, partitions: int) -> int:
    """The partition in which a queue lies."""
    return slot_of(queue) % partitions


def mark_of(queue: str) -> str:
    """What the generated ids of a queue's tasks end with."""
    return f"~{slot_of(queue):04x}"


def home_of(task_id: str, partitions: int) -> int:
    """The partition in which an id is looked up."""
    marked = MARKED.search(task_id)
    return (int(marked[1], 16) if marked else slot_of(task_id)) % partitions


# --- reservations and blocks


def reservation(task_id: str, partition: int) -> Submission:
    """The id belongs to this partition. Reserving it twice for one partition is a repeat."""
    return _record(task_id, f"p{partition}")


def reserved_for(found: Found) -> int | None:
    """The partition that a reservation names; None: this is no reservation."""
    if is_reserved(found) and found.call.nonce.startswith("p"):
        return int(found.call.nonce[1:])
    return None


def block(task_id: str, life: Life) -> Submission:
    """The id can't be used here while the reservation of this life is given back."""
    return _record(task_id, f"b{life.ticket}")


def blocked_life(record: Task) -> Life:
    """The reservation that a block names."""
    return Life(int(record.call.nonce[1:]), 0)


def layout(partition: int, partitions: int) -> Submission:
    """This is the partition of that number, of so many."""
    return _record(LAYOUT_ID, f"n{partition}of{partitions}")


@attrs.frozen
class Layout:
    """A partition's number, and how many there are."""

    number: int
    partitions: int


def laid_out(found: Found) -> Layout | None:
    """What the record `layout` says; None: it is none."""
    if is_reserved(found) and (said := LAID_OUT.fullmatch(found.call.nonce)):
        return Layout(int(said[1]), int(said[2]))
    return None


def is_reserved(found: Found) -> TypeGuard[Task]:
    """It is a reservation or a block, and no user's task."""
    return isinstance(found, Task) and found.queue == RESERVED


def _record(task_id: str, nonce: str) -> Submission:
    return Submission(
        id=task_id,
        nonce=nonce,
        task_type="",
        function="~",
        payload=b"",
        priority=int(QueuePriority.MEDIUM),
        due_at=FOREVER_MS,
    )
