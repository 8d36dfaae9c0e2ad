"""Where the simulation ends: everything real that code inside it must not touch.

Real threads, sockets and sleeps take real time and come back in an order that no seed decides. So
they are refused, each with advice, in three ways: `SealedLoop` refuses the methods of the event loop,
an audit hook refuses what the interpreter reports, and for the length of a run a few functions that
it does not report are replaced. Files are not refused. Nothing here knows how a loop schedules.
"""

from __future__ import annotations

import asyncio
import asyncio.tasks
import contextlib
import functools
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Never

from kew.simulation.errors import RealIOForbidden, SimulationError

BLOCKING: Final = (
    "await something instead; a simulation has one thread, and blocking it stops everything"
)
PIPES: Final = "hand the simulated code an object that it can await in place of the pipe or file"
PROCESSES: Final = "start a SimulatedProcess instead"
SIGNALS: Final = "ask a SimulatedProcess to stop instead"
SLEEPING: Final = "await asyncio.sleep(), which takes no real time here"
SOCKETS: Final = "give the code a simulated store or a fake client instead of an address"
THREADS: Final = "call the function directly, or give the code an executor that runs it inline"

AUDITED: Final = {
    "_thread.start_joinable_thread": THREADS,
    "_thread.start_new_thread": THREADS,
    "os.exec": PROCESSES,
    "os.fork": PROCESSES,
    "os.forkpty": PROCESSES,
    "os.kill": SIGNALS,
    "os.killpg": SIGNALS,
    "os.posix_spawn": PROCESSES,
    "os.spawn": PROCESSES,
    "os.system": PROCESSES,
    "signal.pthread_kill": SIGNALS,
    "socket.__new__": SOCKETS,
    "socket.bind": SOCKETS,
    "socket.connect": SOCKETS,
    "socket.getaddrinfo": SOCKETS,
    "socket.gethostbyaddr": SOCKETS,
    "socket.gethostbyname": SOCKETS,
    "socket.getnameinfo": SOCKETS,
    "socket.sendmsg": SOCKETS,
    "socket.sendto": SOCKETS,
    "subprocess.Popen": PROCESSES,
    "time.sleep": SLEEPING,
}

# There is no audit event for a sleep before Python 3.13, of a thread before 3.12, and of the others yet.
UNAUDITED: Final = (
    (time, "sleep", SLEEPING),
    (signal, "signal", SIGNALS),
    (threading.Condition, "wait", BLOCKING),
    (threading.Thread, "start", THREADS),
)

Report = Callable[[RealIOForbidden], None]


class _Seal(NamedTuple):
    """The simulation that is running now, and where to report a breach."""

    thread_id: int
    report: Report


_seal: _Seal | None = None


def is_sealed() -> bool:
    """Whether the calling thread is inside a simulation; other threads go about their business."""
    return _seal is not None and _seal.thread_id == threading.get_ident()


def refuse(what: str, advice: str) -> Never:
    """Report the breach and raise `RealIOForbidden`. The simulation ends even if the error is caught."""
    breach = RealIOForbidden(what, advice)
    if _seal is not None:
        _seal.report(breach)
    raise breach


@contextlib.contextmanager
def sealed(report: Report) -> Iterator[None]:
    """Refuse the real world to this thread until the block ends.

    Each breach is reported before it is raised. Seals of one thread may nest. A second thread gets
    a `SimulationError` meanwhile, because the replaced functions belong to the whole process.
    """
    global _seal
    if _seal is not None and not is_sealed():
        raise SimulationError("another thread runs a simulation; use one process for each instead")
    _install_audit_hook()
    outer = _seal
    with contextlib.ExitStack() as stack:
        if outer is None:
            _replace_functions(stack)
        _seal = _Seal(threading.get_ident(), report)
        try:
            yield
        finally:
            _seal = outer


@functools.cache
def _install_audit_hook() -> None:
    """Once per process and only when a simulation first runs, since a hook can never be removed."""
    sys.addaudithook(_audit)


def _audit(event: str, _args: tuple[object, ...]) -> None:
    if _seal is not None and event in AUDITED and is_sealed():
        refuse(event, AUDITED[event])


