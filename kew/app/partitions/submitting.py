"""Submits to a queue of a partitioned namespace: ids that are found elsewhere are reserved there first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final, Protocol, TypeVar

import attrs

from kew.app.partitions.reserving import Reservations
from kew.app.ports import Ambiguous, Find, Operation, ReadSettings, Submitted, TaskStore
from kew.domain.requests import Along, Group, GroupOutcome, Word
from kew.domain.task import Task

A = TypeVar("A")
ROUNDS: Final = 8


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
        self._outcomes: dict[int, GroupOutcome] = {}
        self._refused = set[int]()  # groups with the id of another task

    async def carried_out(self) -> Submitted:
        """Reserve the ids, send the groups, and send those again that met what was no task."""
        ids = [call.id for group in self._groups for call in group.submissions]
        refused = frozenset(await self._reservations.reserve(ids, self._place))
        if refused:
            await self._refuse(refused)
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

    def _left(self) -> Sequence[int]:
        return [n for n in range(len(self._groups)) if n not in self._outcomes]

    async def _send(self, numbers: Sequence[int], along: Along) -> Submitted:
        answer = await self._store.submit(self._queue, [self._groups[n] for n in numbers], along)
        self._outcomes.update(zip(numbers, answer.outcomes, strict=True))
        return answer

    async def _to_send_again(self) -> Sequence[int]:
        """The groups that no task refused, nor one that isn't in, and those that may wait for them.

        A group that a first sending has stored keeps its outcome.
        """
        freed = [n for n in self._outcomes if await self._is_freed(n)]
        early = [n for n, outcome in self._outcomes.items() if outcome.word is Word.EARLY]
        let_in = [n for n in early if await self._is_let_in(n)]
        return sorted({*freed, *let_in, *(early if freed or let_in else ())})

    async def _is_freed(self, number: int) -> bool:
        outcome = self._outcomes[number]
        if outcome.word is not Word.DUPLICATE or number in self._refused:
            return False
        ids = [call.id for call in self._groups[number].submissions]
        if len(set(ids)) == len(ids) and await self._reservations.make_room(
            outcome.task_id, self._place
        ):
            return True
        self._refused.add(number)
        self._outcomes[number] = await self._refusal(self._groups[number], outcome.task_id)
        return False

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

    async def _refuse(self, refused: frozenset[str]) -> None:
        """The outcomes of the groups with such ids."""
        is_declared = await self._store.do(ReadSettings(self._queue)) is not None
        for n, group in enumerate(self._groups):
            task_id = next((call.id for call in group.submissions if call.id in refused), None)
            if task_id is not None:
                self._refused.add(n)
                self._outcomes[n] = (
                    await self._refusal(group, task_id)
                    if is_declared
                    else GroupOutcome(Word.NO_QUEUE)
                )

    async def _refusal(self, group: Group, in_use: str) -> GroupOutcome:
        """What one store would say of a group with an id that is in use: by itself, if it is in already."""
        found = await self._partitions.do(Find([call.id for call in group.submissions]))
        is_in, seen = False, set[str]()
        for call, task in zip(group.submissions, found, strict=True):
            is_mine = isinstance(task, Task) and task.call.nonce == call.nonce
            if call.id in seen or (task is not None and not is_mine):
                return GroupOutcome(Word.DUPLICATE, call.id)
            seen.add(call.id)
            is_in |= is_mine
        return GroupOutcome(Word.SAME) if is_in else GroupOutcome(Word.DUPLICATE, in_use)
