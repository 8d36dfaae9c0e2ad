"""A call of the library with no coroutine of its own: what most submits are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from kew.adapters.redis.connections import Connections, Link
from kew.compat import override

T = TypeVar("T")


class Posted(asyncio.Future[T]):
    """A call under way on a connection that it releases: what `read` makes of the reply, or the error of `Pool.call`.

    `on_answer` gets it in the very call of the transport that brings the reply, or in the loop's next turn if it is
    cancelled. A cancelled call may have been carried out.
    """

    __slots__ = ("_link", "_on_answer", "_pool", "_read")

    def __init__(
        self,
        pool: Connections,
        link: Link,
        *,
        read: Callable[[Any], T],
        on_answer: Callable[[asyncio.Future[T]], object],
    ) -> None:
        super().__init__()
        self._pool = pool
        self._link = link
        self._read = read
        self._on_answer = on_answer

    def send(self, request: bytes) -> None:
        """Begin. If that raises, it has not begun."""
        try:
            self._link.wire.ask(request, self._pool.give_up_at(), self._replied)
        except BaseException:
            self._pool.unsent(self._link)
            raise

    @override
    def cancel(self, msg: Any | None = None) -> bool:
        if not super().cancel(msg):
            return False
        self._pool.abandon(self._link)
        self.get_loop().call_soon(self._on_answer, self)
        return True

    def _replied(self, reply: Any) -> None:
        if self.done():  # it was cancelled: the reply is discarded
            self._link.abandoned -= 1
            self._pool.release(self._link, reply)
            return
        self._pool.release(self._link, reply)
        if isinstance(reply, Exception):
            self.set_exception(self._pool.store_error_of(reply))
        else:
            try:
                self.set_result(self._read(reply))
            except Exception as error:  # noqa: BLE001 - a bug or unreadable bytes: an error of this call alone
                self.set_exception(error)
        self._on_answer(self)
