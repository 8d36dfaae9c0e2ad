"""A call of the library with no coroutine of its own: what most submits are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from kew.adapters.redis.connection import LibraryMissing, Lines
from kew.adapters.redis.line import Line
from kew.compat import override

T = TypeVar("T")


class Posted(asyncio.Future[T]):
    """A call on its way, on a connection that it gives back.

    `told` has it in the very call that brings the reply. For a server that lacks the library `patiently` does all of it
    again. Cancelled, the call may have been carried out.
    """

    __slots__ = ("_line", "_lines", "_patient", "_patiently", "_read", "_told")

    _read: Callable[[Any], T]

    def __init__(
        self,
        lines: Lines,
        line: Line,
        *,
        patiently: Callable[[], Coroutine[Any, Any, T]],
        told: Callable[[asyncio.Future[T]], object],
    ) -> None:
        super().__init__()
        self._lines = lines
        self._line = line
        self._patiently = patiently
        self._told = told
        self._patient: asyncio.Task[T] | None = None

    def send(self, request: bytes, read: Callable[[Any], T]) -> None:
        """Begin: this will be what `read` makes of the reply, or the error that `Lines.call` raises."""
        self._read = read
        self._line.ask(request, self._lines.give_up_at(), self._replied)

    @override
    def cancel(self, msg: Any | None = None) -> bool:
        if not super().cancel(msg):
            return False
        if self._patient is not None:
            self._patient.cancel()
        else:
            self._line.drop()  # its reply may come yet, and would be taken for that of another call
            self._lines.give_back(self._line)
        self.get_loop().call_soon(self._told, self)
        return True

    def _replied(self, reply: Any) -> None:
        self._lines.give_back(self._line)
        error = self._lines.told(reply) if isinstance(reply, Exception) else None
        if isinstance(error, LibraryMissing):
            self._patient = self.get_loop().create_task(self._patiently())
            self._patient.add_done_callback(self._answered_patiently)
            return
        try:
            if error is not None:
                raise error
            self.set_result(self._read(reply))
        except Exception as wrong:  # noqa: BLE001 - whatever it is, it belongs to whoever is told
            self.set_exception(wrong)
        self._told(self)

    def _answered_patiently(self, patient: asyncio.Task[T]) -> None:
        if self.done():
            return
        if patient.cancelled():
            self.cancel()
            return
        error = patient.exception()
        if error is None:
            self.set_result(patient.result())
        else:
            self.set_exception(error)
        self._told(self)
