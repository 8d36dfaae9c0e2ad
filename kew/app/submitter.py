"""Submitting calls: prepare, send, and turn outcomes into what a caller is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import attrs

from kew.app import batch
from kew.app.caller import Call, Caller, submitted_info
from kew.app.futures import CoroutineFuture
from kew.app.info import TaskInfo
from kew.app.inspector import known_queue
from kew.app.maintainer import Maintainer
from kew.app.outbox import SHUT_DOWN, Answer, Outbox, Unanswered, closed
from kew.app.ports import TaskStore
from kew.app.repeat import asked
from kew.app.single_flight import SingleFlight
from kew.app.spawning import Owned
from kew.compat import override
from kew.domain.config import Settings
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

T = TypeVar("T")
PRIORITY_KEPT: Final = 60.0  # seconds, of a queue that another process declared
UNKNOWN: Final = 0  # the priority of a call, until the store was asked for that of its queue


class Served(Protocol):
    """A queue's services, as far as submitting goes."""

    @property
    def worker(self) -> object | None: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def maintainer(self) -> Maintainer: ...
    def is_ready(self) -> bool: ...


class SubmitFuture(CoroutineFuture[T]):
    """One call on its way, also where this is cancelled; `as_told` makes of its status what the caller is told.

    It has all that it takes to tell the caller, so that each of thousands that wait is one object and no task.
    """

    __slots__ = ("_as_told", "_owner", "_queue", "call", "outbox")
    tasks = 1

    def __init__(
        self, owner: Submitter, queue: str, call: Submission, as_told: Callable[[TaskInfo], T]
    ) -> None:
        super().__init__()
        self.call = call
        self._owner = owner
        self._queue = queue
        self._as_told = as_told
        self.outbox: Outbox | None = None  # once it is on its way

    @override
    def __await__(self) -> Generator[Any, None, T]:
        if self.outbox is not None and not self.done():
            self.outbox.hurry()
        return super().__await__()

    def __repr__(self) -> str:
        return f"<submit of task {self.call.id!r}, {self._state.lower()}>"

    @property
    def size(self) -> int:
        """Its bytes, roughly."""
        return self.call.size

    def group(self) -> Group:
        """It alone."""
        return make_group((self.call,), None)

    def answered(self, answer: Answer, /) -> None:
        """The store has said what became of it."""
        if not answer.is_stored:
            self._owner.refuse(self, self._queue, answer)
            return
        try:
            told = self._as_told(submitted_info(self.call, self._queue, answer.now))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to whoever awaits
            self.fail(error)
        else:
            self.set_result(told)

    def unanswered(self, error: Unanswered, /) -> None:
        """The store has said nothing."""
        told = _unanswered(error, self.call, ())
        told.__cause__ = error
        self._owner.fail(self, told)


