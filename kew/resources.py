"""The part of the public API that shares things: process-wide resources, and middleware around runs."""

from __future__ import annotations

import contextlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Generic, TypeVar, overload

from kew.app.around import Around
from kew.app.injection import check_factory, injection_of
from kew.app.process import Process
from kew.app.registry import Registry
from kew.callables import accepted
from kew.domain.errors import InvalidConfigError, shown
from kew.submitting import name_after_manager

NO_PARENTHESES = "write @manager.{0} without parentheses, or give manager.{0}() the function"
R = TypeVar("R")
T_co = TypeVar("T_co", covariant=True)
A = TypeVar("A", bound=Around)


class Resource(Generic[T_co]):
    """Something that a process opens once: `await pool()` in its event loop, or `Depends(pool)` in a task.

    The first that needs it opens it, and `shutdown()` closes it. If it can't be opened, those that wait for it fail
    with the error, and the next one tries again.
    """

    def __init__(self, manager: Sharing, factory: Callable[..., Any]) -> None:
        self._manager = manager
        self._factory = factory
        self._name = getattr(factory, "__qualname__", type(factory).__name__)
        self.__doc__ = getattr(factory, "__doc__", None)

    async def __call__(self) -> T_co:
        """The resource, opened if it isn't yet. Raises what its opening raises."""
        value: T_co = await self._manager._open_resource(self)
        return value

    @contextlib.contextmanager
    def override(self, factory: Callable[[], Any]) -> Iterator[None]:
        """Open what `factory` makes instead, within this block: for tests. What is open already is not touched."""
        check_resource(factory)
        own, self._factory = self._factory, factory
        try:
            yield
        finally:
            self._factory = own

    def __repr__(self) -> str:
        return f"<Resource {self._name}>"


class Sharing(ABC):
    """Declares resources and middleware."""

    _registry: Registry

    @abstractmethod
    def _here(self) -> Process:
        """The process, in its event loop."""

    @overload
    def resource(
        self, factory: Callable[[], AbstractAsyncContextManager[R, Any]], /
    ) -> Resource[R]: ...
    @overload
    def resource(self, factory: Callable[[], AbstractContextManager[R, Any]], /) -> Resource[R]: ...
    @overload
    def resource(self, factory: Callable[[], AsyncIterator[R]], /) -> Resource[R]: ...
    @overload
    def resource(self, factory: Callable[[], Iterator[R]], /) -> Resource[R]: ...
    @overload
    def resource(self, factory: Callable[[], Awaitable[R]], /) -> Resource[R]: ...
    @overload
    def resource(self, factory: Callable[[], R], /) -> Resource[R]: ...
    def resource(self, factory: Callable[[], Any] | None = None, /) -> Resource[Any]:
        """Something that this process opens once, such as a connection pool; also a decorator.

        `factory` is a function or generator function, plain or async, or returns a context manager; all run on the
        event loop. What follows its `yield` runs at shutdown, after the tasks have ended. Its parameters may have
        `Depends`. Raises `InvalidConfigError` if it takes others, or is no function.
        """
        if factory is None:
            raise TypeError(NO_PARENTHESES.format("resource"))
        check_resource(factory)
        return Resource(self, factory)

    async def _open_resource(self, resource: Resource[Any]) -> Any:
        name, factory = resource._name, resource._factory
        return await self._here().resources.get((resource, factory), name, factory)

    def around(self, middleware: A | None = None, /) -> A:
        """Put an async function around each run of this manager's tasks: `async def timed(call, context)`.

        It calls `await call()`, which returns the task's value or raises its error, and returns the value. What it
        returns or raises instead is the outcome. The first one that was registered is outermost. Raises
        `InvalidConfigError` if it is no async function.
        """
        if middleware is None:
            raise TypeError(NO_PARENTHESES.format("around"))
        codes = (middleware, type(middleware).__call__)
        if not any(inspect.iscoroutinefunction(code) for code in codes):
            raise InvalidConfigError(
                f"around takes an async function of a call and a context, not {shown(middleware)}"
            )
        try:
            inspect.signature(middleware).bind(None, None)
        except TypeError as error:
            raise InvalidConfigError(
                f"{shown(middleware)} is called with a call and a context: {error}"
            ) from None
        self._registry.around.append(middleware)
        return middleware


def check_resource(factory: object) -> None:
    """Raise `InvalidConfigError` for what can't be called without arguments."""
    check_factory(factory, "resource()")
    assert callable(factory)
    injection_of(factory)
    known = accepted(factory)
    if known is None:
        return
    try:
        known.signature.bind()
    except TypeError as error:
        raise InvalidConfigError(f"{shown(factory)} is called without arguments: {error}") from None


name_after_manager(Sharing)
