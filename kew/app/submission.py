"""Submitting calls: prepare, send, and turn outcomes into what a caller is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from kew.app import batch
from kew.app.caller import Call, submitted_info
from kew.app.futures import CoroutineFuture
from kew.app.info import TaskInfo
from kew.app.inspector import asked, known_queue
from kew.app.maintainer import Maintainer
from kew.app.spawning import Owned
from kew.app.submitter import Answer, Outbox, Unanswered
from kew.domain.config import QueueConfig
from kew.domain.errors import (
    QueueFullError,
    QueueNotFoundError,
    StoreUnavailableError,
    SubmitUncertainError,
    TaskAlreadyExistsError,
    TaskQueueError,
)
from kew.domain.requests import Group, Word, make_group
from kew.domain.task import QueuePriority, Submission

if TYPE_CHECKING:
    from kew.app.process import Process

T = TypeVar("T")


class Served(Protocol):
    """A queue's services, as far as submitting goes."""

    @property
    def config(self) -> QueueConfig: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def maintainer(self) -> Maintainer: ...
    def is_ready(self) -> bool: ...


class Submit(CoroutineFuture[T]):
    """One call on its way, also where this is cancelled; `as_told` makes of its status what the caller is told.

    It has all that it takes to tell the caller, so that each of thousands that wait is one object and no task.
    """

    __slots__ = ("_as_told", "_call", "_owner", "_queue")
    tasks = 1

    def __init__(
        self, owner: Submissions, queue: str, call: Submission, as_told: Callable[[TaskInfo], T]
    ) -> None:
        super().__init__()
        self._owner = owner
        self._queue = queue
        self._call = call
        self._as_told = as_told

    @property
    def size(self) -> int:
        """Its bytes, roughly."""
        return len(self._call.payload) + len(self._call.id)

    def group(self) -> Group:
        """It alone."""
        return make_group((self._call,), None)

    def answered(self, answer: Answer, /) -> None:
        """The store has said what became of it."""
        if answer.is_stored:
            self.set_result(self._as_told(submitted_info(self._call, self._queue, answer.now)))
        else:
            self._owner.refuse(self, self._queue, self._call, answer)

    def unanswered(self, error: Unanswered, /) -> None:
        """The store has said nothing."""
        told = _unanswered(error, self._call, ())
        told.__cause__ = error
        self.set_exception(told)


