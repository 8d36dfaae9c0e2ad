"""Starting, stopping, killing and restarting simulated processes: the part of the operating system and its operator."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from contextvars import Context
from random import Random
from typing import Any, Final

from kew.adapters.codecs import MessagePackCodec
from kew.app.notices import Wakeup
from kew.app.ports import Threads
from kew.app.working.keeper import LONGEST_BEAT
from kew.bootstrap import Parts
from kew.simulation.chance import NoWatchdog, SeededEntropy
from kew.simulation.faults import Fault
from kew.simulation.hosts import Host
from kew.simulation.loop import SimulationLoop
from kew.simulation.notices import FaultyHub
from kew.simulation.port import Carrier, FaultyStore
from kew.simulation.processes import SimulatedProcess

RESTART_AFTER: Final = (0.1, 15.0)
STALLS: Final = (0.5, 8.0, 40.0)  # seconds for which a process stands still, at most
SLEEPS: Final = (3.0, 15.0, 60.0, 300.0)  # seconds for which a machine is suspended, at most
CODEC: Final = MessagePackCodec()  # of all processes: what it knows of a function is found once
KILL_AFTER: Final = 60.0  # seconds after which what was asked to stop is killed


class Supervisor:
    """Runs `program(host)` in a process on each host that is started, and again in another when that has ended.

    `prepare` sets variables of a process's context before its program starts.
    """

    def __init__(
        self,
        loop: SimulationLoop,
        hub: FaultyHub,
        random: Random,
        program: Callable[[Host], Coroutine[Any, Any, None]],
        prepare: Callable[[Context], object],
    ) -> None:
        self._loop = loop
        self._hub = hub
        self._random = random
        self._program = program
        self._prepare = prepare
        self._ended: set[SimulatedProcess] = set()

    # --- beginning

    def begin(self, host: Host) -> SimulatedProcess:
        """A new process on a host, which runs nothing yet."""
        process = SimulatedProcess(
            self._loop,
            host.name,
            host.starts,
            skew_s=host.skew_s,
            monotonic_offset_s=self._random.random(),
        )
        host.starts += 1
        host.begin(process)
        return process

    def start(self, host: Host) -> None:
        """Begin a process that runs the program."""
        process = self.begin(host)
        self._prepare(process.context)
        self._loop.note(process, "begins")
        process.spawn(self._program(host), name="main")

    def start_later(self, host: Host, seconds: float) -> None:
        """Start after so many seconds, unless another process has begun there."""
        self._later(seconds, self._restart, host, host.process)

    def _restart(self, host: Host, former: SimulatedProcess | None) -> None:
        if host.process is former and not host.is_alive:
            self.start(host)

    # --- ending

    def kill(self, host: Host) -> None:
        """As SIGKILL; another process starts before long."""
        process = host.process
        if process is None or not process.is_alive:
            return
        self._loop.note(process, "is killed")
        process.kill()
        self._later(20.0 * self._random.random(), self._hub.remove, host.incarnation)
        self._has_ended(host, process)

    def _has_ended(self, host: Host, process: SimulatedProcess) -> None:
        host.is_ready = False
        self._ended.add(process)
        self.start_later(host, self._random.uniform(*RESTART_AFTER))

    def restart_crashed(self, hosts: Iterable[Host]) -> None:
        """Restart what crashed by itself."""
        for host in hosts:
            process = host.process
            if process is not None and not process.is_alive and process not in self._ended:
                self._has_ended(host, process)

    def ask_to_stop(self, host: Host) -> None:
        """As SIGTERM: shut down, and be killed if that takes too long."""
        process, manager = host.process, host.manager
        if process is None or manager is None or not host.is_alive or host.is_stopping:
            return
        self._loop.note(process, "is asked to stop")
        host.is_stopping, host.is_ready = True, False
        timeout = self._random.choice((0.0, 1.0, 5.0))
        process.spawn(self._shut_down(host, timeout), name="stop")
        self._later(KILL_AFTER, self._kill_if, host, process)

    async def _shut_down(self, host: Host, timeout: float) -> None:
        assert host.manager is not None
        await host.manager.shutdown(wait=self._random.random() < 0.8, timeout=timeout)
        if host.on_shut_down is not None:
            host.on_shut_down()
        self._later(0.0, self._kill_if, host, host.process)

    def _kill_if(self, host: Host, process: SimulatedProcess | None) -> None:
        if host.process is process:
            self.kill(host)

    # --- standing still

    def stall(self, host: Host, seconds: float) -> None:
        """As SIGSTOP and SIGCONT."""
        if host.process is not None and host.is_alive:
            self._loop.note(host.process, f"stalls for {seconds:.3f} s")
            host.process.stall(seconds)
            self._stands_still(host, host.process)

    def suspend(self, host: Host, seconds: float) -> None:
        """As a laptop that is closed. Its worker looks at the clock a moment after it woke."""
        if host.process is not None and host.is_alive:
            self._loop.note(host.process, f"is suspended for {seconds:.3f} s")
            host.process.suspend(seconds)
            self._stands_still(host, host.process)

    def _stands_still(self, host: Host, process: SimulatedProcess) -> None:
        """Until the end of all its stalls, and through these if its machine sleeps."""
        moment = LONGEST_BEAT if process.is_suspended else 0.0
        host.stalled_until = max(host.stalled_until, process.stalled_until + moment)

    def wake(self, hosts: Iterable[Host]) -> None:
        """End each stall and each sleep."""
        for host in hosts:
            host.stalled_until = min(host.stalled_until, self._loop.world_time() + LONGEST_BEAT)
            if host.process is not None and host.is_alive:
                host.process.thaw()

    def meddle(self, host: Host, fault: Fault) -> None:
        """Do to a process what a fault asks for."""
        match fault:
            case Fault.KILL:
                self.kill(host)
            case Fault.STOP:
                self.ask_to_stop(host)
            case Fault.STALL:
                self.stall(host, self._random.choice(STALLS) * self._random.random())
            case Fault.SUSPENDED:
                self.suspend(host, self._random.choice(SLEEPS) * self._random.random())
            case _:
                raise AssertionError(f"nothing to do to a process: {fault}")

    def _later(self, seconds: float, act: Callable[..., object], *args: object) -> None:
        self._loop.call_later(seconds, act, *args, context=Context())


def parts_on(
    host: Host,
    carrier: Carrier,
    wakeup: Wakeup,
    random: Random,
    threads: Threads,
    *,
    is_suspended: bool = False,
) -> Parts:
    """The adapters of a simulated process. `is_suspended`: its machine may sleep."""
    return Parts(
        store=FaultyStore(host, carrier),
        codec=CODEC,
        wakeup=wakeup,
        entropy=SeededEntropy(random),
        threads=threads,
        uptime=host.process.uptime if is_suspended and host.process is not None else None,
        watchdog=NoWatchdog(),
    )
