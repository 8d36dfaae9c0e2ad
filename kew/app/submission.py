"""Submitting calls: prepare, send, and turn outcomes into what a caller is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn, Protocol

import attrs

from kew.app.caller import Call, submitted_info
from kew.app.info import TaskInfo
from kew.app.inspector import asked, known_queue
from kew.app.maintainer import Maintainer
from kew.app.ports import Ambiguous
from kew.app.process import Process
from kew.app.submitter import MOST_BYTES, Answer, Outbox, Unanswered
from kew.domain.config import QueueConfig
from kew.domain.errors import (
    InvalidTaskError,
    QueueFullError,
    QueueNotFoundError,
    StoreUnavailableError,
    SubmitUncertainError,
    TaskAlreadyExistsError,
)
from kew.domain.requests import Group, SubmitRef, Word
from kew.domain.task import MAX_ID_BYTES, QueuePriority, Submission

REQUIRED = ("task_id", "task_type", "task_func")
NEEDED = frozenset(REQUIRED)
LISTS = (list, tuple)
STORED = (Word.DONE, Word.SAME)
KEYS = frozenset({*REQUIRED, "priority", "args", "kwargs", "_defer_until", "_defer_by", "_token"})


class Served(Protocol):
    """A queue's services, as far as submitting goes."""

    @property
    def config(self) -> QueueConfig: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def maintainer(self) -> Maintainer: ...
    @property
    def works(self) -> bool: ...


Piece = tuple[Submission, ...]


class Submissions:
    """The submitting side of one process; `served` are the queues that it declared."""

    def __init__(self, process: Process, served: Mapping[str, Served], patience: float) -> None:
        self._process = process
        self._served = served
        self._patience = patience
        self._remote: dict[str, Outbox] = {}
        self._priorities: dict[str, int] = {}

    def one(self, queue: str, call: Call) -> Awaitable[TaskInfo]:
        """Store one call.

        Everything is done here that can be done at once: of thousands of submits that wait for their answers, each
        frame and each object less is one less for the garbage collector to walk over.
        """
        served = self._serving(queue)
        if served is None or not _is_ready(served):
            return self._one_later(queue, served, call)
        submission = self._process.caller.prepare(call, int(served.config.priority))
        if not _is_ready(served):  # this call registered its function
            return self._one_later(queue, served, call)
        return self._told(queue, submission, served.outbox.send(Group(submissions=(submission,))))

    async def _one_later(self, queue: str, served: Served | None, call: Call) -> TaskInfo:
        """The same, where the store has to be asked or told something before."""
        priority = int(served.config.priority) if served else await self._priority_elsewhere(queue)
        submission = self._process.caller.prepare(call, priority)
        outbox = await self._outbox(queue, served)
        return await self._told(queue, submission, outbox.send(Group(submissions=(submission,))))

    async def _told(
        self, queue: str, submission: Submission, sent: asyncio.Future[Answer]
    ) -> TaskInfo:
        try:
            answer = await sent
        except Unanswered as error:
            raise _unanswered(error, submission, ()) from error
        if answer.outcome.word not in STORED:
            await self._refuse(queue, submission, answer, ())
        return submitted_info(submission, queue, answer.now_ms)

    async def many(
        self,
        queue: str,
        tasks: Sequence[Mapping[str, Any]],
        plain: Callable[[Any], Callable[..., object]],
    ) -> list[TaskInfo]:
        """Store many calls, in pieces that are all or nothing, each in only where the one before it is."""
        served = self._serving(queue)
        _check_batch(tasks)
        priority = int(served.config.priority) if served else await self._priority_elsewhere(queue)
        prepare = self._process.caller.prepare
        submissions = [prepare(_call(task, plain), priority) for task in tasks]
        _refuse_twins(submissions)
        outbox = await self._outbox(queue, served)
        infos: list[TaskInfo] = []
        for sent in _underway(outbox, _pieces(submissions, outbox.most_tasks)):
            piece = sent.piece
            try:
                answer = await sent.answer()
                if answer.outcome.word is Word.EARLY:
                    answer = await sent.again(outbox).answer()
            except Unanswered as error:
                raise _unanswered(error, piece[0], infos) from error
            if answer.outcome.word not in STORED:
                await self._refuse(queue, piece[0], answer, infos)
            infos += [submitted_info(submission, queue, answer.now_ms) for submission in piece]
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

    def outboxes(self) -> list[Outbox]:
        """Those of the declared queues, and of others' queues that were submitted to."""
        return [*(each.outbox for each in self._served.values()), *self._remote.values()]

    async def _refuse(
        self, queue: str, first: Submission, answer: Answer, before: Sequence[TaskInfo]
    ) -> NoReturn:
        accepted = [info.task_id for info in before]
        if answer.outcome.word in (Word.FULL, Word.NO_QUEUE) and not answer.is_certain:
            # An earlier sending may yet arrive, when there is room or a queue again.
            raise SubmitUncertainError(first.id, first.nonce, accepted)
        match answer.outcome.word:
            case Word.DUPLICATE:
                raise TaskAlreadyExistsError(answer.outcome.task_id, accepted)
            case Word.FULL:
                raise QueueFullError(queue, await self._max_size(queue), accepted)
            case Word.NO_QUEUE:
                self._priorities.pop(queue, None)
                raise QueueNotFoundError(queue)
            case word:
                raise AssertionError(f"not an outcome of a submit: {word}")

    async def _max_size(self, queue: str) -> int:
        """For a message: 0 where the store says no more than that the queue is full."""
        try:
            found = await asked(lambda: self._process.parts.store.settings(queue))
        except StoreUnavailableError:
            return 0
        return found[0].max_size if found else 0

    async def _outbox(self, queue: str, served: Served | None) -> Outbox:
        if served is not None:
            if not _is_ready(served):  # the store must know whom the task can be given to
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