class Submissions:
    """The submitting side of one process; `served` are the queues that it declared."""

    def __init__(self, process: Process, served: Mapping[str, Served], patience: float) -> None:
        self._process = process
        self._served = served
        self._patience = patience
        self._remote: dict[str, Outbox] = {}
        self._priorities: dict[str, int] = {}
        self._refused: dict[str, list[Submit[Any]]] = {}
        self._looks = Owned("a full queue", lambda: None)

    def one(
        self, queue: str, call: Call, as_told: Callable[[TaskInfo], T]
    ) -> Coroutine[Any, Any, T]:
        """Store one call: all that can be done at once is done at once, and what is wrong with the call raised."""
        served = self._serving(queue)
        if served is None or not served.is_ready():
            return self._one_later(queue, served, call, as_told)
        submission = self._process.caller.prepare(call, int(served.config.priority))
        if not served.is_ready():  # this call registered its function
            return self._one_later(queue, served, call, as_told)
        submit = Submit(self, queue, submission, as_told)
        served.outbox.send(submit)
        return submit

    async def _one_later(
        self, queue: str, served: Served | None, call: Call, as_told: Callable[[TaskInfo], T]
    ) -> T:
        """The same, where the store has to be asked or told something before."""
        priority = int(served.config.priority) if served else await self._priority_elsewhere(queue)
        submission = self._process.caller.prepare(call, priority)
        outbox = await self._outbox(queue, served)
        submit = Submit(self, queue, submission, as_told)
        outbox.send(submit)
        return await submit

    async def many(
        self,
        queue: str,
        tasks: Sequence[Mapping[str, Any]],
        plain: Callable[[Any], Callable[..., object]],
    ) -> list[TaskInfo]:
        """Store many calls, in pieces that are all or nothing, each in only where the one before it is."""
        served = self._serving(queue)
        batch.check_batch(tasks)
        priority = int(served.config.priority) if served else await self._priority_elsewhere(queue)
        prepare = self._process.caller.prepare
        submissions = [prepare(batch.call_of(task, plain), priority) for task in tasks]
        batch.refuse_twins(submissions)
        outbox = await self._outbox(queue, served)
        infos: list[TaskInfo] = []
        for underway in batch.underway(outbox, batch.pieces(submissions, outbox.most_tasks)):
            piece = underway.piece
            try:
                answer = await underway.answer()
                if answer.outcome.word is Word.EARLY:
                    answer = await underway.again(outbox).answer()
            except Unanswered as error:
                raise _unanswered(error, piece[0], infos) from error
            if not answer.is_stored:
                is_full = answer.outcome.word is Word.FULL
                most = await self._max_size(queue) if is_full else 0
                raise self._refusal(queue, piece[0], answer, infos, most)
            infos += [submitted_info(submission, queue, answer.now) for submission in piece]
        return infos

    def _serving(self, queue: str) -> Served | None:
        """The queue's services here; None: it is another process's. Raises `QueueNotFoundError` for no queue's name."""
        try:
            return self._served[queue]
        except (KeyError, TypeError):
            known_queue(queue)
            return None

    async def _priority_elsewhere(self, queue: str) -> int:
        """That of the configuration of a queue that another process declared: it is asked once."""
        known = self._priorities.get(queue)
        if known is None:
            ask = partial(self._process.parts.store.settings, queue)
            found = await asked(ask, patience=self._patience)
            if found is None:
                raise QueueNotFoundError(queue)
            known = self._priorities[queue] = int(QueuePriority(found[0].priority))
        return known

    async def _outbox(self, queue: str, served: Served | None) -> Outbox:
        if served is not None:
            if not served.is_ready():  # the store must know whom the task can be given to
                await asked(served.maintainer.announce, patience=self._patience)
            return served.outbox
        if queue not in self._remote:
            self._remote[queue] = Outbox(
                queue,
                self._process.parts.store,
                patience=self._patience,
                worker=None,
                redeclare=None,
            )
        return self._remote[queue]

    # --- what was not stored

    def refuse(self, submit: Submit[Any], queue: str, call: Submission, answer: Answer) -> None:
        """Tell the caller what the store said instead of storing it."""
        if answer.outcome.word is Word.FULL and answer.is_certain:
            refused = self._refused.setdefault(queue, [])
            refused.append(submit)
            if len(refused) == 1:
                self._looks.begin(self._ask_why_full(queue))
        else:
            submit.set_exception(self._refusal(queue, call, answer, ()))

    async def _ask_why_full(self, queue: str) -> None:
        """One look for all that are refused meanwhile."""
        most = 0
        try:
            most = await self._max_size(queue)
        finally:
            for submit in self._refused.pop(queue):
                if not submit.done():
                    submit.set_exception(QueueFullError(queue, most))

    def _refusal(
        self,
        queue: str,
        first: Submission,
        answer: Answer,
        before: Sequence[TaskInfo],
        max_size: int = 0,
    ) -> TaskQueueError:
        """The error that says it, of a piece that begins with `first`; `before`: what is in already."""
        accepted = [info.task_id for info in before]
        if answer.outcome.word in (Word.FULL, Word.NO_QUEUE) and not answer.is_certain:
            # An earlier sending may yet arrive, when there is room or a queue again.
            return SubmitUncertainError(first.id, first.nonce, accepted)
        match answer.outcome.word:
            case Word.DUPLICATE:
                return TaskAlreadyExistsError(answer.outcome.task_id, accepted)
            case Word.FULL:
                return QueueFullError(queue, max_size, accepted)
            case Word.NO_QUEUE:
                self._priorities.pop(queue, None)
                return QueueNotFoundError(queue)
            case word:
                raise AssertionError(f"not an outcome of a submit: {word}")

    async def _max_size(self, queue: str) -> int:
        """For a message: 0 where the store says no more than that the queue is full."""
        try:
            found = await asked(lambda: self._process.parts.store.settings(queue))
        except StoreUnavailableError:
            return 0
        return found[0].max_size if found else 0

    # --- the end

    async def drain(self) -> None:
        """Wait until nothing is on its way, and everybody was told."""
        await asyncio.gather(*(outbox.drain() for outbox in self._outboxes()))
        if self._looks:
            await asyncio.wait(self._looks)

    async def close(self) -> None:
        """Give up what has no answer yet, and tell those who wait for it."""
        await asyncio.gather(*(outbox.close() for outbox in self._outboxes()))
        for look in self._looks:
            look.cancel()  # it tells whom it was to tell

    def _outboxes(self) -> list[Outbox]:
        """Those of the declared queues, and of others' queues that were submitted to."""
        return [*(each.outbox for each in self._served.values()), *self._remote.values()]


def _unanswered(
    error: Unanswered, first: Submission, before: Sequence[TaskInfo]
) -> StoreUnavailableError | SubmitUncertainError:
    """What the caller is told of a piece that begins with `first`; `before`: what is in already."""
    accepted = [info.task_id for info in before]
    if error.is_ambiguous:
        return SubmitUncertainError(first.id, first.nonce, accepted)
    return StoreUnavailableError(f"task {first.id!r} was not stored: {error}", accepted)
