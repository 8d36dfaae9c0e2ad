"""Reserving ids whose home isn't the partition of their queue, and giving reservations back.

The order of the steps keeps an id from being used twice, whatever is lost, late or repeated:

- *Using* an id: reserve it in its home, then submit in the queue's partition. Both are repeatable.
- *Giving back*: block the id in the partition that the reservation names, which fails if a task has it; remove the
  reservation of this very life from the home; then end the block. A submit that was on its way meets the block, and a
  block that has ended stays until no sending of a submit can arrive any more.
- *Using it again*: a submit that meets a block finishes what it stands for, reserves the id, and only then removes it.
  A block that has not ended can't be removed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

from kew.app.ports import (
    Ambiguous,
    Cancel,
    CancelAll,
    Declare,
    Find,
    Forget,
    ListWaiting,
    Queues,
    Submit,
    Sweep,
    TaskStore,
)
from kew.app.steady import PRESENCE_MS
from kew.domain.config import SHORTEST_TTL, to_ms
from kew.domain.listing import Place, WaitingFilter
from kew.domain.partitions import (
    LAYOUT_ID,
    RESERVED,
    RESERVED_SETTINGS,
    block,
    blocked_life,
    home_of,
    is_reserved,
    reservation,
    reserved_for,
)
from kew.domain.requests import Group, LifeRef, Word
from kew.domain.task import Found, Life, Submission, Task

A = TypeVar("A")
ROUNDS: Final = 8  # in which others may get in between
AT_ONCE: Final = 100  # reservations that maintenance looks at in one request
EDITION: Final = "reserved"
GIVEN_BACK_AFTER_MS: Final = to_ms(SHORTEST_TTL)
"""How old a reservation without a task is before maintenance gives it back: no submit is repeated for so long."""


async def together(calls: Sequence[Awaitable[A]]) -> Sequence[A]:
    """Their answers, in order. Raises the first of the errors, once all have ended."""
    if not calls:
        return []
    if len(calls) == 1:
        return [await calls[0]]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return [answer for answer in answers if not isinstance(answer, BaseException)]


async def one_after_the_other(closings: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Close everything, also if one fails, and where no other task can be started any more."""
    async with contextlib.AsyncExitStack() as stack:
        for close in closings:
            stack.push_async_callback(close)


