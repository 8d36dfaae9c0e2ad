"""What lies between a process and its store: here requests and replies are lost, late, repeated and refused.

An answer that did not come is `Ambiguous` for the caller, and `Refused` only if nothing can have been done; that is
all a real adapter can tell too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context
from typing import Any, Final, TypeVar

from kew.app.ports import (
    Ambiguous,
    Announce,
    Claim,
    Extend,
    Operation,
    Peek,
    Refused,
    Settle,
    Submit,
)
from kew.domain.requests import Grant
from kew.simulation.faults import ON_CALLS, Fault, Tally
from kew.simulation.hosts import Host
from kew.simulation.loop import SimulationLoop
from kew.simulation.plan import Plan
from kew.simulation.server import Server

A = TypeVar("A")
PATIENCE: Final = 3.0  # seconds that a caller waits for a reply
TRIP: Final = (0.0002, 0.003)  # seconds one way
LATEST: Final = 25.0  # what is late arrives so much after the caller gave up, at most
SLOWEST: Final = 2.0
LONG_TRIP: Final = 0.5  # of a call during which its process is killed, stopped or stalled

CONNECTIONS: Final = 9  # of a process
MOST_TURNS: Final = 4
CANCEL_ODDS: Final = 0.03  # that the user who makes a call is cancelled meanwhile, at rate 1
STALL_ODDS: Final = 0.02  # that a process stands still just as it is granted tasks, at rate 1
BRIEF: Final = 1.0

ODDS: Final = 0.004  # of each kind of fault, per call, at rate 1
OFTEN_CALLED: Final[Mapping[type[Operation[Any]], float]] = {
    Peek: 0.25,
    Announce: 1.0,
    Submit: 1.0,
    Claim: 1.0,
    Settle: 1.0,
    Extend: 2.0,
}
SELDOM: Final = 5.0  # times the odds, so that seldom calls meet every kind of fault too


class Request:
    """One request on its way. `there` and `back` are seconds, None: it never arrives."""

    __slots__ = (
        "answer",
        "back",
        "caller",
        "host",
        "operation",
        "patience",
        "sent_at",
        "there",
        "trouble",
    )

    def __init__(self, host: Host, operation: Operation[Any], answer: asyncio.Future[Any]) -> None:
        self.host = host
        self.caller = str(host)
        self.operation = operation
        self.answer = answer
        self.sent_at = 0.0
        self.there: float | None = 0.0
        self.back: float | None = 0.0
        self.patience = PATIENCE
        self.trouble: Fault | None = None  # that comes with the reply


class Network:
    """Carries calls. `meddle` does to a process what a fault asks for: kill, stop or stall it."""

    def __init__(
        self,
        loop: SimulationLoop,
        server: Server,
        plan: Plan,
        tally: Tally,
        meddle: Callable[[Host, Fault], None],
        name: str = "network",
    ) -> None:
        self.down_until = -1.0
        self.is_healed = False
        self._loop = loop
        self._server = server
        self._tally = tally
        self._meddle = meddle
        self._random = plan.random(name)
        kinds = (*ON_CALLS, Fault.PARTITION, Fault.RESTART)
        self._kinds = tuple(fault for fault in kinds if fault in plan.faults)
        self._odds = ODDS * plan.rate * len(self._kinds)
        self._cancel_odds = CANCEL_ODDS * plan.rate * (Fault.CANCELLED in plan.faults)
        self._stall_odds = STALL_ODDS * plan.rate * (Fault.STALL in plan.faults)
        self._context = Context()

    async def call(self, host: Host, operation: Operation[A]) -> A:
        """The store's reply. Raises `Ambiguous` or `Refused`."""
        random, loop = self._random, self._loop
        call = Request(host, operation, loop.create_future())
        call.sent_at = loop.world_time()
        call.there, call.back = random.uniform(*TRIP), random.uniform(*TRIP)
        odds = 0.0 if self.is_healed else self._odds * OFTEN_CALLED.get(type(operation), SELDOM)
        if odds and random.random() < odds:
            self._spoil(call, random.choice(self._kinds))
        self._send(call)
        if odds and random.random() < self._cancel_odds:
            self._cancel_caller(call)
        host.in_flight[operation.name] += 1
        try:
            answer: A = await call.answer
            return answer
        except asyncio.CancelledError:
            self._tally.add(Fault.CANCELLED, operation.name)
            raise
        finally:
            host.in_flight[operation.name] -= 1

    def _send(self, call: Request) -> None:
        there, back = call.there, call.back
        if there is not None:
            self._loop.call_later(there, self._arrive, call, context=self._context)
        if there is None or back is None or there + back >= call.patience:
            self._give_up_in_time(call)

    # --- faults

    def _spoil(self, call: Request, fault: Fault) -> None:
        random = self._random
        assert call.there is not None
        if fault in (Fault.PARTITION, Fault.RESTART):
            self._cut(call, fault)  # counted once it meets something
            return
        self._tally.add(fault, call.operation.name)
        match fault:
            case Fault.SLOW:
                call.there += random.choice((0.01, SLOWEST)) * random.random()
                call.back = random.choice((0.01, SLOWEST)) * random.random()
            case Fault.LOST_REQUEST:
                call.there = None
            case Fault.LOST_REPLY:
                call.back = None
            case Fault.LATE:
                call.there = call.patience + LATEST * random.random()
            case Fault.REPEATED:
                self._repeat(call)
            case Fault.REFUSED:
                call.there, call.back = None, None
                self._loop.call_later(
                    TRIP[1], _fail, call, Refused("refused"), context=self._context
                )
            case Fault.HASTY:
                call.patience = TRIP[1] * random.random()
                call.back = None
            case _:
                call.there *= random.choice((1, LONG_TRIP / TRIP[1]))
                call.back = LONG_TRIP * random.random()
                if random.random() < 0.5:
                    call.trouble = fault
                    return
                when = (call.there + call.back) * random.random()
                self._loop.call_later(when, self._meddle_with, call, fault, context=self._context)

    def _cancel_caller(self, call: Request) -> None:
        """A user's own task may be cancelled at any time; kew's own tasks are never cancelled by users."""
        task = asyncio.current_task()
        if task is not None and task in call.host.errands:
            when = 2 * TRIP[1] * self._random.random()
            self._loop.call_later(when, task.cancel, context=self._context)

    def _cut(self, call: Request, fault: Fault) -> None:
        """Briefly, while this call is on its way."""
        seconds = BRIEF * self._random.random()
        if fault is Fault.PARTITION:
            self.cut_off(call.host, seconds)
        else:
            self.down_until = max(self.down_until, self._loop.world_time() + seconds)

    def cut_off(self, host: Host, seconds: float) -> None:
        """The process there and the store don't reach each other: with silence, or with a reset."""
        host.partitioned_until = max(host.partitioned_until, self._loop.world_time() + seconds)
        host.resets = self._random.random() < 0.3

    def go_silent(self, host: Host) -> None:
        """All connections of the process there carry nothing more, until the first call on them has timed out."""
        host.silent_until = self._loop.world_time() + PATIENCE * (1 + self._random.random())

    def demote(self, host: Host) -> None:
        """Each connection of the process there leads to a former primary, which refuses one call on each."""
        host.refusals = self._random.randint(1, CONNECTIONS)

    def _repeat(self, call: Request) -> None:
        """Execute it again, late, and discard the answer; a submit's answer is that of its last request."""
        assert call.there is not None
        if isinstance(call.operation, Submit):
            again, call.there = call.there, call.there + self._random.random()
        else:
            again = call.there + self._random.choice((0.01, LATEST)) * self._random.random()
        self._loop.call_later(again, self._arrive_again, call, context=self._context)

    def _meddle_soon(self, call: Request, fault: Fault, turns: int) -> None:
        """A few turns of the loop after the reply: between the steps of the code that got it."""
        if turns:
            self._loop.call_soon(self._meddle_soon, call, fault, turns - 1, context=self._context)
        else:
            self._meddle_with(call, fault)

    def _meddle_with(self, call: Request, fault: Fault) -> None:
        if not self.is_healed:
            self._meddle(call.host, fault)

    # --- the way of a call

    def _arrive(self, call: Request) -> None:
        if self._is_cut(call.host):
            self._tally.add(self._what_cuts(call.host), call.operation.name)
            if call.host.resets and self._what_cuts(call.host) is not Fault.SILENT:
                self._loop.call_later(TRIP[0], _fail, call, Refused("reset"), context=self._context)
            elif call.back is not None:
                self._give_up_in_time(call)
            return
        if call.host.refusals:
            call.host.refusals -= 1
            self._tally.add(Fault.DEMOTED, call.operation.name)
            refused = Refused("READONLY")
            self._loop.call_later(TRIP[0], _fail, call, refused, context=self._context)
            return
        reply = self._server.execute(call.operation, call.caller)
        if _brings_tasks(reply) and self._random.random() < self._stall_odds * (not self.is_healed):
            self._tally.add(Fault.STALL, call.operation.name)
            call.trouble = Fault.STALL
        if call.back is not None:
            self._loop.call_later(call.back, self._reply, call, reply, context=self._context)

    def _arrive_again(self, call: Request) -> None:
        if not self._is_cut(call.host):
            self._server.execute(call.operation, call.caller)

    def _reply(self, call: Request, reply: object) -> None:
        if self._is_cut(call.host):
            self._tally.add(self._what_cuts(call.host), call.operation.name)
            self._give_up_in_time(call)
        elif not call.answer.done():
            call.answer.set_result(reply)
            if call.trouble is not None:
                self._meddle_soon(call, call.trouble, self._random.randrange(MOST_TURNS))

    def _give_up_in_time(self, call: Request) -> None:
        left = call.sent_at + call.patience - self._loop.world_time()
        self._loop.call_later(left, _fail, call, Ambiguous("no reply"), context=self._context)

    def _is_cut(self, host: Host) -> bool:
        now = self._loop.world_time()
        return now < max(self.down_until, host.partitioned_until, host.silent_until)

    def _what_cuts(self, host: Host) -> Fault:
        now = self._loop.world_time()
        if now < self.down_until:
            return Fault.RESTART
        return Fault.PARTITION if now < host.partitioned_until else Fault.SILENT


def _fail(call: Request, error: Exception) -> None:
    if not call.answer.done():
        call.answer.set_exception(error)


def _brings_tasks(reply: object) -> bool:
    grant = getattr(reply, "grant", reply)
    return isinstance(grant, Grant) and bool(grant.tasks)
