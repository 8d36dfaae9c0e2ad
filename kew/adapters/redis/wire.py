"""One connection. Commands go out at once and are answered in order; each reply is read where it arrives, in no task.

redis-py makes the connection (TLS, user and password, the database); this takes its transport over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import hiredis

from kew.adapters.redis.library import Argument
from kew.compat import override

COUNT_END: Final = b"\n"
"""What separates the number of a command's words from the words."""
INCOMPLETE: Final = object()
BUFFER_BYTES: Final = 64 * 1024
NEVER: Final = float("inf")
MESSAGES: Final = (b"message", b"smessage")
CLOSED: Final = "the connection was closed"
OTHER_LOOP: Final = (
    "this manager belongs to another event loop: use it in the one that initialized it"
)
OnReply = Callable[[Any], object]
OnMessage = Callable[[bytes], object]


def packed(*command: Argument) -> bytes:
    """A command as Redis reads it."""
    request: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub means a 1-tuple
    return request


class Opening:
    """The first words of many commands, packed once: most of a call are the names of its keys."""

    __slots__ = ("_packed", "words")

    def __init__(self, *words: Argument) -> None:
        self.words = words
        self._packed = packed(*words).partition(COUNT_END)[2]

    def packed(self, rest: Sequence[Argument]) -> bytes:
        """The command of these words and the rest, as Redis reads it."""
        count = len(self.words) + len(rest)
        body: bytes = hiredis.pack_command(tuple(rest))  # type: ignore[arg-type]  # as in `packed`
        return b"*%d\r\n%b%b" % (count, self._packed, body[body.index(COUNT_END) + 1 :])


class ReplyError(Exception):
    """An error reply, as Redis worded it: a code such as OOM, and a text."""

    @property
    def code(self) -> str:
        """Its first word."""
        return str(self).partition(" ")[0]


class Wire(Protocol):
    """One connection as calls use it; a simulated Redis brings one of its own."""

    @property
    def is_ended(self) -> bool:
        """The server hung up. Seen before a command is sent, this leaves nothing in doubt."""
        ...

    def ask(self, request: bytes, give_up_at: float, on_reply: OnReply) -> None:
        """Send a command. `on_reply` gets the reply or an error: `ReplyError` or OSError; TimeoutError at `give_up_at`.

        That is in the loop's time. It is called once, in the very call that brings the reply and not in a later turn.
        Other commands may be under way: replies come in order.
        """

    async def answer(self, request: bytes, seconds: float) -> Any:
        """The reply to a command of a connection that no pool has; an error reply is returned. Raises OSError."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()

        def on_reply(reply: Any) -> None:
            if not answer.done():
                answer.set_result(reply)

        self.ask(request, loop.time() + seconds, on_reply)
        reply = await answer
        if isinstance(reply, OSError):
            raise reply
        return reply

    def drop(self) -> None:
        """Hang up at once. No reply is passed on any more."""

    @property
    def oldest_ends_at(self) -> float:
        """When the command that has waited longest will be given up, in the loop's time."""
        return NEVER

    def hang_up(self) -> None:
        """End the connection at once; commands under way fail."""
        self.drop()


class DirectWire(asyncio.BufferedProtocol, Wire):
    """A wire on a connection that redis-py made in the running loop: it replaces the connection's protocol."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._loop = asyncio.get_running_loop()
        self._writer = writer  # which would close the transport if nothing referred to it
        self._transport = writer.transport
        self._replies = hiredis.Reader(replyError=ReplyError, notEnoughData=INCOMPLETE)
        self._buffer = memoryview(bytearray(BUFFER_BYTES))  # a slice of which is no copy
        self._asked: deque[tuple[OnReply, float]] = deque()
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
        self._asked.append((on_reply, give_up_at))
        if give_up_at < self._guard_at:  # else the timer of an earlier call serves this one too
            self._set_guard(give_up_at)
        if self._transport.is_closing():
            self._loop.call_soon(self._fail, ConnectionError(CLOSED))
        else:
            self._transport.write(request)

    @override
    def drop(self) -> None:
        self._asked.clear()
        self._transport.abort()
        self._set_guard(NEVER)

    @property
    @override
    def oldest_ends_at(self) -> float:
        return self._asked[0][1] if self._asked else NEVER

    @override
    def hang_up(self) -> None:
        self._fail(ConnectionError(CLOSED))

    def _set_guard(self, at: float) -> None:
        if self._guard is not None:
            self._guard.cancel()
        self._guard_at = at
        self._guard = None if at == NEVER else self._loop.call_at(at, self._judge)

    def _judge(self) -> None:
        """Has any call waited too long?"""
        give_up_at = min((at for _, at in self._asked), default=NEVER)
        if self._loop.time() < give_up_at:
            self._set_guard(give_up_at)
        else:
            self._fail(TimeoutError())

    # --- called by the transport

    @override
    def get_buffer(self, sizehint: int) -> memoryview:
        # One for all replies: to make a new one for each would take as long as to read it.
        return self._buffer

    @override
    def buffer_updated(self, nbytes: int) -> None:
        replies = self._replies
        replies.feed(self._buffer, 0, nbytes)  # type: ignore[arg-type]  # its stub is too narrow
        while True:
            try:
                reply = replies.gets()
            except (hiredis.ProtocolError, MemoryError) as error:
                self._fail(ConnectionError(f"not the language of Redis: {error}"))
                return
            if reply is INCOMPLETE:
                return
            if not self._asked:
                self.drop()  # an answer to no question: the next one would be taken for another call's
                return
            on_reply, _ = self._asked.popleft()
            has_more = replies.has_data()
            if has_more and not self._asked:
                self.drop()
            on_reply(reply)
            if not has_more:
                return

    @override
    def connection_lost(self, error: Exception | None) -> None:
        self._fail(error or ConnectionError(CLOSED))

    def _fail(self, error: Exception) -> None:
        """No call gets a reply any more."""
        asked = list(self._asked)
        self.drop()
        for on_reply, _ in asked:
            on_reply(error)


class ListeningWire(DirectWire):
    """A connection that subscribes: messages come between replies, and go to `on_message`."""

    def __init__(self, writer: asyncio.StreamWriter, on_message: OnMessage) -> None:
        super().__init__(writer)
        self._on_message = on_message
        self.ended: asyncio.Future[None] = self._loop.create_future()

    @override
    def buffer_updated(self, nbytes: int) -> None:
        self._replies.feed(self._buffer, 0, nbytes)  # type: ignore[arg-type]  # its stub is too narrow
        try:
            while (reply := self._replies.gets()) is not INCOMPLETE:
                self._received(reply)
        except (hiredis.ProtocolError, MemoryError) as error:
            self._fail(ConnectionError(f"not the language of Redis: {error}"))

    def _received(self, reply: Any) -> None:
        if isinstance(reply, list) and len(reply) == 3 and reply[0] in MESSAGES:
            self._on_message(reply[2])
        elif isinstance(reply, list) and len(reply) == 3 and reply[0] == b"sunsubscribe":
            self.hang_up()  # kew never asks for this: another node of the Cluster serves the channel now
        elif self._asked:
            on_reply, _ = self._asked.popleft()
            on_reply(reply)
        else:
            self._fail(ConnectionError("an answer to no question"))

    @override
    def drop(self) -> None:
        super().drop()
        if not self.ended.done():
            self.ended.set_result(None)
