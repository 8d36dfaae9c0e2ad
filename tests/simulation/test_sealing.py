"""Nothing leaves a simulation: no thread, no socket, no subprocess, no signal, no real sleep."""

import asyncio
import inspect
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable

import pytest

from kew.simulation.errors import RealIOForbidden, SimulationError
from kew.simulation.loop import SimulationLoop


def nothing() -> None: ...


async def running() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


LOOP_CALLS: dict[str, Callable[[asyncio.AbstractEventLoop], object]] = {
    "executor": lambda loop: loop.run_in_executor(None, nothing),
    "reader": lambda loop: loop.add_reader(0, nothing),
    "writer": lambda loop: loop.add_writer(1, nothing),
    "signal handler": lambda loop: loop.add_signal_handler(signal.SIGTERM, nothing),
    "address": lambda loop: loop.getaddrinfo("localhost", 80),
}

AWAITABLES: dict[str, Callable[[], object]] = {
    "thread": lambda: asyncio.to_thread(nothing),
    "connection": lambda: asyncio.open_connection("localhost", 6379),
    "server": lambda: asyncio.start_server(lambda _reader, _writer: None, "localhost", 0),
    "subprocess": lambda: asyncio.create_subprocess_exec("true"),
    "shell": lambda: asyncio.create_subprocess_shell("true"),
}

PLAIN_CALLS: dict[str, Callable[[], object]] = {
    "socket": socket.socket,
    "name": lambda: socket.getaddrinfo("localhost", 80),
    "subprocess": lambda: subprocess.run(["true"], check=True),
    "system": lambda: os.system("true"),
    "fork": os.fork,
    "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "kill": lambda: os.kill(os.getpid(), 0),
    "signal": lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL),
    "sleep": lambda: time.sleep(0),
    "event": lambda: threading.Event().wait(0),
}


def assert_refused(attempt: Callable[[], object]) -> RealIOForbidden:
    """That the attempt raises with advice, and the run fails even if the code lets it pass."""
    caught = []

    async def main() -> None:
        try:
            outcome = attempt()
            if inspect.isawaitable(outcome):
                await outcome
        except Exception as error:  # noqa: BLE001 - as careless code would
            caught.append(error)
        await asyncio.sleep(1)
        pytest.fail("the run went on")

    with SimulationLoop() as loop, pytest.raises(RealIOForbidden) as refused:
        loop.run(main())
    assert caught == [refused.value]
    error = refused.value
    assert str(error) == f"{error.what} is forbidden in a simulation: {error.advice}"
    return error


@pytest.mark.parametrize("call", LOOP_CALLS.values(), ids=LOOP_CALLS)
def test_methods_of_the_loop_that_lead_out_are_refused(call):
    assert_refused(lambda: call(asyncio.get_running_loop()))


@pytest.mark.parametrize("attempt", AWAITABLES.values(), ids=AWAITABLES)
def test_what_asyncio_would_do_outside_is_refused(attempt):
    assert_refused(attempt)


@pytest.mark.parametrize("attempt", PLAIN_CALLS.values(), ids=PLAIN_CALLS)
def test_plain_calls_that_lead_out_are_refused(attempt):
    assert_refused(attempt)


def test_a_thread_is_refused_before_it_starts():
    thread = threading.Thread(target=nothing)
    assert assert_refused(lambda: thread.start()).what == "Thread.start"  # looked up in the run


def test_every_method_of_a_loop_either_works_or_is_refused():
    inherited = [
        name
        for name, method in vars(asyncio.AbstractEventLoop).items()
        if inspect.isfunction(method) and getattr(SimulationLoop, name) is method
    ]
    assert inherited == []


def test_a_refused_call_is_refused_inside_a_process_and_a_callback_too():
    async def main(loop: SimulationLoop) -> None:
        loop.call_later(1, time.sleep, 0)
        await asyncio.sleep(2)

    with SimulationLoop() as loop, pytest.raises(RealIOForbidden, match=r"time\.sleep"):
        loop.run(main(loop))


def test_afterwards_everything_real_is_back():
    real = time.sleep, signal.signal, threading.Condition.wait, threading.Thread.start
    with SimulationLoop() as loop, pytest.raises(RealIOForbidden):
        loop.run(asyncio.to_thread(nothing))
    assert (time.sleep, signal.signal, threading.Condition.wait, threading.Thread.start) == real
    socket.socket().close()
    thread = threading.Thread(target=nothing)
    thread.start()
    thread.join()


def test_abandoned_code_cannot_reach_out_while_it_is_being_closed():
    reached = []

    async def abandoned() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            time.sleep(0)  # noqa: ASYNC251 - it is refused
            reached.append("the real world")

    with SimulationLoop() as loop:
        loop.create_task(abandoned())
        loop.run(asyncio.sleep(1))
    assert reached == []


# --- Other threads -------------------------------------------------------------------------------


def in_another_thread(attempt: Callable[[], object]) -> object:
    """What `attempt` returns or raises in a thread, while a simulation runs in this one."""
    go, gone = threading.Lock(), threading.Lock()
    outcome: list[object] = []

    def target() -> None:
        with go:
            try:
                outcome.append(attempt())
            except Exception as error:  # noqa: BLE001 - handed to the caller
                outcome.append(error)
        gone.release()

    async def main() -> None:
        go.release()
        gone.acquire()

    go.acquire()
    gone.acquire()
    thread = threading.Thread(target=target)
    thread.start()
    with SimulationLoop() as loop:
        loop.run(main())
    thread.join()
    return outcome[0]


def test_other_threads_go_about_their_business():
    assert in_another_thread(lambda: time.sleep(0)) is None
    assert in_another_thread(lambda: threading.Event().wait(0)) is False
    assert in_another_thread(lambda: socket.socket().close()) is None


def test_a_process_runs_one_simulation_at_a_time():
    def simulate() -> None:
        with SimulationLoop() as loop:
            loop.run_forever()

    error = in_another_thread(simulate)
    assert isinstance(error, SimulationError)
    assert "another thread runs a simulation" in str(error)


def test_another_thread_cannot_call_into_a_simulation():
    loops: list[asyncio.AbstractEventLoop] = []
    go, gone = threading.Lock(), threading.Lock()
    errors: list[Exception] = []

    def target() -> None:
        with go:
            try:
                loops[0].call_soon_threadsafe(nothing)
            except RealIOForbidden as error:
                errors.append(error)
        gone.release()

    async def main() -> None:
        loop = await running()
        loops.append(loop)
        loop.call_soon_threadsafe(nothing)
        go.release()
        gone.acquire()
        await asyncio.sleep(1)

    go.acquire()
    gone.acquire()
    thread = threading.Thread(target=target)
    thread.start()
    with SimulationLoop() as loop, pytest.raises(RealIOForbidden, match="another thread"):
        loop.run(main())
    thread.join()
    assert len(errors) == 1