def _replace_functions(stack: contextlib.ExitStack) -> None:
    for owner, name, advice in UNAUDITED:
        real = getattr(owner, name)
        what = f"{getattr(owner, '__name__', owner)}.{name}"
        _replace(stack, owner, name, _refusing(real, what, advice))
    for module in (asyncio, asyncio.tasks):
        _replace(stack, module, "all_tasks", _in_order(module.all_tasks))


def _replace(stack: contextlib.ExitStack, owner: object, name: str, stand_in: object) -> None:
    stack.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, stand_in)


def _refusing(real: Callable[..., object], what: str, advice: str) -> Callable[..., object]:
    @functools.wraps(real)
    def stand_in(*args: object, **kwargs: object) -> object:
        if is_sealed():
            refuse(what, advice)
        return real(*args, **kwargs)

    return stand_in


def _in_order(
    all_tasks: Callable[[asyncio.AbstractEventLoop | None], set[asyncio.Task[object]]],
) -> Callable[..., set[asyncio.Task[object]]]:
    """`all_tasks`, built in the order of the tasks' ordinals.

    If hashes collide, the order of a set is the order in which it was filled, and asyncio fills
    this one from a registry whose own order depends on all that the process ever ran.
    """

    @functools.wraps(all_tasks)
    def stand_in(loop: asyncio.AbstractEventLoop | None = None) -> set[asyncio.Task[object]]:
        in_order = sorted(all_tasks(loop), key=hash)
        return set(in_order)

    return stand_in


def _refused(what: str, advice: str) -> Callable[..., Never]:
    def method(*_args: object, **_kwargs: object) -> Never:
        refuse(f"loop.{what}", advice)

    return method


class SealedLoop(asyncio.AbstractEventLoop):
    """The methods of an event loop that lead out of a simulation: each raises `RealIOForbidden`."""

    connect_accepted_socket = _refused("connect_accepted_socket", SOCKETS)
    connect_read_pipe = _refused("connect_read_pipe", PIPES)
    connect_write_pipe = _refused("connect_write_pipe", PIPES)
    create_connection = _refused("create_connection", SOCKETS)
    create_datagram_endpoint = _refused("create_datagram_endpoint", SOCKETS)
    create_server = _refused("create_server", SOCKETS)
    create_unix_connection = _refused("create_unix_connection", SOCKETS)
    create_unix_server = _refused("create_unix_server", SOCKETS)
    getaddrinfo = _refused("getaddrinfo", SOCKETS)
    getnameinfo = _refused("getnameinfo", SOCKETS)
    remove_reader = _refused("remove_reader", SOCKETS)
    remove_signal_handler = _refused("remove_signal_handler", SIGNALS)
    remove_writer = _refused("remove_writer", SOCKETS)
    sendfile = _refused("sendfile", SOCKETS)
    set_default_executor = _refused("set_default_executor", THREADS)
    sock_accept = _refused("sock_accept", SOCKETS)
    sock_connect = _refused("sock_connect", SOCKETS)
    sock_recv = _refused("sock_recv", SOCKETS)
    sock_recv_into = _refused("sock_recv_into", SOCKETS)
    sock_recvfrom = _refused("sock_recvfrom", SOCKETS)
    sock_recvfrom_into = _refused("sock_recvfrom_into", SOCKETS)
    sock_sendall = _refused("sock_sendall", SOCKETS)
    sock_sendfile = _refused("sock_sendfile", SOCKETS)
    sock_sendto = _refused("sock_sendto", SOCKETS)
    start_tls = _refused("start_tls", SOCKETS)
    subprocess_exec = _refused("subprocess_exec", PROCESSES)
    subprocess_shell = _refused("subprocess_shell", PROCESSES)

    # These four take a callback with its arguments, whose type no assignment can match.

    def add_reader(self, *_args: object) -> Never:
        refuse("loop.add_reader", SOCKETS)

    def add_signal_handler(self, *_args: object) -> Never:
        refuse("loop.add_signal_handler", SIGNALS)

    def add_writer(self, *_args: object) -> Never:
        refuse("loop.add_writer", SOCKETS)

    def run_in_executor(self, *_args: object) -> Never:
        refuse("loop.run_in_executor", THREADS)