def _is_ready(served: Served) -> bool:
    """The store knows every function that this process can be given tasks of."""
    return not served.works or served.maintainer.is_announced


def _unanswered(
    error: Unanswered, first: Submission, before: Sequence[TaskInfo]
) -> StoreUnavailableError | SubmitUncertainError:
    """What the caller is told of a piece that begins with `first`; `before`: what is in already."""
    accepted = [info.task_id for info in before]
    if error.is_ambiguous:
        return SubmitUncertainError(first.id, first.nonce, accepted)
    return StoreUnavailableError(f"task {first.id!r} was not stored: {error}", accepted)


def _check_batch(tasks: object) -> None:
    """A sequence of mappings, else `InvalidTaskError`."""
    if not isinstance(tasks, Sequence) or isinstance(tasks, str | bytes):
        raise InvalidTaskError("?", f"a batch is a list of mappings, not {type(tasks).__name__}")
    for number, task in enumerate(tasks):
        if type(task) is not dict and not isinstance(task, Mapping):
            reason = f"entry {number} of the batch is no mapping but {type(task).__name__}"
            raise InvalidTaskError("?", reason)


def _call(task: Mapping[str, Any], plain: Callable[[Any], Callable[..., object]]) -> Call:
    """An entry of a batch as a call. Raises `InvalidTaskError`."""
    keys = task.keys()
    if not NEEDED <= keys <= KEYS:
        raise _mistaken(task)
    args, kwargs = task.get("args"), task.get("kwargs")
    if args is not None and not isinstance(args, LISTS):
        reason = f"its 'args' are a list or tuple, not {type(args).__name__}"
        raise InvalidTaskError(str(task["task_id"]), reason)
    if kwargs is not None and not _are_keywords(kwargs):
        raise InvalidTaskError(str(task["task_id"]), "its 'kwargs' are a mapping from names")
    return Call(
        task_id=task["task_id"],
        task_type=task["task_type"],
        function=plain(task["task_func"]),
        args=args or (),
        kwargs=kwargs or {},
        priority=task.get("priority"),
        defer_until=task.get("_defer_until"),
        defer_by=task.get("_defer_by"),
        token=task.get("_token"),
    )


