"""One connection with one command in flight at a time. Its reply is read where it arrives, in no task and no stream.

redis-py makes the connection (TLS, user and password, the database); this takes its transport over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

import hiredis

from kew.compat import override

INCOMPLETE: Final = object()
BUFFER_BYTES: Final = 64 * 1024
NEVER: Final = float("inf")
CLOSED: Final = "the connection was closed"
OTHER_LOOP: Final = (
    "this manager belongs to another event loop: use it in the one that initialized it"
)
OnReply = Callable[[Any], object]


class ReplyError(Exception):
    """An error reply, as Redis worded it: a code such as OOM, and a text."""

    @property
    def code(self) -> str:
        """Its first word."""
        return str(self).partition(" ")[0]


class Line(Protocol):
    """A connection as calls use it; a stand-in of Redis brings one of its own."""

    @property
    def is_ended(self) -> bool:
        """The server hung up while nobody was asking: seen before sending, it leaves nothing in doubt."""
        ...

    def ask(self, request: bytes, give_up_at: float, on_reply: OnReply) -> None:
        """Let `on_reply` have the reply, or an error: `ReplyError` or OSError; TimeoutError at `give_up_at`.

        That is in the loop's time. It is called once, in the very call that brings the reply and not in a later turn.
        """

    def drop(self) -> None:
        """Hang up at once. No reply is passed on any more."""


class DirectLine(asyncio.BufferedProtocol, Line):
    """A line on a connection that somebody else made, in the running loop: it takes the place of its protocol."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._loop = asyncio.get_running_loop()
        self._writer = writer  # which would close the transport if nobody held it
        self._transport = writer.transport
        self._replies = hiredis.Reader(replyError=ReplyError, notEnoughData=INCOMPLETE)
        self._buffer = memoryview(bytearray(BUFFER_BYTES))  # a slice of which is no copy
        self._on_reply: OnReply | None = None
        self._give_up_at = 0.0
        self._guard: asyncio.TimerHandle | None = None
        self._guard_at = NEVER
        self._transport.set_protocol(self)

    @property
    @override
    def is_ended(self) -> bool:
        return self._transport.is_closing()

    @override
    def ask(self, request: bytes, give_up_at: float, on_reply: OnReply) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(OTHER_LOOP)
        self._on_reply = on_reply
        self._give_up_at = give_up_at
        if give_up_at < self._guard_at:  # else the timer of an earlier call serves this one too
            self._set_guard(give_up_at)
        if self._transport.is_closing():
            self._loop.call_soon(self._fail, ConnectionError(CLOSED))
        else:
            self._transport.write(request)

    @override
    def drop(self) -> None:
        self._on_reply = None
        self._transport.abort()
        self._set_guard(NEVER)

    def _set_guard(self, at: float) -> None:
        if self._guard is not None:
            self._guard.cancel()
        self._guard_at = at
        self._guard = None if at == NEVER else self._loop.call_at(at, self._judge)

    def _judge(self) -> None:
        """Has the last call waited too long?"""
        if self._on_reply is None:
            self._set_guard(NEVER)
        elif self._loop.time() < self._give_up_at:
            self._set_guard(self._give_up_at)
        else:
            self._fail(TimeoutError())

    # --- what the transport tells

    @override
    def get_buffer(self, sizehint: int) -> memoryview:
        # One for all replies: to make a new one for each would take as long as to read it.
        return self._buffer

    @override
    def buffer_updated(self, nbytes: int) -> None:
        self._replies.feed(self._buffer, 0, nbytes)  # type: ignore[arg-type]  # its stub is too narrow
        try:
            reply = self._replies.gets()
        except (hiredis.ProtocolError, MemoryError) as error:
            self._fail(ConnectionError(f"not the language of Redis: {error}"))
            return
        if reply is INCOMPLETE:
            return
        on_reply, self._on_reply = self._on_reply, None
        if on_reply is None or self._replies.has_data():
            self.drop()  # nobody asked for that: it must not be taken for the next one's reply
        if on_reply is not None:
            on_reply(reply)

    @override
    def connection_lost(self, error: Exception | None) -> None:
        self._fail(error or ConnectionError(CLOSED))

    def _fail(self, error: Exception) -> None:
        """Nobody will answer any more."""
        on_reply = self._on_reply
        self.drop()
        if on_reply is not None:
            on_reply(error)