class Reservations:
    """Those of a namespace. `stores`: its partitions."""

    def __init__(self, stores: Sequence[TaskStore]) -> None:
        self._stores = stores
        self._read_up_to: dict[int, Place | None] = {}

    # --- using ids

    async def reserve(self, ids: Sequence[str], partition: int) -> Sequence[str]:
        """Reserve ids for a partition, each in its home. Returns those that are in use elsewhere."""
        homes: dict[int, list[str]] = {}
        for task_id in dict.fromkeys(ids):
            home = home_of(task_id, len(self._stores))
            if home != partition:
                homes.setdefault(home, []).append(task_id)
        refused = [self._reserve_at(home, mine, partition) for home, mine in homes.items()]
        return [task_id for some in await together(refused) for task_id in some]

    async def _reserve_at(self, home: int, ids: Sequence[str], partition: int) -> Sequence[str]:
        refused: list[str] = []
        for _ in range(ROUNDS):
            words = await self._store(home, [reservation(task_id, partition) for task_id in ids])
            ids = [
                task_id for task_id, word in zip(ids, words, strict=True) if word is Word.DUPLICATE
            ]
            if not ids:
                return refused
            free = await self.make_room_for(ids, home)
            refused += [task_id for task_id, is_free in zip(ids, free, strict=True) if not is_free]
            ids = [task_id for task_id, is_free in zip(ids, free, strict=True) if is_free]
            if not ids:
                return refused
        raise Ambiguous(f"the id {ids[0]!r} is being given back by other processes")

    async def make_room(self, task_id: str, partition: int) -> bool:
        """`make_room_for` a single id."""
        return await self._make_room(await self._find(task_id, partition), partition)

    async def make_room_for(self, ids: Sequence[str], partition: int) -> Sequence[bool]:
        """Remove what keeps each id from being used in this partition, unless it is a task: False.

        Where that is a block, the id is reserved for the partition then. An id occurs once. All are looked up in one
        request; those that no task has are dealt with side by side.
        """
        free: list[bool] = []
        for n in range(0, len(ids), AT_ONCE):
            found = await self._stores[partition].do(Find(ids[n : n + AT_ONCE]))
            free += await together([self._make_room(record, partition) for record in found])
        return free

    async def _make_room(self, record: Found, partition: int) -> bool:
        if record is None:
            return True
        if not is_reserved(record) or record.id == LAYOUT_ID:
            return False
        if reserved_for(record) is not None:
            return await self.give_back(record, partition)
        await self._finish(record, partition)
        if await self.reserve([record.id], partition):
            return False
        await self._forget(record, partition)
        return True

    # --- giving them back

    async def give_back(self, record: Task, home: int) -> bool:
        """Remove a reservation; False: a task has its id."""
        partition, wanted = reserved_for(record), block(record.id, record.life)
        assert partition is not None, "only reservations are given back"
        for _ in range(ROUNDS):
            (word,) = await self._store(partition, [wanted])
            found = await self._find(record.id, partition)
            if found is None:
                continue
            if not is_reserved(found):
                return False
            await self._finish(found, partition)
            if word is not Word.DUPLICATE or blocked_life(found) == record.life:
                return True  # by this call or another one, whose block has to stay
            await self._forget(found, partition)  # of an earlier reservation
        raise Ambiguous(f"the id {record.id!r} is being given back by other processes")

    async def _finish(self, record: Task, partition: int) -> None:
        """Remove the reservation that a block names; then the block may end."""
        if record.is_terminal:
            return
        home = home_of(record.id, len(self._stores))
        await self._remove(record.id, blocked_life(record), home)
        await self._stores[partition].do(Cancel(RESERVED, record.id, record.life))

    async def _remove(self, task_id: str, life: Life, partition: int) -> None:
        await self._stores[partition].do(Cancel(RESERVED, task_id, life))
        await self._stores[partition].do(Forget(RESERVED, [LifeRef(task_id, life)]))

    async def _forget(self, record: Task, partition: int) -> None:
        await self._stores[partition].do(Forget(RESERVED, [LifeRef(record.id, record.life)]))

    # --- maintenance

    async def tend(self, partition: int) -> None:
        """Give reservations back that no task has. Raises `StoreError`.

        The oldest come first: it goes on while most of what it sees is given back. Then it looks at one page further
        on, and the next call at the one after that. Between two pages it waits for as long as the last one took.
        """
        swept = await self._stores[partition].do(Sweep(RESERVED, AT_ONCE, PRESENCE_MS, None))
        after, given, loop = None, AT_ONCE, asyncio.get_running_loop()
        while given > AT_ONCE // 2:
            began = loop.time()
            after, given = await self._tend_page(partition, after, swept.now_ms)
            if after is None:
                return
            await asyncio.sleep(loop.time() - began)
        further = self._read_up_to.get(partition) or after
        self._read_up_to[partition], _ = await self._tend_page(partition, further, swept.now_ms)

    async def _tend_page(
        self, partition: int, after: Place | None, now: int
    ) -> tuple[Place | None, int]:
        """Where the next page begins, and how many reservations of this one were given back."""
        store = self._stores[partition]
        page = await store.do(ListWaiting(RESERVED, WaitingFilter(), after, AT_ONCE))
        found = [task for task in (page.tasks if page else ()) if task.id != LAYOUT_ID]
        old = [record for record in found if not _is_recent(record, now)]
        for record in old:
            if reserved_for(record) is None:
                await self._finish(record, partition)
        unused = await self._unused(old)
        for place, records in unused.items():
            await self._give_back_all(records, partition, place)
        return page.after if page else None, sum(map(len, unused.values()))

    async def _give_back_all(self, records: Sequence[Task], home: int, partition: int) -> None:
        """`give_back` for reservations for one partition, step by step together; what is in the way stays."""
        words = await self._store(partition, [block(one.id, one.life) for one in records])
        blocked = [
            record
            for record, word in zip(records, words, strict=True)
            if word in (Word.DONE, Word.SAME)
        ]
        if not blocked:
            return
        found = await self._stores[partition].do(Find([record.id for record in blocked]))
        refs = [LifeRef(record.id, record.life) for record in blocked]
        await self._stores[home].do(CancelAll(RESERVED, refs))
        await self._stores[home].do(Forget(RESERVED, refs))
        blocks = [
            LifeRef(one.id, one.life)
            for one, record in zip(found, blocked, strict=True)
            if is_reserved(one) and blocked_life(one) == record.life
        ]
        await self._stores[partition].do(CancelAll(RESERVED, blocks))

    async def _unused(self, records: Sequence[Task]) -> Mapping[int, Sequence[Task]]:
        """Those of the records that are reservations, and whose partitions have no task of the id, by partition."""
        by_partition: dict[int, list[Task]] = {}
        for record in records:
            if (partition := reserved_for(record)) is not None:
                by_partition.setdefault(partition, []).append(record)
        unused: dict[int, list[Task]] = {}
        for place, mine in by_partition.items():
            found = await self._stores[place].do(Find([record.id for record in mine]))
            pairs = zip(mine, found, strict=True)
            unused[place] = [one for one, task in pairs if task is None or is_reserved(task)]
        return {place: records for place, records in unused.items() if records}

    # --- inside

    async def _store(self, partition: int, records: Sequence[Submission]) -> Sequence[Word]:
        """Store records of the reserved queue, which may have been declared in another time of the store."""
        store = self._stores[partition]
        submit = Submit(RESERVED, [Group(submissions=(record,)) for record in records])
        answer = await store.do(submit)
        if any(outcome.word is Word.NO_QUEUE for outcome in answer.outcomes):
            await store.do(Declare(RESERVED, RESERVED_SETTINGS, EDITION))
            answer = await store.do(submit)
        return [outcome.word for outcome in answer.outcomes]

    async def is_laid_out(self, record: Submission, partition: int) -> bool:
        """Whether the partition is the one that this record says; it is, if it has said nothing yet and has no queue.

        A queue without such a record is one of a namespace that was no partition: it may belong elsewhere, and its ids
        are not reserved.
        """
        if await self._find(record.id, partition) is None:
            queues = await self._stores[partition].do(Queues())
            # Another process may have laid it out meanwhile, and declared them.
            if any(one != RESERVED for one in queues) and not await self._find(
                record.id, partition
            ):
                return False
        (word,) = await self._store(partition, [record])
        return word in (Word.DONE, Word.SAME)

    async def _find(self, task_id: str, partition: int) -> Found:
        (found,) = await self._stores[partition].do(Find([task_id]))
        return found


def _is_recent(record: Task, now: int) -> bool:
    """Its submit may be on its way. What lies ahead is not, since the clock has stepped back."""
    return now - GIVEN_BACK_AFTER_MS < record.queued_at <= now
