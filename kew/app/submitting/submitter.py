"""Submitting calls: prepare, send, and turn outcomes into answers for the callers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import attrs

from kew.app.declaring import InForce
from kew.app.info import TaskInfo
from kew.app.lookups import known_queue
from kew.app.maintainer import Maintainer
from kew.app.ports import Queues, ReadSettings, TaskStore
from kew.app.repeat import answered, ask
from kew.app.single_flight import SingleFlight
from kew.app.spawning import Owned
from kew.app.submitting import batch
from kew.app.submitting.encoding import Call, CallEncoder
from kew.app.submitting.fullness import UNKNOWN_FULL, Full, Fullness, key_full
from kew.app.submitting.outbox import Outbox
from kew.app.submitting.remote_outboxes import RemoteOutboxes
from kew.app.submitting.submit_future import SubmitFuture
from kew.app.submitting.taken import (
    RAISE,
    Existing,
    SubmittedTasks,
    checked_call,
    met_by,
    met_statuses,
    returns_existing,
    statuses,
)
from kew.app.submitting.trips import (
    MAY_BE_LIFTED,
    NO_ANSWER,
    SHUT_DOWN,
    Answer,
    Unanswered,
    closed,
    unanswered,
)
from kew.domain.errors import (
    CostTooHighError,
    InvalidTaskError,
    QueueDrainingError,
    QueueFullError,
    QueueNotFoundError,
    StoreUnavailableError,
    StoreUnsuitableError,
    SubmitUncertainError,
    TaskAlreadyExistsError,
    TaskQueueError,
)
from kew.domain.existing import UniqueTaskError
from kew.domain.requests import Word
from kew.domain.task import QueuePriority, Submission

T = TypeVar("T")
TOO_LATE: Final = (
    "it would expire before it is due: expires_in counts from the submit, and defer_until is later"
)
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
    def is_ready(self, function: str) -> bool: ...


# Long: two paths, a lone call and a batch, that share what a refusal means.
class Submitter:
    """The submitting side of one process; `served` are the queues that it declared.

    `handle_of` makes the handle of an existing task, given its id.
    """

    def __init__(
        self,
        encoder: CallEncoder,
        store: TaskStore,
        served: Mapping[str, Served],
        patience: float,
        handle_of: Callable[[str], Existing],
    ) -> None:
        self._handle_of = handle_of
        self._encoder = encoder
        self._store = store
        self._served = served
        self._patience = patience
        self._remote = RemoteOutboxes(store)
        self._fullness = Fullness(store)
        self._priorities: dict[str, int] = {}
        self._asking: dict[str, SingleFlight[InForce | None]] = {}
        self._is_closed = False
        self._unsent: dict[SubmitFuture[Any], None] = {}  # in the order of their calls
        self._refused: dict[str, list[SubmitFuture[Any]]] = {}
        self._background = Owned("submitting", lambda: None)

    def one(self, queue: str, call: Call, convert: Callable[[TaskInfo], T]) -> SubmitFuture[T]:
        """Store one call. It is on its way from here on; what is wrong with it is raised."""
        served = self._serving(queue)
        priority = served.maintainer.priority if served else self._priorities.get(queue, UNKNOWN)
        works = served is not None and served.worker is not None
        submission = self._encoder.prepare(call, priority, queue, works)
        give_up_at = asyncio.get_running_loop().time() + self._patience
        submit = SubmitFuture(self, queue, submission, convert, give_up_at)
        if submission.unique or call.if_exists is not None:
            submit.meets = checked_call(call)
        if served is not None and served.is_ready(submission.function):
            submit.outbox = served.outbox
            served.outbox.send(submit)
        else:
            self._unsent[submit] = None
            self._background.begin(self._send_later(submit, queue, served))
        return submit

    async def _send_later(
        self, submit: SubmitFuture[Any], queue: str, served: Served | None
    ) -> None:
        """Send it after a request to the store that must come first."""
        try:
            async with self._until(submit.give_up_at):
                if submit.call.priority == UNKNOWN:
                    priority = await self.priority_of(queue)
                    submit.call = attrs.evolve(submit.call, priority=priority)
                outbox = await self._outbox(queue, served, (submit.call.function,))
        except Exception as error:  # noqa: BLE001 - it is raised where the call is awaited
            self.fail(submit, error)
        else:
            submit.outbox = outbox
            outbox.send(submit)
        finally:
            self._unsent.pop(submit, None)

    @contextlib.asynccontextmanager
    async def _until(self, give_up_at: float) -> AsyncIterator[None]:
        """Raise `StoreUnavailableError` at this instant of the loop's time: nothing was sent yet."""
        limit = asyncio.timeout_at(give_up_at)
        try:
            async with limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            raise StoreUnavailableError(f"nothing was stored: {NO_ANSWER}") from None

    async def many(
        self,
        queue: str,
        tasks: Sequence[Mapping[str, Any]],
        new_task_id: Callable[[str], str],
        if_exists: object = RAISE,
    ) -> SubmittedTasks:
        """Store many calls, in pieces that are all or nothing, each stored only if the one before it is."""
        skips = returns_existing("?", if_exists)
        served = self._serving(queue)
        batch.check_batch(tasks)
        give_up_at = asyncio.get_running_loop().time() + self._patience
        async with self._until(give_up_at):
            known = served.maintainer.priority if served else None
            priority = await self.priority_of(queue) if known is None else known
        works = served is not None and served.worker is not None
        prepare = self._encoder.prepare
        submissions: list[Submission] = []
        infos = SubmittedTasks()
        try:
            for task in tasks:
                call = batch.call_of(task, new_task_id)
                submissions.append(
                    prepare(call, priority, queue, works)
                )  # what came before a mistake is known
            batch.refuse_twins(submissions)
            functions = {submission.function for submission in submissions}
            async with self._until(give_up_at):
                outbox = await self._outbox(queue, served, functions)
            await self._send_pieces(queue, outbox, submissions, infos, skips=skips)
        except SubmitUncertainError:
            raise  # what is in doubt may run
        except Exception:
            self._encoder.not_stored(submissions[len(infos) :])
            raise
        return infos

    async def _send_pieces(
        self,
        queue: str,
        outbox: Outbox,
        submissions: Sequence[Submission],
        infos: SubmittedTasks,
        *,
        skips: bool,
    ) -> None:
        """Add to `infos` what is stored, piece by piece; raise the error of the first piece that isn't.

        `skips`: ids that are in use are left out, and the rest of their piece is sent again.
        """
        for underway in batch.underway(
            outbox, batch.pieces(submissions, outbox.most_tasks), self._patience
        ):
            piece = underway.piece
            try:
                answer = await underway.answer()
                if answer.outcome.word is Word.EARLY:
                    answer = await underway.again(outbox, self._patience).answer()
                existing: dict[str, TaskInfo] = {}
                while piece and skips and answer.outcome.word is Word.DUPLICATE:
                    existing |= await statuses((each.id for each in piece), self._handle_of)
                    piece = tuple(each for each in piece if each.id not in existing)
                    if piece:
                        answer = await batch.sent(outbox, piece, self._patience)
            except Unanswered as error:
                raise unanswered(error, piece[0], infos.stored) from error
            if piece and not answer.is_stored:
                is_full = answer.outcome.word is Word.FULL
                full = await self._fullness.of(queue, len(piece)) if is_full else UNKNOWN_FULL
                raise self._refusal(queue, piece, answer, infos.stored, full)
            if piece and answer.outcome.met:
                existing |= await met_statuses(answer.outcome.met, self._handle_of)
            if existing:
                self._encoder.not_stored([each for each in underway.piece if each.id in existing])
            infos.add(underway.piece, existing, queue, answer.now)

    def _serving(self, queue: str) -> Served | None:
        """The queue's services here; None: it is another process's. Raises `QueueNotFoundError` for no queue's name."""
        try:
            return self._served[queue]
        except (KeyError, TypeError):
            known_queue(queue)
            return None

    async def priority_of(self, queue: str) -> int:
        """That of a queue's configuration; if another process declared it, the store is asked once a minute.

        Raises `QueueNotFoundError`.
        """
        if (served := self._serving(queue)) is not None:
            return served.maintainer.priority
        known = self._priorities.get(queue)
        if known is None:
            read = SingleFlight(partial(self._store.do, ReadSettings(queue)))
            read = self._asking.setdefault(queue, read)
            try:
                found = await answered(read, patience=self._patience)
            finally:
                self._asking.pop(queue, None)
            if found is None:
                names = await ask(self._store, Queues(), patience=self._patience)
                raise QueueNotFoundError(queue, known=names)
            known = self._priorities[queue] = int(QueuePriority(found.settings.priority))
            loop = asyncio.get_running_loop()
            loop.call_later(PRIORITY_KEPT, self._priorities.pop, queue, None)
        return known

    async def _outbox(
        self, queue: str, served: Served | None, functions: Collection[str]
    ) -> Outbox:
        """Where to send tasks of these functions, once the store knows which processes they can be given to."""
        if self._is_closed:
            raise StoreUnavailableError(SHUT_DOWN)
        if served is not None:
            while not all(map(served.is_ready, functions)):
                await answered(served.maintainer.announce_once, patience=self._patience)
            if self._served.get(queue) is not served:
                raise QueueNotFoundError(queue)  # the create_queue that this waited for has failed
            return served.outbox
        return self._remote.of(queue)

    # --- what was not stored

    def refuse(self, submit: SubmitFuture[Any], queue: str, answer: Answer) -> None:
        """Tell the caller what the store said instead of storing it."""
        if answer.outcome.word is Word.FULL and answer.is_certain:
            refused = self._refused.setdefault(queue, [])
            refused.append(submit)
            if len(refused) == 1:  # one look for all that are refused meanwhile
                asyncio.get_running_loop().call_soon(self._ask_why_full, queue)
        elif submit.meets is not None and (task_id := met_by(answer.outcome, submit.meets)):
            self._encoder.not_stored([submit.call])
            self._meet(submit, submit.meets, task_id)
        else:
            self.fail(submit, self._refusal(queue, (submit.call,), answer, ()))

    def _meet(self, submit: SubmitFuture[Any], call: Call, task_id: str) -> None:
        """Answer a submit with the task that was there already."""
        if call.met is not None:
            submit.meet(call.met, task_id)
        else:
            self._background.begin(self._read_existing(submit, task_id))

    async def _read_existing(self, submit: SubmitFuture[Any], task_id: str) -> None:
        try:
            async with self._until(submit.give_up_at):
                info = await self._handle_of(task_id).status()
        except Exception as error:  # noqa: BLE001 - it is raised where the call is awaited
            if not submit.done():
                submit.fail(error)
        else:
            submit.meet(None, info)

    def fail(self, submit: SubmitFuture[Any], error: Exception) -> None:
        """Raise the error for the caller; if the call was surely not stored, nothing is kept for it."""
        if not isinstance(error, SubmitUncertainError):
            self._encoder.not_stored([submit.call])
        if not submit.done():
            submit.fail(error)

    def _ask_why_full(self, queue: str) -> None:
        if queue in self._refused:
            self._background.begin(self._tell_why_full(queue))

    async def _tell_why_full(self, queue: str) -> None:
        full = UNKNOWN_FULL
        try:
            async with self._until(self._refused[queue][0].give_up_at):
                full = await self._fullness.of(queue)
        except (StoreUnavailableError, StoreUnsuitableError):
            pass  # the message does without
        finally:
            self._tell_full(queue, full)

    def _tell_full(self, queue: str, full: Full) -> None:
        for submit in self._refused.pop(queue, ()):
            self.fail(submit, QueueFullError(queue, full.max_size, retry_after=full.retry_after))

    def _refusal(
        self,
        queue: str,
        piece: Sequence[Submission],
        answer: Answer,
        before: Sequence[TaskInfo],
        full: Full = UNKNOWN_FULL,
    ) -> TaskQueueError:
        """The error for the caller of a refused piece; `before`: what is in already."""
        accepted = [info.task_id for info in before]
        first = piece[0]
        if answer.outcome.word in MAY_BE_LIFTED and not answer.is_certain:
            return SubmitUncertainError(first.id, first.nonce, accepted)
        match answer.outcome.word:
            case Word.DUPLICATE:
                task_id = answer.outcome.task_id
                handle = self._handle_of(task_id)
                return TaskAlreadyExistsError(task_id, accepted, handle=handle)
            case Word.FULL:
                return QueueFullError(queue, full.max_size, accepted, retry_after=full.retry_after)
            case Word.KEY_FULL:
                return key_full(queue, piece, answer.outcome.task_id, accepted)
            case Word.HELD:
                task_id = answer.outcome.task_id
                return UniqueTaskError(task_id, accepted, handle=self._handle_of(task_id))
            case Word.LATE:
                return InvalidTaskError(answer.outcome.task_id, TOO_LATE)
            case Word.COSTLY:
                costly = next(each for each in piece if each.id == answer.outcome.task_id)
                return CostTooHighError(costly.id, queue, costly.cost, accepted)
            case Word.DRAINING:
                return QueueDrainingError(queue, accepted)
            case Word.NO_QUEUE:
                self._priorities.pop(queue, None)
                return QueueNotFoundError(queue, accepted, known=self._served)
            case word:
                raise AssertionError(f"not an outcome of a submit: {word}")

    # --- the end

    async def drain(self) -> None:
        """Wait until nothing is on its way, and all callers have their answers."""
        while self._unsent or self._refused:
            await (asyncio.wait(self._background) if self._background else asyncio.sleep(0))
        await asyncio.gather(*(outbox.drain() for outbox in self._outboxes()))
        if self._refused:
            await self.drain()

    async def close(self) -> None:
        """Give up what has no answer yet, and raise that for its callers."""
        self._is_closed = True
        unsent = list(self._unsent)
        for task in self._background:
            task.cancel()
        await asyncio.gather(*(outbox.close() for outbox in self._outboxes()))
        for submit in unsent:
            if not submit.done():
                submit.unanswered(closed())
        for queue in list(self._refused):
            self._tell_full(queue, UNKNOWN_FULL)

    def _outboxes(self) -> list[Outbox]:
        """Those of the declared queues, and of others' queues that were submitted to."""
        return [*(each.outbox for each in self._served.values()), *self._remote.all()]
