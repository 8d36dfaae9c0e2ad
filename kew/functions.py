"""Decorated functions: they are called as before, and submit their own calls."""

from __future__ import annotations

import functools
import inspect
import pickle
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    NoReturn,
    ParamSpec,
    Protocol,
    TypedDict,
    Unpack,
    cast,
    overload,
)

import attrs

from kew.app.info import TaskInfo
from kew.app.injection import injection_of
from kew.app.naming import (
    Decorated,
    Registration,
    found_in,
    is_where_it_says,
    qualname_of,
)
from kew.app.submitting.encoding import TOKEN_NEEDS_ID, Call
from kew.app.submitting.futures import Awaited
from kew.app.submitting.taken import IfExists
from kew.app.submitting.uniqueness import Debounce, Latest, Throttle, Unique, Uniqueness, chosen
from kew.callables import accepted
from kew.compat import TypeVar, is_like_async, like_async, look_async
from kew.domain.config import QueueConfig
from kew.domain.errors import InvalidConfigError, InvalidTaskError, shown
from kew.domain.suggestions import did_you_mean, taking
from kew.domain.task import QueuePriority
from kew.handles import HandleMaker, TaskHandle

HOW_TO_DECORATE = (
    "the decorator takes keywords only: @manager.task(queue=...), "
    "or @manager.task() where each submit names its queue"
)
NO_QUEUE = "no queue: name it with @manager.task(queue=...) or .options(queue=...)"
P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", default=Any)


T = TypeVar("T", default=Any)


class Submits(HandleMaker, Protocol):
    """What a decorated function needs of its manager."""

    def new_task_id(self, task_type: str, queue_name: str = "") -> str: ...
    def _submit_call(
        self, queue: str, call: Call, convert: Callable[[TaskInfo], T]
    ) -> Awaited[T]: ...


@attrs.frozen(kw_only=True)
class SubmitOptions:
    """How one submit differs: None is the function's own, then the queue's."""

    task_id: str | None = None
    queue: str | None = None
    priority: QueuePriority | int | None = None
    defer_by: float | timedelta | None = None
    defer_until: datetime | None = None
    expires_in: float | timedelta | None = None
    token: str | None = None
    key: object = None
    cost: int | None = None
    if_exists: IfExists | None = None
    unique: Unique | None = None
    debounce: Debounce | None = None
    throttle: Throttle | None = None
    latest: Latest | None = None
    how: Uniqueness | None = attrs.field(init=False, eq=False, repr=False)
    """The one of the last four that was given."""

    def __attrs_post_init__(self) -> None:
        """Find it, once for many submits."""
        object.__setattr__(self, "how", chosen(self))


class Overrides(TypedDict, total=False):
    """`SubmitOptions` as keywords."""

    task_id: str | None
    queue: str | QueueConfig | None
    priority: QueuePriority | int | None
    defer_by: float | timedelta | None
    defer_until: datetime | None
    expires_in: float | timedelta | None
    token: str | None
    key: object
    cost: int | None
    if_exists: IfExists | None
    unique: Unique | None
    debounce: Debounce | None
    throttle: Throttle | None
    latest: Latest | None


OPTIONS = frozenset(
    {*Overrides.__annotations__, *(f"_{name}" for name in Overrides.__annotations__)}
)


ALSO_CALLED = {
    **dict.fromkeys(("after", "delay", "countdown", "in_"), "defer_by"),
    **dict.fromkeys(("at", "eta"), "defer_until"),
    **dict.fromkeys(("expires", "ttl"), "expires_in"),
    "id": "task_id",
}
"""What an option is called elsewhere, if the words are not alike."""


def misplaced_option(function: Callable[..., object], kwargs: Mapping[str, object]) -> str | None:
    """What to write instead of a keyword that is an option of the submit and no argument of the function; or None."""
    found = [name for name in kwargs if name in OPTIONS]
    if not found:
        return None
    known = accepted(function)
    if known is None:
        return None
    taken = known.signature.parameters
    takes_all = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values())
    for name in found:
        if name not in taken and not takes_all:
            option = name.removeprefix("_")
            return (
                f"the function has no argument {name}; the submit has the option: "
                f".options({option}={shown(kwargs[name])}).submit(...)"
            )
    return None