class Submitter:
    """The submitting side of one process; `served` are the queues that it declared."""

    def __init__(
        self, caller: Caller, store: TaskStore, served: Mapping[str, Served], patience: float
    ) -> None:
        self._caller = caller
        self._store = store
        self._served = served
        self._patience = patience
        self._remote: dict[str, Outbox] = {}
        self._priorities: dict[str, int] = {}
        self._asking: dict[str, SingleFlight[tuple[Settings, int] | None]] = {}
        self._is_closed = False
        self._unsent: set[SubmitFuture[Any]] = set()
        self._refused: dict[str, list[SubmitFuture[Any]]] = {}
        self._background = Owned("submitting", lambda: None)

    def one(self, queue: str, call: Call, as_told: Callable[[TaskInfo], T]) -> SubmitFuture[T]:
        """Store one call. It is on its way from here on; what is wrong with it is raised."""
        served = self._serving(queue)
        priority = served.maintainer.priority if served else self._priorities.get(queue, UNKNOWN)
        elsewhere = "" if served and served.worker else queue
        submission = self._caller.prepare(call, priority, elsewhere=elsewhere)
        submit = SubmitFuture(self, queue, submission, as_told)
        if served is not None and served.is_ready():
            submit.outbox = served.outbox
            served.outbox.send(submit)
        else:
            self._unsent.add(submit)
            self._background.begin(self._send_later(submit, queue, served))
        return submit

    async def _send_later(
        self, submit: SubmitFuture[Any], queue: str, served: Served | None
    ) -> None:
        """Where the store has to be asked or told something before."""
        try:
            if submit.call.priority == UNKNOWN:
                priority = await self._priority_elsewhere(queue)
                submit.call = attrs.evolve(submit.call, priority=priority)
            outbox = await self._outbox(queue, served)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to whoever awaits
            self.fail(submit, error)
        else:
            submit.outbox = outbox
            outbox.send(submit)
        finally:
            self._unsent.discard(submit)

    async def many(
        self,
        queue: str,
        tasks: Sequence[Mapping[str, Any]],
        plain: Callable[[Any], Callable[..., object]],
    ) -> list[TaskInfo]:
        """Store many calls, in pieces that are all or nothing, each in only where the one before it is."""
        served = self._serving(queue)
        batch.check_batch(tasks)
        priority = served.maintainer.priority if served else await self._priority_elsewhere(queue)
        elsewhere = "" if served and served.worker else queue
        prepare = partial(self._caller.prepare, default_priority=priority, elsewhere=elsewhere)
        submissions: list[Submission] = []
        infos: list[TaskInfo] = []
        try:
            for task in tasks:
                submissions.append(prepare(batch.call_of(task, plain)))  # noqa: PERF401 - what came before a mistake is known
            batch.refuse_twins(submissions)
            outbox = await self._outbox(queue, served)
            await self._send_pieces(queue, outbox, submissions, infos)
        except SubmitUncertainError:
            raise  # what is in doubt may run
        except Exception:
            self._caller.not_stored(submissions[len(infos) :])
            raise
        return infos

    async def _send_pieces(
        self,
        queue: str,
        outbox: Outbox,
        submissions: Sequence[Submission],
        infos: list[TaskInfo],
    ) -> None:
        """Add to `infos` what is in, piece by piece; raise what is told of the first that isn't."""
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

    def _serving(self, queue: str) -> Served | None:
        """The queue's services here; None: it is another process's. Raises `QueueNotFoundError` for no queue's name."""
        try:
            return self._served[queue]
        except (KeyError, TypeError):
            known_queue(queue)
            return None

    async def _priority_elsewhere(self, queue: str) -> int:
        """That of the configuration of a queue that another process declared: it is asked once a minute."""
        known = self._priorities.get(queue)
        if known is None:
            ask = self._asking.setdefault(queue, SingleFlight(partial(self._store.settings, queue)))
            try:
                found = await asked(ask, patience=self._patience)
            finally:
                self._asking.pop(queue, None)
            if found is None:
                raise QueueNotFoundError(queue)
            known = self._priorities[queue] = int(QueuePriority(found[0].priority))
            loop = asyncio.get_running_loop()
            loop.call_later(PRIORITY_KEPT, self._priorities.pop, queue, None)
        return known

    async def _outbox(self, queue: str, served: Served | None) -> Outbox:
        if self._is_closed:
            raise StoreUnavailableError(SHUT_DOWN)
        if served is not None:
            while not served.is_ready():  # the store must know whom the task can be given to
                await asked(served.maintainer.announce_once, patience=self._patience)
            if self._served.get(queue) is not served:
                raise QueueNotFoundError(queue)  # the create_queue that this waited for has failed
            return served.outbox
        if queue not in self._remote:
            self._remote[queue] = Outbox(
                queue,
                self._store,
                patience=self._patience,
                worker=None,
                restore=None,
            )
        return self._remote[queue]

    # --- what was not stored

    def refuse(self, submit: SubmitFuture[Any], queue: str, answer: Answer) -> None:
        """Tell the caller what the store said instead of storing it."""
        if answer.outcome.word is Word.FULL and answer.is_certain:
            refused = self._refused.setdefault(queue, [])
            refused.append(submit)
            if len(refused) == 1:  # one look for all that are refused meanwhile
                asyncio.get_running_loop().call_soon(self._ask_why_full, queue)
        else:
            self.fail(submit, self._refusal(queue, submit.call, answer, ()))

    def fail(self, submit: SubmitFuture[Any], error: Exception) -> None:
        """Tell the caller what became of it; where it was surely not stored, nothing is kept for it."""
        if not isinstance(error, SubmitUncertainError):
            self._caller.not_stored([submit.call])
        if not submit.done():
            submit.fail(error)

    def _ask_why_full(self, queue: str) -> None:
        if queue in self._refused:
            self._background.begin(self._tell_why_full(queue))

    async def _tell_why_full(self, queue: str) -> None:
        most = 0
        try:
            most = await self._max_size(queue)
        finally:
            self._tell_full(queue, most)

    def _tell_full(self, queue: str, most: int) -> None:
        for submit in self._refused.pop(queue, ()):
            self.fail(submit, QueueFullError(queue, most))

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
                return QueueNotFoundError(queue, accepted)
            case word:
                raise AssertionError(f"not an outcome of a submit: {word}")

    async def _max_size(self, queue: str) -> int:
        """For a message: 0 where the store says no more than that the queue is full."""
        try:
            found = await asked(lambda: self._store.settings(queue))
        except StoreUnavailableError:
            return 0
        return found[0].max_size if found else 0

    # --- the end

    async def drain(self) -> None:
        """Wait until nothing is on its way, and everybody was told."""
        while self._unsent or self._refused:
            await (asyncio.wait(self._background) if self._background else asyncio.sleep(0))
        await asyncio.gather(*(outbox.drain() for outbox in self._outboxes()))
        if self._refused:
            await self.drain()

    async def close(self) -> None:
        """Give up what has no answer yet, and tell those who wait for it."""
        self._is_closed = True
        unsent = list(self._unsent)
        for task in self._background:
            task.cancel()
        await asyncio.gather(*(outbox.close() for outbox in self._outboxes()))
        for submit in unsent:
            if not submit.done():
                submit.unanswered(closed())
        for queue in list(self._refused):
            self._tell_full(queue, 0)

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
