"""Submitting calls: prepare, send, and turn outcomes into what a caller is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from kew.app.caller import Call, submitted_info
from kew.app.info import TaskInfo
from kew.app.inspector import asked, known_queue
from kew.app.maintainer import Maintainer
from kew.app.process import Process
from kew.app.submitter import MOST_BYTES, MOST_TASKS, Answer, Outbox, Unanswered
from kew.domain.config import QueueConfig
from kew.domain.errors import (
    InvalidTaskError,
    QueueFullError,
    QueueNotFoundError,
    StoreUnavailableError,
    SubmitUncertainError,
    TaskAlreadyExistsError,
)
from kew.domain.requests import Group, Word
from kew.domain.task import QueuePriority, Submission

REQUIRED = ("task_id", "task_type", "task_func")
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


class Submissions:
    """The submitting side of one process; `served` are the queues that it declared."""

    def __init__(self, process: Process, served: Mapping[str, Served], patience: float) -> None:
        self._process = process
        self._served = served
        self._patience = patience
        self._remote: dict[str, Outbox] = {}
        self._priorities: dict[str, int] = {}

    async def one(self, queue: str, call: Call) -> TaskInfo:
        """Store one call."""
        known_queue(queue)
        priority = await self._default_priority(queue)
        submission = self._process.caller.prepare(call, priority)
        now_ms = await self._store(queue, await self._outbox(queue), (submission,), ())
        return submitted_info(submission, queue, now_ms)

    async def many(
        self,
        queue: str,
        tasks: Sequence[Mapping[str, Any]],
        plain: Callable[[Any], Callable[..., object]],
    ) -> list[TaskInfo]:
        """Store many calls, in pieces that are all or nothing."""
        known_queue(queue)
        _check_batch(tasks)
        priority = await self._default_priority(queue)
        submissions = [self._process.caller.prepare(_call(task, plain), priority) for task in tasks]
        _refuse_twins(submissions)
        outbox = await self._outbox(queue)
        infos: list[TaskInfo] = []
        for piece in _pieces(submissions):
            now_ms = await self._store(queue, outbox, piece, [info.task_id for info in infos])
            infos += [submitted_info(submission, queue, now_ms) for submission in piece]
        return infos

    async def _default_priority(self, queue: str) -> int:
        """That of the queue's configuration; of a queue that another process declared it is asked once."""
        if queue in self._served:
            return int(self._served[queue].config.priority)
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

    async def _store(
        self, queue: str, outbox: Outbox, piece: Sequence[Submission], accepted: Sequence[str]
    ) -> int:
        """The store's instant at which the piece was stored, or the caller's error."""
        first = piece[0]
        try:
            answer = await outbox.submit(Group(submissions=tuple(piece)))
        except Unanswered as error:
            if error.is_ambiguous:
                raise SubmitUncertainError(first.id, first.nonce, accepted) from error
            message = f"task {first.id!r} was not stored: {error}"
            raise StoreUnavailableError(message, accepted) from error
        word = answer.outcome.word
        if word in (Word.FULL, Word.NO_QUEUE) and not answer.is_certain:
            # An earlier sending may yet arrive, when there is room or a queue again.
            raise SubmitUncertainError(first.id, first.nonce, accepted)
        if word not in (Word.DONE, Word.SAME):
            await self._refuse(queue, answer, accepted)
        return answer.now_ms

    async def _refuse(self, queue: str, answer: Answer, accepted: Sequence[str]) -> None:
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

    async def _outbox(self, queue: str) -> Outbox:
        served = self._served.get(queue)
        if served is not None:
            if served.works and not served.maintainer.is_announced:
                # the store must know whom the task can be given to
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


def _check_batch(tasks: object) -> None:
    """A sequence of mappings, else `InvalidTaskError`."""
    if not isinstance(tasks, Sequence) or isinstance(tasks, str | bytes):
        raise InvalidTaskError("?", f"a batch is a list of mappings, not {type(tasks).__name__}")
    for number, task in enumerate(tasks):
        if not isinstance(task, Mapping):
            reason = f"entry {number} of the batch is no mapping but {type(task).__name__}"
            raise InvalidTaskError("?", reason)


def _call(task: Mapping[str, Any], plain: Callable[[Any], Callable[..., object]]) -> Call:
    """An entry of a batch as a call. Raises `InvalidTaskError`."""
    missing = [key for key in REQUIRED if key not in task]
    unknown = sorted(str(key) for key in task.keys() - KEYS)
    if missing or unknown:
        what = (
            f"has no {', '.join(missing)}" if missing else f"has unknown keys {', '.join(unknown)}"
        )
        raise InvalidTaskError(str(task.get("task_id", "?")), f"its entry {what}")
    args, kwargs = task.get("args"), task.get("kwargs")
    if not isinstance(args, list | tuple | None):
        reason = f"its 'args' are a list or tuple, not {type(args).__name__}"
        raise InvalidTaskError(str(task["task_id"]), reason)
    if not _are_keywords(kwargs):
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


def _are_keywords(kwargs: object) -> bool:
    if kwargs is None:
        return True
    return isinstance(kwargs, Mapping) and all(isinstance(name, str) for name in kwargs)


def _refuse_twins(submissions: Sequence[Submission]) -> None:
    seen: set[str] = set()
    for submission in submissions:
        if submission.id in seen:
            raise TaskAlreadyExistsError(submission.id)
        seen.add(submission.id)


def _pieces(submissions: Sequence[Submission]) -> Iterator[Sequence[Submission]]:
    """Cut, in order, at 1,000 tasks or 8 MiB."""
    start = size = 0
    for n, submission in enumerate(submissions):
        grown = size + len(submission.payload) + len(submission.id)
        if n > start and (n - start == MOST_TASKS or grown > MOST_BYTES):
            yield submissions[start:n]
            start, grown = n, len(submission.payload) + len(submission.id)
        size = grown
    if submissions:
        yield submissions[start:]
