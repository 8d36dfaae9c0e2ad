"""What an oracle is, and the step that it judges: one operation of the store with all that it changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import attrs

from kew.adapters.memory.indexed_queue import IndexedQueue
from kew.adapters.memory.namespace import MemoryQueue
from kew.app.ports import Operation
from kew.domain.requests import ClaimRequest, Grant, Settlement, SettleOutcome, Word
from kew.domain.sharing import Starved
from kew.domain.task import Task
from kew.domain.view import QueueState
from kew.simulation.facts import Facts


class Alteration:
    """One record before and after an operation; None: there was, or is, none."""

    __slots__ = ("ended_lease", "is_created", "is_granted", "is_removed", "new", "old")

    def __init__(self, old: Task | None, new: Task | None) -> None:
        self.old, self.new = old, new
        same = old is not None and new is not None and old.ticket == new.ticket
        self.is_created = new is not None and not same
        self.is_removed = old is not None and not same
        kept = same and old.lease == new.lease  # type: ignore[union-attr]  # same: neither is None
        self.ended_lease = "" if old is None or kept else old.lease
        self.is_granted = new is not None and bool(new.lease) and not kept

    @property
    def id(self) -> str:
        """The task's id."""
        task = self.new or self.old
        assert task is not None
        return task.id


@attrs.define(kw_only=True)
class Step:
    """An operation that was carried out. `now` is the store's clock (ms), `at` virtual time (s).

    `waiting` and `leased` are the queue's tasks after it, `presence` its processes, each until when.
    """

    operation: Operation[Any]
    reply: Any
    caller: str
    queue: str
    now: int
    at: float
    alterations: Sequence[Alteration]
    before: QueueState | None
    after: QueueState | None
    indexed: IndexedQueue | None
    presence: Mapping[str, int]
    waiting: Mapping[str, Task]
    leased: Mapping[str, Task]
    leased_before: Mapping[str, Task]
    starved_before: Mapping[str, Starved]
    request: ClaimRequest | None = None
    grant: Grant | None = None
    settled: Mapping[tuple[str, str], tuple[Settlement, SettleOutcome]] = attrs.field(factory=dict)

    @property
    def is_fresh_claim(self) -> bool:
        """A claim was judged now, rather than a former answer repeated."""
        return self.grant is not None and self.grant.word is Word.DONE


class Oracle:
    """A judge of one promise. What it yields are violations, as sentences."""

    name = ""
    # The operations that it judges although they altered no record; None: all of them.
    judges: ClassVar[tuple[type[Operation[Any]], ...] | None] = None

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    def judges_unaltered(self, kind: type[Operation[Any]]) -> bool:
        """Whether it judges operations of this kind that altered no record."""
        return self.judges is None or kind in self.judges

    def judge(self, step: Step) -> Iterator[str]:
        """Whether the step kept the promise."""
        yield from ()

    def look(
        self, queue: MemoryQueue, waiting: Mapping[str, Task], now: int, *, is_busy: bool
    ) -> Iterator[str]:
        """Called every second, between operations. `is_busy`: something runs, somewhere."""
        yield from ()

    def forgot(self) -> None:
        """The store lost its last writes: forget what they showed."""

    def at_end(self, records: Mapping[str, Task]) -> Iterator[str]:
        """Whether the whole run kept it, long after the last fault."""
        yield from ()
