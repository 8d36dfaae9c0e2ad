"""Dependencies: the parameters of a function that other functions provide, by the library uncalled-for (an extra)."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import update_wrapper
from typing import Any, TypeVar, overload

import attrs

from kew.callables import Accepted, Function, accepted, provided_parameters
from kew.domain.errors import InvalidConfigError, shown
from kew.log import logger

R = TypeVar("R")
ADVICE = "Depends is an extra; install it: pip install 'kew[depends]'"
CLEANUP_FAILED = "has a dependency that failed to clean up, which changes no outcome"
MANY_AWAITS = 100
NOT_AT_ONCE = (
    "{0} is a plain function, and a dependency of it has to be awaited: give the dependencies as arguments, "
    "or submit the call"
)


def _library() -> Any:
    try:
        import uncalled_for
    except ImportError as missing:
        raise ImportError(
            f"module {missing.name!r} is not installed: {ADVICE}", name=missing.name
        ) from None
    return uncalled_for


@overload
def Depends(factory: Callable[..., AbstractAsyncContextManager[R, Any]], **bindings: Any) -> R: ...
@overload
def Depends(factory: Callable[..., AbstractContextManager[R, Any]], **bindings: Any) -> R: ...
@overload
def Depends(factory: Callable[..., AsyncIterator[R]], **bindings: Any) -> R: ...
@overload
def Depends(factory: Callable[..., Iterator[R]], **bindings: Any) -> R: ...
@overload
def Depends(factory: Callable[..., Awaitable[R]], **bindings: Any) -> R: ...
@overload
def Depends(factory: Callable[..., R], **bindings: Any) -> R: ...
def Depends(factory: Callable[..., Any], **bindings: Any) -> Any:  # noqa: N802 - as in FastAPI
    """The default of a parameter that `factory` provides: `async def store(db: Session = Depends(session))`.

    `factory` is a function, plain or async, whose parameters may have `Depends` themselves; a generator or a context
    manager cleans up after its `yield`. It is called on the event loop, once per run, even if several parameters need
    it. `bindings` are keywords for it. Raises ImportError without the extra `kew[depends]`.
    """
    check_factory(factory, "Depends")
    return _library().Depends(managed(factory), **bindings)


def check_factory(factory: object, taker: str) -> None:
    """Raise `InvalidConfigError` for what can't be called, such as the coroutine of a call."""
    if callable(factory):
        return
    if inspect.iscoroutine(factory):
        factory.close()  # it will never be awaited
    raise InvalidConfigError(
        f"{taker} takes the function itself, not what a call of it returns: {shown(factory)} is not callable"
    )


def managed(factory: Callable[..., Any]) -> Callable[..., Any]:
    """A generator function as one that returns a context manager; any other callable as it is."""
    kinds = [(factory, inspect.isasyncgenfunction), (factory, inspect.isgeneratorfunction)]
    if not inspect.isroutine(factory):  # an object with such a method
        kinds += [(type(factory).__call__, is_kind) for _, is_kind in kinds]
    for code, is_kind in kinds:
        if is_kind(code):
            is_async = is_kind is inspect.isasyncgenfunction
            make = contextlib.asynccontextmanager if is_async else contextlib.contextmanager
            return _Managed(factory, make)
    return factory


class _Managed:
    """A generator function, called as a context manager. Two of one function are equal, so a run has one instance."""

    def __init__(self, generator: Callable[..., Any], manager: Callable[..., Any]) -> None:
        update_wrapper(self, generator)
        self._generator = generator
        self._manage = manager(generator)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._manage(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Managed) and other._generator == self._generator

    def __hash__(self) -> int:
        return hash(self._generator)

    def __repr__(self) -> str:
        return repr(self._generator)


