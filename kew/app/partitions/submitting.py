"""Submits to a queue of a partitioned namespace: ids that are found elsewhere are reserved there first."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol, TypeVar

import attrs

from kew.app.partitions.reserving import Reservations
from kew.app.ports import Ambiguous, Find, Operation, ReadSettings, Refused, Submitted, TaskStore
from kew.domain.requests import Along, Group, GroupOutcome, Word
from kew.domain.task import Found, Task

A = TypeVar("A")
ROUNDS: Final = 8
FRESH: Final = 20.0
"""Seconds for which a submit relies on its reservations. Those that have no task are given back after four times that,
and it may wait half of the rest for a connection."""


class Partitions(Protocol):
    """What a submit needs of the store above the partitions."""

    @property
    def reservations(self) -> Reservations: ...
    def place_of(self, queue: str) -> int: ...
    def store_of(self, queue: str) -> TaskStore: ...
    def id_ending(self, queue: str) -> str: ...
    async def do(self, operation: Operation[A]) -> A: ...


def is_at_home(groups: Iterable[Group], ending: str) -> bool:
    """All ids were generated for the queue whose ids end so."""
    return all(call.id.endswith(ending) for group in groups for call in group.submissions) and all(
        group.after is None or group.after.task_id.endswith(ending) for group in groups
    )


async def submit(
    partitions: Partitions, queue: str, groups: Collection[Group], along: Along
) -> Submitted:
    """The answer of the queue's partition, as if all ids were found there."""
    if is_at_home(groups, partitions.id_ending(queue)):
        return await partitions.store_of(queue).submit(queue, groups, along)
    return await _Submit(partitions, queue, groups, along).carried_out()


