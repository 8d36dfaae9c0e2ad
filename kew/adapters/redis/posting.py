"""A call of the library with no coroutine of its own: what most submits are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from kew.adapters.redis.connection import Lines
from kew.adapters.redis.line import Line
from kew.compat import override

T = TypeVar("T")


class Posted(asyncio.Future[T]):
    """A call on its way, on a line that it gives back: what `read` makes of the reply, or the error of `Lines.call`.

    `on_answer` has it in the very call of the transport that brings the reply, or in the loop's next turn where it is
    cancelled. Cancelled, the call may have been carried out.
    """

    __slots__ = ("_line", "_lines", "_on_answer", "_read")

    def __init__(
        self,
        lines: Lines,
        line: Line,
        *,
        read: Callable[[Any], T],
        on_answer: Callable[[asyncio.Future[T]], object],
    ) -> None:
        super().__init__()
        self._lines = lines
        self._line = line
        self._read = read
        self._on_answer = on_answer

    def send(self, request: bytes) -> None:
        """Begin. Where that raises, it has not begun."""
        try:
            self._line.ask(request, self._lines.give_up_at(), self._replied)
        except BaseException:
            self._let_go()
            raise

    @override
    def cancel(self, msg: Any | None = None) -> bool:
        if not super().cancel(msg):
            return False
        self._let_go()
        self.get_loop().call_soon(self._on_answer, self)
        return True

    def _let_go(self) -> None:
        self._line.drop()  # its reply may come yet, and would be taken for that of another call
        self._lines.give_back(self._line)

    def _replied(self, reply: Any) -> None:
        self._lines.give_back(self._line)
        if isinstance(reply, Exception):
            self.set_exception(self._lines.store_error_of(reply))
        else:
            try:
                self.set_result(self._read(reply))
            except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to whoever has the answer
                self.set_exception(error)
        self._on_answer(self)