@attrs.frozen
class Injection:
    """What dependencies give to one function. `names`: the parameters."""

    function: Function
    names: frozenset[str]

    def scope(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Scope:
        """The dependencies of one call; those that the call itself gives are not opened."""
        try:
            given = inspect.signature(self.function).bind_partial(*args, **kwargs).arguments
        except (TypeError, ValueError):  # a decorator's own arguments
            given = dict(kwargs)
        return Scope(self, _library().resolved_dependencies(self.function, given), given)

    async def call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call the function here and now, as a run does."""
        scope = self.scope(args, kwargs)
        error: BaseException | None = None
        try:
            value = self.function(*args, **kwargs, **await scope.open())
            return await value if inspect.isawaitable(value) else value
        except BaseException as raised:
            error = raised
            raise
        finally:
            if isinstance(error, GeneratorExit):
                scope.abandon()
            else:
                await self._close(scope, error)

    async def _close(self, scope: Scope, error: BaseException | None) -> None:
        try:
            await scope.close(error)
        except Exception:
            logger.exception("%s %s", shown(self.function), CLEANUP_FAILED)

    def call_plain(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The same for a plain function, in code that can't await: no dependency may have to wait for anything.

        Raises `InvalidConfigError` for one that has to.
        """
        return _at_once(self.call(args, kwargs), self.function)


def _at_once(work: Coroutine[Any, Any, Any], function: Function) -> Any:
    try:
        work.send(None)
    except StopIteration as ended:
        return ended.value
    error = InvalidConfigError(NOT_AT_ONCE.format(shown(function)))
    for _ in range(MANY_AWAITS):  # of those that clean up
        work.throw(error)
    work.close()
    raise error


class Travelling:
    """What dependencies give to a function that travels as the first argument of its calls: each is another one."""

    def scope(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Scope | None:
        """The dependencies of one call; None if the function has none."""
        injection = injection_of(args[0])
        return None if injection is None else injection.scope(args[1:], kwargs)


class Scope:
    """The dependencies of one call, from their opening to their clean-up."""

    __slots__ = ("_given", "_injection", "_is_open", "_opening", "values")

    def __init__(
        self,
        injection: Injection,
        opening: AbstractAsyncContextManager[Any],
        given: Mapping[str, Any],
    ) -> None:
        self._injection = injection
        self._opening = opening
        self._given = given
        self._is_open = False
        self.values: dict[str, Any] = {}

    async def open(self) -> dict[str, Any]:
        """The arguments that they provide, opened at the first call. Raises what a dependency raises."""
        if not self._is_open:
            try:
                self.values = await self._opening.__aenter__()
            except Exception as error:
                if (cancelled := _cancellation_behind(error)) is None:
                    raise
                logger.exception("%s %s", shown(self._injection.function), CLEANUP_FAILED)
                raise cancelled from None
            self._is_open = True
        for value in self.values.values():
            if isinstance(value, _library().FailedDependency):
                raise value.error
        return {name: value for name, value in self.values.items() if name not in self._given}

    def abandon(self) -> None:
        """Give up: no event loop runs any more. What cleans up without waiting does so."""
        if not self._is_open:
            return
        self._is_open = False
        work = self._opening.__aexit__(GeneratorExit, GeneratorExit(), None)
        with contextlib.suppress(BaseException):  # there is no one to tell
            work.__await__().send(None)
        with contextlib.suppress(BaseException):
            work.close()

    async def close(self, error: BaseException | None) -> None:
        """Clean up; each sees the error of the call. Raises what a clean-up raises."""
        if not self._is_open:
            return
        self._is_open = False
        kind, traceback = (None, None) if error is None else (type(error), error.__traceback__)
        try:
            await self._opening.__aexit__(kind, error, traceback)
        except BaseException as raised:
            if raised is not error:
                raise


def _cancellation_behind(error: BaseException) -> asyncio.CancelledError | None:
    """What cancelled the opening, if this error of a clean-up has taken its place."""
    task, behind = asyncio.current_task(), error.__context__
    while behind is not None and not isinstance(behind, asyncio.CancelledError):
        behind = behind.__context__
    return behind if task is not None and task.cancelling() else None


def injection_of(function: Function, known: Accepted | None = None) -> Injection | None:
    """What dependencies give to the function; None: nothing. Raises `InvalidConfigError` for impossible ones.

    `known`: what it accepts, if that has been found.
    """
    _refuse_foreign(function, known or accepted(function))
    try:
        provided = provided_parameters(function)
    except (TypeError, ValueError) as error:
        if accepted(function) is None and not isinstance(error, TypeError):
            return None  # it has no signature
        raise InvalidConfigError(f"{shown(function)}: {error}") from error
    if not provided:
        return None
    _check(function)
    return Injection(function, frozenset(provided))


def _refuse_foreign(function: Function, known: Accepted | None) -> None:
    """A default that another library would replace: a task would get it as it is."""
    for parameter in known.signature.parameters.values() if known else ():
        kind = type(parameter.default)
        if kind.__name__ == "Depends" and kind.__module__.partition(".")[0] == "fastapi":
            raise InvalidConfigError(
                f"{shown(function)}: the default of {parameter.name!r} is FastAPI's Depends, which only FastAPI "
                "understands: write `from kew import Depends`"
            )


def _check(function: Function) -> None:
    library = _library()
    try:
        library.validate_dependencies(function)
        missing = library.get_call_argument_parameters(function)
    except (TypeError, ValueError) as error:
        raise InvalidConfigError(f"{shown(function)}: {error}") from error
    if missing:
        names = ", ".join(parameter.name for parameter in missing)
        raise InvalidConfigError(
            f"a dependency of {shown(function)} refers to its argument {names}, and it has none of that name"
        )
    for name, dependency in provided_parameters(function).items():
        if type(dependency).__name__ == "_Shared":
            raise InvalidConfigError(
                f"{shown(function)}: {name!r} is Shared, which has no scope here: use Depends(manager.resource(...))"
            )
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.POSITIONAL_ONLY and name in provided_parameters(function):
            raise InvalidConfigError(
                f"{shown(function)}: the dependency {name!r} is given by name: write it behind the slash"
            )
