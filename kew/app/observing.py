"""Showing a user's observer what happens, so that it can harm nothing."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar

from kew.app.observer import (
    Observer,
    Outcome,
    StoreCall,
    TaskCounter,
    TaskEvent,
    WorkerLoss,
    counter_within,
)
from kew.app.ports import (
    Codec,
    Damaged,
    OnAnswer,
    Operation,
    Refused,
    Submit,
    Submitted,
    TaskStore,
)
from kew.app.working.interrupts import is_interrupt
from kew.compat import override
from kew.domain.errors import InvalidConfigError, shown
from kew.domain.requests import Along, Group, Word
from kew.domain.task import Submission, Task, TaskStatus
from kew.log import logger

A = TypeVar("A")
T = TypeVar("T")
STORED = (Word.DONE, Word.SAME)  # SAME: the answer to an earlier sending was lost


class SafeObserver(Observer):
    """A user's observer, whose errors are logged, once per method and type of error."""

    def __init__(self, observer: object) -> None:
        """Raises `InvalidConfigError` if it isn't an `Observer`, or if one of its methods is async."""
        if not isinstance(observer, Observer):
            raise InvalidConfigError(
                f"observer must be a kew.Observer or None, not {shown(observer)}"
            )
        for name in ("on_task", "on_store_call", "on_worker_lost"):
            if inspect.iscoroutinefunction(getattr(observer, name)):
                raise InvalidConfigError(
                    f"the observer's {name} must be a plain function, not async"
                )
        self._observer = observer
        self._logged: set[tuple[str, type[BaseException]]] = set()
        self.counter = counter_within(observer)

    @override
    def on_task(self, event: TaskEvent) -> None:
        try:
            self._observer.on_task(event)
        except BaseException as error:  # noqa: BLE001 - a user's code: it must not touch what it observes
            self._failed("on_task", error)

    @override
    def on_store_call(self, call: StoreCall) -> None:
        self._call("on_store_call", self._observer.on_store_call, call)

    @override
    def on_worker_lost(self, loss: WorkerLoss) -> None:
        self._call("on_worker_lost", self._observer.on_worker_lost, loss)

    def _call(self, name: str, method: Callable[[T], object], seen: T) -> None:
        try:
            method(seen)
        except BaseException as error:  # noqa: BLE001 - a user's code: it must not touch what it observes
            self._failed(name, error)

    def _failed(self, name: str, error: BaseException) -> None:
        if is_interrupt(error):
            raise error
        kind = name, type(error)
        if kind not in self._logged:
            self._logged.add(kind)
            text = "the observer's %s failed; such errors are logged once"
            logger.error(text, name, exc_info=error)


class ObservedStore(TaskStore):
    """A store whose operations an observer sees. Without an observer there is none of these."""

    def __init__(self, store: TaskStore, observer: Observer, codec: Codec) -> None:
        self._store = store
        self._observer = observer
        self._counter = counter_of(observer)
        self._codec = codec

    def __repr__(self) -> str:
        return f"<observed {self._store!r}>"

    @override
    async def open(self) -> None:
        await self._store.open()

    @override
    async def close(self) -> None:
        await self._store.close()

    @override
    def apart(self) -> TaskStore | None:
        return self._store.apart()

    @override
    async def facts(self) -> Mapping[str, str]:
        facts: Mapping[str, str] = await self._store.facts()
        return facts

    @override
    def id_ending(self, queue: str) -> str:
        return self._store.id_ending(queue)

    @override
    async def do(self, operation: Operation[A]) -> A:
        began = asyncio.get_running_loop().time()
        try:
            answer = await self._store.do(operation)
        except BaseException as error:
            self._called(operation, began, error)
            raise
        self._called(operation, began, None)
        if isinstance(operation, Submit) and isinstance(answer, Submitted):
            self._submitted(operation, answer)
        return answer

    @override
    def post(
        self, queue: str, groups: Collection[Group], along: Along, on_answer: OnAnswer
    ) -> asyncio.Future[Submitted]:
        submit, began = Submit(queue, groups, along), asyncio.get_running_loop().time()

        def answered(posted: asyncio.Future[Submitted]) -> None:
            error = asyncio.CancelledError() if posted.cancelled() else posted.exception()
            self._called(submit, began, error)
            if error is None:
                self._submitted(submit, posted.result())
            on_answer(posted)

        return self._store.post(queue, groups, along, answered)

    def _called(self, operation: Operation[Any], began: float, error: BaseException | None) -> None:
        call = StoreCall(
            operation=operation.name,
            queue=operation.queue,
            seconds=asyncio.get_running_loop().time() - began,
            outcome=_outcome_of(error),
            error=error,
        )
        self._observer.on_store_call(call)

    def _submitted(self, submit: Submit, answer: Submitted) -> None:
        for call in _stored(submit, answer):
            if self._counter is not None:
                self._counter.count_submitted(call, submit.queue)
                continue
            task = Task(
                call=call,
                queue=submit.queue,
                status=TaskStatus.QUEUED,
                ready_at=max(call.due_at or answer.now_ms + call.delay_ms, answer.now_ms),
                ticket=0,
                queued_at=answer.now_ms,
            )
            self._observer.on_task(TaskEvent(kind="submitted", task=task, codec=self._codec))


def counter_of(observer: Observer | None) -> TaskCounter | None:
    """The observer, if calls of `TaskCounter` are enough for it."""
    return observer.counter if isinstance(observer, SafeObserver) else None


def _stored(submit: Submit, answer: Submitted) -> Iterator[Submission]:
    for group, outcome in zip(submit.groups, answer.outcomes, strict=True):
        if outcome.word in STORED:
            yield from group.submissions


def _outcome_of(error: BaseException | None) -> Outcome:
    match error:
        case None:
            return "ok"
        case Refused():
            return "refused"
        case Damaged():
            return "damaged"
        case _:
            return "ambiguous"
