"""A Redis inside this process: fakeredis, spoken to without a socket, a thread or a pause.

What the simulation needs otherwise than fakeredis has it stands here: TIME is the simulated clock, what Redis leaves
open (the order of a set, a random member) is decided by a seed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any, Final

from redis import Redis
from redis.exceptions import ResponseError

from kew.adapters.redis.library import Argument
from kew.adapters.redis.wire import packed
from kew.simulation.errors import SimulationError

VERSION: Final = (7, 0)
ADVICE: Final = "simulating with the Lua library needs fakeredis 2.40 or newer, with Lua: pip install 'kew[sim]'"


class RedisInProcess:
    """A server and one connection to it. `now_ms` is its clock."""

    def __init__(self, now_ms: Callable[[], int], seed: int = 0) -> None:
        server_class, socket_class = _fakeredis()
        self._server = server_class(version=VERSION)
        self._socket = self._connected(socket_class, now_ms, Random(f"redis:{seed}"))

    def _connected(self, socket_class: Any, now_ms: Callable[[], int], random: Random) -> Any:
        socket = socket_class(self._server, 0, client_class=Redis)
        socket.now_ms, socket.chance, socket.changed = now_ms, random, set()
        return socket

    def command(self, *words: Argument) -> Any:
        """The reply to a command; an error reply is raised."""
        return self.execute(packed(*words))

    def execute(self, request: bytes) -> Any:
        """The reply to a packed command; an error reply is raised."""
        self._socket.sendall(request)
        reply = self._socket.responses.get_nowait()
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    def changed(self) -> frozenset[bytes]:
        """The keys that were written since the last call, removed ones among them."""
        changed = frozenset(self._socket.changed)
        self._socket.changed.clear()
        return changed

    def subscriber(self) -> Listener:
        """A second connection, to listen on."""
        return Listener(self._server, self._connected(type(self._socket), int, Random(0)))

    # --- what is on its disk

    def written(self) -> object:
        """All keys with their values, to be given back to `restore`."""
        return copy.deepcopy(self._server.dbs[0]._dict)

    def restore(self, written: object) -> None:
        """Have these keys and no others."""
        kept = self._server.dbs[0]._dict
        self._socket.changed.update(kept)
        kept.clear()
        kept.update(copy.deepcopy(written))
        self._socket.changed.update(kept)

    def forget_library(self) -> None:
        """As a restart does that had nothing on disk."""
        self.command("FUNCTION", "FLUSH")


class Listener:
    """One connection that listens on channels, any number of them, and is asked what it heard."""

    def __init__(self, server: Any, socket: Any) -> None:
        self._server = server  # which knows its subscribers by weak references only
        self._socket = socket
        self._channels: frozenset[str] = frozenset()

    def listen_on(self, channels: frozenset[str]) -> None:
        """On these, and no others."""
        for word, changed in (
            ("SUBSCRIBE", channels - self._channels),
            ("UNSUBSCRIBE", self._channels - channels),
        ):
            if changed:
                self._socket.sendall(packed(word, *sorted(changed)))
        self._channels = channels

    def heard(self) -> list[tuple[str, bytes]]:
        """Channel and text of every message since it was last asked."""
        found = []
        while not self._socket.responses.empty():
            kind, channel, text = self._socket.responses.get_nowait()
            if kind == b"message":
                found.append((channel.decode(), text))
        return found


@cache
def _fakeredis() -> tuple[Any, Any]:
    """Its server class, and a socket class whose clock and chance are ours."""
    try:
        from fakeredis import FakeServer
        from fakeredis._socket import FakeSocket
        from fakeredis.commands_mixins import scripting_mixin  # noqa: F401 - it needs lupa
    except ImportError as error:
        raise SimulationError(f"{ADVICE} ({error})") from error

    class Socket(FakeSocket):
        now_ms: Callable[[], int]
        chance: Random
        changed: set[bytes]

        def _keyspace_notifications(self, items: Any, command: bytes) -> None:
            self.changed.update(item.key for item in items if item.is_modified)

        def time(self) -> list[bytes]:
            seconds, ms = divmod(self.now_ms(), 1000)
            return [b"%d" % seconds, b"%d" % (ms * 1000)]

        def smembers(self, key: Any) -> list[bytes]:
            return sorted(super().smembers(key))

        def sinter(self, *keys: Any) -> list[bytes]:
            return sorted(super().sinter(*keys))

        def srandmember(self, key: Any, count: int) -> list[bytes]:
            members = sorted(key.value)
            return self.chance.sample(members, min(count, len(members)))

    return FakeServer, Socket
