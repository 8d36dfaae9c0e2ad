"""Many tasks in one call: all of them or none, and of a large batch a beginning."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from kew.domain.errors import (
    QueueFullError,
    StoreUnavailableError,
    SubmitUncertainError,
    TaskAlreadyExistsError,
)
from kew.simulation.facts import Asked
from kew.simulation.feature import MAIN, TIGHT, Feature, User, Workload
from kew.simulation.handlers import Script, perform

PIECE: Final = 3  # tasks; a thousand are usual


def _entry(user: User, asked: Asked, script: Script | None = None) -> dict[str, Any]:
    return {
        "task_id": asked.id,
        "task_type": "simulated",
        "task_func": perform,
        "priority": user.random.choice((1, 2, 3)),
        "args": (script or user.script(),),
    }


async def submit_batch(user: User) -> None:
    """Fresh ids: in whole, or refused whole."""
    queue = user.random.choice((MAIN, MAIN, TIGHT))
    await submit_many(user, queue, user.random.randrange(2, 7))


async def submit_many(
    user: User,
    queue: str,
    count: int,
    *,
    script: Callable[[], Script | None] = lambda: None,
    key: Callable[[], str | None] = lambda: None,
) -> None:
    """So many fresh ids in one batch."""
    batch = [user.expect(queue) for _ in range(count)]
    entries = [{**_entry(user, asked, script()), "_key": key()} for asked in batch]
    await _submit(user, queue, batch, entries)


def _queue_of_small_round_trips(user: User) -> str | None:
    """A queue whose round trips take few tasks from here on; None: the manager has been shut down."""
    queue = user.random.choice((MAIN, TIGHT))
    served = user.manager._served.get(queue)
    if served is None:
        return None
    served.outbox.most_tasks = PIECE
    return queue


async def submit_long_batch(user: User) -> None:
    """Two pieces of it are on their way at once: what is in is a beginning of it, and an error says which."""
    queue = _queue_of_small_round_trips(user)
    if queue is None:
        return
    batch = [user.expect(queue) for _ in range(user.random.randrange(PIECE + 1, 4 * PIECE))]
    try:
        await user.manager.submit_tasks(queue, [_entry(user, asked) for asked in batch])
    except TaskAlreadyExistsError as error:
        user.fail(f"{error.task_id} is reported as existing, but was submitted once")
    except (QueueFullError, StoreUnavailableError) as error:
        _beginning(user, batch, error.accepted, unknown=0)
    except SubmitUncertainError as error:
        _beginning(user, batch, error.accepted, unknown=2 * PIECE)
        if error.task_id != batch[len(error.accepted)].id:
            user.fail(f"{error.task_id} is reported, but is not the first task that may be stored")
    else:
        _beginning(user, batch, [asked.id for asked in batch], unknown=0)


def _beginning(user: User, batch: list[Asked], accepted: Sequence[str], *, unknown: int) -> None:
    """`accepted` is in, `unknown` tasks after it may be, and no others."""
    count = len(accepted)
    if list(accepted) != [asked.id for asked in batch[:count]]:
        user.fail(f"{accepted} is not the beginning of the batch")
    for asked in batch[:count]:
        user.facts.accepted(asked.id)
    for asked in batch[count + unknown :]:
        user.facts.refused(asked.id)


async def submit_at_once(user: User) -> None:
    """Submits of one moment, more than a round trip takes: several are on their way at once."""
    queue = _queue_of_small_round_trips(user)
    if queue is None:
        return
    asked = [user.expect(queue) for _ in range(user.random.randrange(PIECE, 8 * PIECE))]
    await asyncio.gather(*(user.submit(each, user.script()) for each in asked))


async def submit_batch_with_a_twin(user: User) -> None:
    """One id is in use: nothing of it may be stored."""
    taken = user.expect(MAIN)
    if await user.submit(taken, user.script(pauses=[5.0])) is None:
        return
    batch = [user.expect(MAIN) for _ in range(3)]
    entries = [_entry(user, asked) for asked in [batch[0], taken, *batch[1:]]]
    try:
        await user.manager.submit_tasks(MAIN, entries)
    except TaskAlreadyExistsError:
        for asked in batch:
            user.facts.refused(asked.id)
    else:
        if taken.id not in user.facts.gone:
            user.fail(f"a batch with {taken.id}, which is in use, was accepted")
        for asked in batch:  # it was removed meanwhile, so the id was free again
            user.facts.accepted(asked.id)


async def submit_batch_that_skips(user: User) -> None:
    """Some ids are in use: these are reported, and the others stored, all of which is in the order of the batch."""
    taken = [user.expect(MAIN) for _ in range(user.random.choice((1, 2)))]
    for asked in taken:
        if await user.submit(asked, user.script()) is None:
            return
    fresh = [user.expect(MAIN) for _ in range(user.random.randrange(4))]
    batch = user.random.sample([*taken, *fresh], len(taken) + len(fresh))
    entries = [_entry(user, asked) for asked in batch]
    try:
        stored = await user.manager.submit_tasks(MAIN, entries, if_exists="return")
    except (QueueFullError, StoreUnavailableError):
        for asked in fresh:
            user.facts.refused(asked.id)
        return
    if [info.task_id for info in stored] != [asked.id for asked in batch]:
        user.fail(f"{batch} is answered by {stored}")
    for asked in fresh:
        user.facts.accepted(asked.id)
    gone = user.facts.gone | user.facts.expired_by_leap
    wrong = set(stored.existing) ^ {asked.id for asked in taken}
    if wrong - gone and not user.facts.has_forgotten:
        user.fail(f"{sorted(wrong)} of a batch are wrongly reported as existing, or as new")


async def _submit(
    user: User, queue: str, batch: list[Asked], entries: list[dict[str, Any]]
) -> None:
    try:
        await user.manager.submit_tasks(queue, entries)
    except TaskAlreadyExistsError as error:
        user.fail(f"{error.task_id} is reported as existing, but was submitted once")
    except (QueueFullError, StoreUnavailableError):
        for asked in batch:
            user.facts.refused(asked.id)
    else:
        for asked in batch:
            user.facts.accepted(asked.id)


FEATURES = (
    Feature("batches", submit_batch),
    Feature("long batches", submit_long_batch, 2.0),
    Feature("submits at once", submit_at_once, 0.5),
    Feature("batch with a twin", submit_batch_with_a_twin, 0.3),
    Feature("batch that skips", submit_batch_that_skips, 0.3),
)
WORKLOADS = (Workload("batches", FEATURES),)