class TaskFunction(Decorated, Generic[P, R, C]):
    """A registered function: call it as before, or `submit` the call.

    To `inspect`, `asyncio`, `copy` and `pickle` it looks like the function that was decorated. `TaskFunction[P, R]` has
    the function's parameters and the type of a task's result; a type checker also knows what a call returns (`C`).
    """

    def __init__(
        self,
        manager: Submits,
        function: Callable[P, Any],
        *,
        queue: str | None,
        task_type: str,
        registration: Registration,
        options: SubmitOptions | None = None,
    ) -> None:
        functools.update_wrapper(self, function)
        if is_like_async(function):
            look_async(self, function)
        super().__init__(function, registration, task_type)
        self._manager = manager
        self.queue = queue
        self._options = options or SubmitOptions()
        self._injection = injection_of(function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> C:
        """Call the function itself, here and now. Its dependencies are opened, but for those that are given.

        Raises `InvalidConfigError` for a plain function whose dependencies have to be awaited.
        """
        result: Any
        if self._injection is None:
            result = self.function(*args, **kwargs)
        elif is_like_async(self.function):
            result = self._injection.call(args, kwargs)
        else:
            result = self._injection.call_plain(args, kwargs)
        return cast("C", result)

    def options(self, **changes: Unpack[Overrides]) -> TaskFunction[P, R, C]:
        """The same function with other `SubmitOptions`."""
        unknown = [name for name in changes if name not in Overrides.__annotations__]
        if unknown:
            known = Overrides.__annotations__
            meant = did_you_mean(unknown[0], known, ALSO_CALLED)
            raise TypeError(f"options() has no option {unknown[0]!r}{taking(known, meant)}")
        evolved: dict[str, Any] = {**changes}
        if isinstance(evolved.get("queue"), QueueConfig):
            evolved["queue"] = evolved["queue"].name
        return TaskFunction(
            self._manager,
            self.function,
            queue=self.queue,
            task_type=self.task_type,
            registration=self.registration,
            options=attrs.evolve(self._options, **evolved),
        )

    @like_async
    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Awaited[TaskHandle[R]]:
        """Submit this call; every keyword belongs to the function. Await it. Raises what `submit_task` raises."""
        options = self._options
        queue = options.queue or self.queue
        if queue is None:
            return _refused(InvalidConfigError(NO_QUEUE))
        if options.token is not None and options.task_id is None:
            return _refused(InvalidConfigError(TOKEN_NEEDS_ID))
        task_id = options.task_id or self._manager.new_task_id(self.task_type, queue)
        if kwargs and (reason := misplaced_option(self.function, kwargs)):
            return _refused(InvalidTaskError(task_id, reason))
        call = Call(
            task_id=task_id,
            task_type=self.task_type,
            function=self.function,
            args=args,
            kwargs=kwargs,
            priority=options.priority,
            defer_until=options.defer_until,
            defer_by=options.defer_by,
            expires_in=options.expires_in,
            cost=options.cost,
            token=options.token,
            key=options.key,
            if_exists=options.if_exists,
            unique=options.how,
            met=self._met,
        )
        return self._manager._submit_call(queue, call, self._handle)

    def _handle(self, info: TaskInfo) -> TaskHandle[R]:
        return TaskHandle(self._manager, info, self.function)

    def _met(self, task_id: str) -> TaskHandle[R]:
        return TaskHandle(self._manager, None, self.function, task_id=task_id, created=False)

    def __repr__(self) -> str:
        return f"<TaskFunction {self.task_type!r} for queue {self._options.queue or self.queue!r}>"

    # --- what a function can do as well

    def __copy__(self) -> TaskFunction[P, R, C]:
        return self

    def __deepcopy__(self, memo: object) -> TaskFunction[P, R, C]:
        return self

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Pickled by name, as a function is: the other process imports the module, which decorates it there."""
        module, qualname = self.__module__, qualname_of(self)
        there = sys.modules.get(module)
        found = found_in(there, qualname) if there else None
        if found is self:
            return qualname
        if isinstance(found, TaskFunction) and self._is_like(found):
            return _with_options, (found, self._options)
        raise pickle.PicklingError(
            f"can't pickle {self!r}: it is not what {module}.{qualname} names; "
            "decorate a function of a module, under its own name"
        )

    def _is_like(self, other: TaskFunction[..., Any, Any]) -> bool:
        """It is the other, but for the options."""
        return other.function is self.function and other._manager is self._manager

    def __set_name__(self, owner: type, name: str) -> None:
        """Refuse what is decorated in the body of a class."""
        if qualname_of(self) == f"{owner.__qualname__}.{name}":
            raise InvalidConfigError(_no_method(self.function))

    if not TYPE_CHECKING:

        def __class_getitem__(cls, parameters):
            """Of the three parameters the last may be left out."""
            if isinstance(parameters, tuple) and len(parameters) == 2:
                parameters = (*parameters, Any)
            return super().__class_getitem__(parameters)


def _with_options(function: TaskFunction[P, R, C], options: SubmitOptions) -> TaskFunction[P, R, C]:
    given = attrs.asdict(options, recurse=False, filter=lambda field, _: field.init)
    return function.options(**given)


def check_decorated(function: object) -> None:
    """Raise `InvalidConfigError` for a method: its tasks would lack the object or the class."""
    if isinstance(function, staticmethod | classmethod):
        kind = type(function).__name__
        remedy = (
            "write @staticmethod above @manager.task"
            if isinstance(function, staticmethod)
            else "decorate a module-level function, and pass it what it needs to find the class"
        )
        raise InvalidConfigError(f"{shown(function)} is a {kind}: {remedy}")
    qualname = getattr(function, "__qualname__", "")
    owner = qualname.rpartition(".")[0]
    if not owner or owner.endswith("<locals>") or is_where_it_says(function):  # type: ignore[arg-type]  # it has a name
        return
    try:
        first = next(iter(inspect.signature(function).parameters), "")  # type: ignore[arg-type]  # or TypeError
    except (TypeError, ValueError):
        return
    if first in ("self", "cls"):
        raise InvalidConfigError(_no_method(function))


def _no_method(function: object) -> str:
    name = getattr(function, "__qualname__", shown(function))
    return (
        f"{name} is a method, and a task has no object to call it on: decorate a module-level function "
        "that takes what it needs to find the object (its id), or write @staticmethod above @manager.task"
    )


async def _refused(error: Exception) -> NoReturn:
    raise error


class TaskDecorator(Protocol):
    """What `manager.task(...)` returns: it keeps the function's parameters and the type of its result.

    A coroutine's first two parameters are not Any, which would make a call's type ambiguous for overloaded functions
    such as `asyncio.gather`.
    """

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> TaskFunction[P, R, Coroutine[object, None, R]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Awaitable[R]], /
    ) -> TaskFunction[P, R, Awaitable[R]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> TaskFunction[P, R, R]: ...
