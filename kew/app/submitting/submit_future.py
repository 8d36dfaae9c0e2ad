"""One call on its way to the store: a future for its caller, which turns the store's answer into the caller's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Final, Protocol, TypeVar

from kew.app.info import TaskInfo
from kew.app.submitting.encoding import Call, submitted_info
from kew.app.submitting.futures import CoroutineFuture, NotAwaitedError, unchanged
from kew.app.submitting.outbox import Outbox
from kew.app.submitting.trips import Answer, Unanswered, unanswered
from kew.compat import override
from kew.domain.requests import Group, make_group
from kew.domain.task import Submission

T = TypeVar("T")
FOR_ASYNCIO: Final = -1.0  # no timeout was given, as none is by asyncio
_result_of: Final[Callable[[asyncio.Future[Any]], Any]] = asyncio.Future.result


class Owner(Protocol):
    """Turns what went wrong with a submit into the caller's error."""

    def refuse(self, submit: SubmitFuture[Any], queue: str, answer: Answer) -> None: ...

    def fail(self, submit: SubmitFuture[Any], error: Exception) -> None: ...


class SubmitFuture(CoroutineFuture[T]):
    """One call on its way, even if this is cancelled; `convert` turns its status into the caller's answer.

    It can answer the caller by itself, so that each of thousands that wait is one object and no task.
    """

    __slots__ = ("_convert", "_owner", "_queue", "call", "give_up_at", "meets", "outbox")
    tasks = 1

    def __init__(
        self,
        owner: Owner,
        queue: str,
        call: Submission,
        convert: Callable[[TaskInfo], T],
        give_up_at: float,
    ) -> None:
        super().__init__()
        self.call = call
        self._owner = owner
        self._queue = queue
        self._convert = convert
        self.give_up_at = give_up_at
        self.outbox: Outbox | None = None  # once it is on its way
        self.meets: Call | None = None  # if a task that was there already is an answer

    @override
    def __await__(self) -> Generator[Any, None, T]:
        if self.outbox is not None and not self.done():
            self.outbox.send_now()
        return super().__await__()

    @override
    def result(self, timeout: float | None = FOR_ASYNCIO) -> T:
        """For asyncio, once it is done. (A caller that forgot to await the submit takes it for a handle.)"""
        try:
            if timeout is FOR_ASYNCIO:
                return _result_of(self)  # type: ignore[no-any-return]  # `super()` would cost each submit
        except asyncio.InvalidStateError:
            raise NotAwaitedError(self.how_to_await) from None
        raise NotAwaitedError(self.how_to_await)

    @property
    def how_to_await(self) -> str:
        if self._convert is unchanged:
            return "submit_task() must be awaited: `info = await manager.submit_task(...)`"
        return "submit() must be awaited: `handle = await f.submit(...)`"

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
        """The store has answered."""
        if not answer.is_stored or answer.outcome.met:
            self._owner.refuse(self, self._queue, answer)
            return
        try:
            told = self._convert(submitted_info(self.call, self._queue, answer.now))
        except BaseException as error:  # noqa: BLE001 - it is raised where the call is awaited
            self.fail(error)
        else:
            self.set_result(told)

    def meet(self, met: Callable[[Any], Any] | None, existing: Any) -> None:
        """Answer with a task that was there already: what `met` makes of its id or, without it, its status."""
        if self.done():
            return
        try:
            told = (met or self._convert)(existing)
        except BaseException as error:  # noqa: BLE001 - it is raised where the call is awaited
            self.fail(error)
        else:
            self.set_result(told)

    def unanswered(self, error: Unanswered, /) -> None:
        """The store has not answered."""
        told = unanswered(error, self.call, ())
        told.__cause__ = error
        self._owner.fail(self, told)


class _OnceAwaited:
    """An attribute of what the caller gets, missing from the call itself: the error says how to await it.

    (A `__getattr__` would slow down every attribute of the class.)
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, submit: SubmitFuture[Any] | None, owner: type) -> object:
        if submit is None:
            return self
        raise AttributeError(f"no attribute {self._name!r} here: {submit.how_to_await}")


def _explain_missing_attributes() -> None:
    """Of a status or a handle, which a caller that forgot to await the submit takes it for."""
    names = {*TaskInfo.__struct_fields__, "info"}
    for name in names - set(dir(SubmitFuture)):
        setattr(SubmitFuture, name, _OnceAwaited(name))


_explain_missing_attributes()
