"""Notifications between the processes that share a file: Unix datagram sockets in a directory beside it.

Each listener has a socket there, whose name is a hash of its namespace and incarnation. What an operation reports is
sent once its transaction is committed, all of it for one listener in as few datagrams as possible. A datagram that
finds no room is dropped: the poll stands behind it. Listeners of the same process get theirs without a socket. Where
there are no Unix sockets, or (except on Linux) the path is too long for one, other processes have only the poll.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import msgspec

from kew.adapters.memory.hub import Hub
from kew.app.notices import Notice, SettingsChanged, StopAsked, TaskEnded, Wakeup, Woken
from kew.compat import override
from kew.log import logger

KINDS: Final[dict[str, Callable[..., Notice]]] = {
    "woken": Woken,
    "stop": StopAsked,
    "ended": TaskEnded,
    "settings": SettingsChanged,
}
NAMES: Final[dict[type[Any], str]] = {
    Woken: "woken",
    StopAsked: "stop",
    TaskEnded: "ended",
    SettingsChanged: "settings",
}
LONGEST_NAME: Final = 100  # bytes of a socket's name; systems take 104 to 108
DESCRIPTORS: Final = Path("/proc/self/fd")  # on Linux: names of open directories, among others
NOTICES_AT_ONCE: Final = 50  # in one datagram
LARGEST: Final = 65_536  # bytes of one
READ_AT_ONCE: Final = 100  # datagrams, before the event loop goes on
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[list[str]]).decode

Deliver = Callable[[Notice], None]
_here: dict[str, tuple[asyncio.AbstractEventLoop, Deliver]] = {}
"""The listeners in this process, by the names of their sockets."""


def name_of(path: str, namespace: str, incarnation: str) -> str:
    """The name of a listener's socket."""
    digest = hashlib.sha256(f"{namespace}/{incarnation}".encode()).hexdigest()[:16]
    return f"{path}-listeners/{digest}"


def new_socket() -> socket.socket | None:
    """A socket without a name yet; None: the system has none."""
    if not hasattr(socket, "AF_UNIX"):
        return None
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made


@contextlib.contextmanager
def address_of(name: str) -> Iterator[str]:
    """The name, or a shorter one of the same file where the system has that: a socket's name is short."""
    if len(os.fsencode(name)) <= LONGEST_NAME or not DESCRIPTORS.exists():
        yield name
        return
    path = Path(name)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        yield str(DESCRIPTORS / str(directory) / path.name)
    finally:
        os.close(directory)


@attrs.define(eq=False)
class Outgoing(Hub):
    """What the operations of one transaction report. It belongs to the thread that carries them out."""

    path: str
    namespace: str
    _waiting: dict[str, list[Notice]] = attrs.field(factory=lambda: defaultdict(list))
    _sockets: dict[str, socket.socket] = attrs.field(factory=dict)

    @override
    def notify(self, incarnation: str, notice: Notice) -> bool:
        """Send it with the others when the transaction is committed. False: no process of that name listens."""
        name = name_of(self.path, self.namespace, incarnation)
        if name not in self._waiting and not self._is_heard(name):
            return False
        self._waiting[name].append(notice)
        return True

    def _is_heard(self, name: str) -> bool:
        if name in _here:
            return True
        if not Path(name).exists() or (made := new_socket()) is None:
            return False
        try:
            with address_of(name) as address:
                made.connect(address)
        except OSError:  # its process has gone
            made.close()
            with contextlib.suppress(OSError):
                Path(name).unlink()
            return False
        self._sockets[name] = made
        return True

    def discard(self) -> None:
        """The transaction was undone."""
        self._waiting.clear()
        for each in self._sockets.values():
            each.close()
        self._sockets.clear()

    def send(self) -> None:
        """The transaction is committed."""
        for name, notices in self._waiting.items():
            if name in _here:
                _deliver_here(name, notices)
            elif name in self._sockets:
                _send(self._sockets[name], notices)
        self.discard()


def _deliver_here(name: str, notices: list[Notice]) -> None:
    loop, deliver = _here[name]
    with contextlib.suppress(RuntimeError):  # the loop is closed, and its listener with it
        loop.call_soon_threadsafe(_deliver_all, deliver, notices)


def _deliver_all(deliver: Deliver, notices: list[Notice]) -> None:
    for notice in notices:
        deliver(notice)


def _send(to: socket.socket, notices: list[Notice]) -> None:
    texts = [[NAMES[type(notice)], *attrs.astuple(notice)] for notice in notices]
    for start in range(0, len(texts), NOTICES_AT_ONCE):
        with contextlib.suppress(OSError):  # no room, or it has gone: the poll stands behind it
            to.send(_encode(texts[start : start + NOTICES_AT_ONCE]))


class SqliteWakeup(Wakeup):
    """One listener of a namespace of a file."""

    def __init__(self, path: str, namespace: str) -> None:
        self._path = path
        self._namespace = namespace
        self._name = ""
        self._socket: socket.socket | None = None

    @override
    async def listen(self, incarnation: str, deliver: Deliver) -> None:
        loop = asyncio.get_running_loop()
        self._name = name_of(self._path, self._namespace, incarnation)
        _here[self._name] = (loop, deliver)
        self._socket = self._bound()
        if self._socket is not None:
            loop.add_reader(self._socket, self._read, self._socket, deliver)

    def _bound(self) -> socket.socket | None:
        made = new_socket()
        if made is None:
            return None
        try:
            place = Path(self._name)
            place.parent.mkdir(mode=0o700, exist_ok=True)
            place.unlink(missing_ok=True)
            with address_of(self._name) as address:
                made.bind(address)
        except OSError as error:
            made.close()
            logger.warning("no notifications from other processes, only the poll: %s", error)
            return None
        return made

    def _read(self, bound: socket.socket, deliver: Deliver) -> None:
        for _ in range(READ_AT_ONCE):
            try:
                datagram = bound.recv(LARGEST)
            except OSError:  # nothing more
                return
            _deliver_all(deliver, notices_in(datagram))

    @override
    async def close(self) -> None:
        _here.pop(self._name, None)
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            _unbind(self._socket, self._name)
            self._socket = None


def _unbind(bound: socket.socket, name: str) -> None:
    bound.close()
    with contextlib.suppress(OSError):
        Path(name).unlink()


def notices_in(datagram: bytes) -> list[Notice]:
    """The notices of a datagram; none, if another program sent it."""
    try:
        return [KINDS[kind](*values) for kind, *values in _decode(datagram)]
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
        return []