def _mistaken(task: Mapping[str, Any]) -> InvalidTaskError:
    missing = [key for key in REQUIRED if key not in task]
    unknown = sorted(str(key) for key in task.keys() - KEYS)
    what = f"has no {', '.join(missing)}" if missing else f"has unknown keys {', '.join(unknown)}"
    return InvalidTaskError(str(task.get("task_id", "?")), f"its entry {what}")


def _are_keywords(kwargs: object) -> bool:
    return isinstance(kwargs, Mapping) and all(isinstance(name, str) for name in kwargs)


def _refuse_twins(submissions: Sequence[Submission]) -> None:
    if len({submission.id for submission in submissions}) == len(submissions):
        return
    seen: set[str] = set()
    for submission in submissions:
        if submission.id in seen:
            raise TaskAlreadyExistsError(submission.id)
        seen.add(submission.id)


def _pieces(submissions: Sequence[Submission], most: int) -> Iterator[Piece]:
    """Cut, in order, at `most` tasks or 8 MiB."""
    for start in range(0, len(submissions), most):
        piece = submissions[start : start + most]
        if sum([len(each.payload) for each in piece]) <= MOST_BYTES - len(piece) * MAX_ID_BYTES:
            yield tuple(piece)
        else:
            yield from _pieces_by_size(piece)


def _pieces_by_size(submissions: Sequence[Submission]) -> Iterator[Piece]:
    start = size = 0
    for n, submission in enumerate(submissions):
        size += len(submission.payload) + len(submission.id)
        if n > start and size > MOST_BYTES:
            yield tuple(submissions[start:n])
            start, size = n, len(submission.payload) + len(submission.id)
    yield tuple(submissions[start:])


@attrs.frozen
class Underway:
    """A piece of a batch, and the answer to come. `is_certain`: no earlier sending of it is without an answer."""

    piece: Piece
    answered: asyncio.Future[Answer]
    is_certain: bool = True

    @property
    def is_early(self) -> bool:
        """It overtook the piece before it, so it has to be sent again."""
        if not self.answered.done() or self.answered.cancelled() or self.answered.exception():
            return False
        return self.answered.result().outcome.word is Word.EARLY

    def again(self, outbox: Outbox) -> Underway:
        """Sent once more, after it was early: the piece before it is in by now, or just before it on its way."""
        is_certain = self.is_certain and self.answered.result().is_certain
        return Underway(self.piece, _sent(outbox, self.piece), is_certain)

    async def answer(self) -> Answer:
        """What the store says. Raises `Unanswered`."""
        try:
            answer = await self.answered
        except Unanswered as error:  # others may have been told the same error: it is not changed
            if self.is_certain:
                raise
            raise Unanswered(Ambiguous(str(error)), is_ambiguous=True) from error
        return answer if self.is_certain else attrs.evolve(answer, is_certain=False)


def _sent(outbox: Outbox, piece: Piece, before: Piece | None = None) -> asyncio.Future[Answer]:
    after = SubmitRef(before[-1].id, before[-1].nonce) if before else None
    answered = outbox.send(Group(submissions=piece, after=after))
    answered.add_done_callback(_heard)  # nobody awaits it where the piece before it failed
    return answered


def _heard(answered: asyncio.Future[Answer]) -> None:
    if not answered.cancelled():
        answered.exception()


def _underway(outbox: Outbox, pieces: Iterable[Piece]) -> Iterator[Underway]:
    """Each piece on its way, while the next one is so already."""
    before: Underway | None = None
    for piece in pieces:
        if before is not None and before.is_early:  # else all that follow would be early too
            before = before.again(outbox)
        sent = Underway(piece, _sent(outbox, piece, before.piece if before else None))
        if before is not None:
            yield before
        before = sent
    if before is not None:
        yield before