class _Submit:
    """One submit on its way."""

    def __init__(
        self, partitions: Partitions, queue: str, groups: Iterable[Group], along: Along
    ) -> None:
        self._partitions = partitions
        self._reservations = partitions.reservations
        self._place = partitions.place_of(queue)
        self._store = partitions.store_of(queue)
        self._queue, self._groups, self._along = queue, list(groups), along
        self._reserved_at = 0.0  # when the oldest reservation that it relies on was asked for
        self._outcomes: dict[int, GroupOutcome] = {}
        self._refused = set[int]()  # groups with the id of another task

    async def carried_out(self) -> Submitted:
        """Reserve the ids, send the groups, and send those again that met what was no task."""
        await self._reserve(range(len(self._groups)))
        answer = await self._send(self._left(), self._along)
        again = await self._to_send_again()
        for _ in range(ROUNDS):
            if not again:
                outcomes = [self._outcomes[n] for n in range(len(self._groups))]
                return attrs.evolve(answer, outcomes=outcomes)
            more = await self._send(again, Along(submitter=self._along.submitter))
            answer = attrs.evolve(answer, has_work=answer.has_work or more.has_work)
            again = await self._to_send_again()
        raise Ambiguous("an id of the submit is being given back by other processes")

    async def _reserve(self, numbers: Sequence[int]) -> None:
        """Reserve the ids of these groups, and refuse those with an id that is in use."""
        self._reserved_at = asyncio.get_running_loop().time()
        ids = [call.id for n in numbers for call in self._groups[n].submissions]
        refused = frozenset(await self._reservations.reserve(ids, self._place))
        if refused:
            await self._refuse(numbers, refused)

    async def _be_fresh(self, numbers: Sequence[int]) -> Sequence[int]:
        """Those of the groups that may be sent: a process that stood still reserves again before it sends.

        What it reserved may have been given back meanwhile, and used elsewhere.
        """
        loop = asyncio.get_running_loop()
        for _ in range(ROUNDS):
            if loop.time() - self._reserved_at <= FRESH:
                return [n for n in numbers if n not in self._refused]
            await self._reserve(numbers)
        raise Refused("this process stands still for too long to reserve ids and to submit in time")

    def _left(self) -> Sequence[int]:
        return [n for n in range(len(self._groups)) if n not in self._outcomes]

    async def _send(self, numbers: Sequence[int], along: Along) -> Submitted:
        numbers = await self._be_fresh(numbers)
        answer = await self._store.submit(self._queue, [self._groups[n] for n in numbers], along)
        self._outcomes.update(zip(numbers, answer.outcomes, strict=True))
        return answer

    async def _to_send_again(self) -> Sequence[int]:
        """The groups that no task refused, nor one that isn't in, and those that may wait for them.

        A group that a first sending has stored keeps its outcome.
        """
        freed = await self._freed()
        early = [n for n, outcome in self._outcomes.items() if outcome.word is Word.EARLY]
        let_in = [n for n in early if await self._is_let_in(n)]
        return sorted({*freed, *let_in, *(early if freed or let_in else ())})

    async def _freed(self) -> Sequence[int]:
        """The groups that met what was no task; the others that met something are refused."""
        met = {
            n: outcome.task_id
            for n, outcome in self._outcomes.items()
            if outcome.word is Word.DUPLICATE and n not in self._refused
        }
        ids = list(dict.fromkeys(met[n] for n in met if self._has_distinct_ids(n)))
        room = dict(zip(ids, await self._reservations.make_room_for(ids, self._place), strict=True))
        freed = [n for n, task_id in met.items() if self._has_distinct_ids(n) and room[task_id]]
        await self._refuse_each({n: task_id for n, task_id in met.items() if n not in freed})
        return freed

    def _has_distinct_ids(self, number: int) -> bool:
        ids = [call.id for call in self._groups[number].submissions]
        return len(set(ids)) == len(ids)

    async def _is_let_in(self, number: int) -> bool:
        """Whether what it was to come after is in, in another partition."""
        group = self._groups[number]
        if group.after is None:
            return False
        (before,) = await self._partitions.do(Find([group.after.task_id]))
        if (
            not isinstance(before, Task)
            or before.call.nonce != group.after.nonce
            or self._partitions.place_of(before.queue) == self._place
        ):
            return False
        self._groups[number] = attrs.evolve(group, after=None)
        return True

    # --- ids that are in use elsewhere

    async def _refuse(self, numbers: Sequence[int], refused: frozenset[str]) -> None:
        """The outcomes of the groups with such ids."""
        groups = {n: self._groups[n] for n in numbers}
        met = {
            n: call.id
            for n, group in groups.items()
            for call in reversed(group.submissions)
            if call.id in refused
        }
        if await self._store.do(ReadSettings(self._queue)) is not None:
            await self._refuse_each(met)
        else:
            self._refused.update(met)
            self._outcomes.update(dict.fromkeys(met, GroupOutcome(Word.NO_QUEUE)))

    async def _refuse_each(self, met: Mapping[int, str]) -> None:
        """The outcomes of groups that met these ids, which are in use."""
        self._refused.update(met)
        ids = [call.id for n in met for call in self._groups[n].submissions]
        found = iter(await self._partitions.do(Find(ids)) if ids else ())
        for n, task_id in met.items():
            self._outcomes[n] = _refusal(self._groups[n], task_id, found)


def _refusal(group: Group, in_use: str, found: Iterator[Found]) -> GroupOutcome:
    """What one store would say of a group with an id that is in use: by itself, if it is in already.

    `found`: what is found of its ids, and of those after it.
    """
    tasks = [next(found) for _ in group.submissions]
    is_in, seen = False, set[str]()
    for call, task in zip(group.submissions, tasks, strict=True):
        is_mine = isinstance(task, Task) and task.call.nonce == call.nonce
        if call.id in seen or (task is not None and not is_mine):
            return GroupOutcome(Word.DUPLICATE, call.id)
        seen.add(call.id)
        is_in |= is_mine
    return GroupOutcome(Word.SAME) if is_in else GroupOutcome(Word.DUPLICATE, in_use)
