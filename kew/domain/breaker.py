"""The circuit breaker of a queue, shared by all processes: a value, a policy and pure functions.

    CLOSED -(n consecutive failures)-> OPEN -(reset timeout)-> HALF_OPEN -(a probe succeeds)-> CLOSED
                                                                        -(a probe fails)----> OPEN

Each change begins a new *epoch*. A lease remembers the epoch of its grant; outcomes of earlier
epochs are discarded, so a late outcome from before the break can neither close nor open it. In
HALF_OPEN, every lease of the epoch is a probe, and `probes` counts those in flight.
"""

from __future__ import annotations

import enum

import attrs

from kew.domain.config import Settings


class BreakerState(enum.StrEnum):
    """CLOSED admits all tasks, OPEN none, HALF_OPEN as many as there are free probes."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@attrs.frozen(kw_only=True)
class Breaker:
    """The breaker's memory; `opened_at` is an instant of the store (ms)."""

    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    opened_at: int = 0
    epoch: int = 0
    probes: int = 0

    @property
    def is_at_rest(self) -> bool:
        """It is closed and has counted nothing."""
        return self.state is BreakerState.CLOSED and not self.failures


class Cause(enum.StrEnum):
    """Why a breaker changed."""

    FAILURES = "failures"  # so many in a row
    RESET_TIMEOUT = "reset_timeout"  # it has passed
    PROBE_SUCCEEDED = "probe_succeeded"
    PROBE_FAILED = "probe_failed"
    OPERATOR = "operator"
    TURNED_OFF = "turned_off"  # by the settings


@attrs.frozen(kw_only=True)
class Transition:
    """The breaker became `state` at the instant `at` (ms), and `epoch` began.

    `why`: the error of the task that failed, or who did it.
    """

    epoch: int
    at: int
    state: BreakerState
    cause: Cause
    task_id: str = ""
    why: str = ""


def judged(breaker: Breaker, settings: Settings, now: int) -> Breaker:
    """The breaker as it is at `now`: OPEN becomes HALF_OPEN once its reset timeout has passed.

    If the settings no longer have a breaker (`breaker_failures` 0), an open one closes: a failing probe could neither
    open it nor free its place.
    """
    if breaker.state is not BreakerState.CLOSED and not settings.breaker_failures:
        return reset(breaker)
    if breaker.state is BreakerState.OPEN and breaker.opened_at > now:  # the clock stepped back
        return attrs.evolve(breaker, opened_at=now)
    if breaker.state is BreakerState.OPEN and now >= reopens_at(breaker, settings):
        return Breaker(state=BreakerState.HALF_OPEN, epoch=breaker.epoch + 1)
    return breaker


def reopens_at(breaker: Breaker, settings: Settings) -> int:
    """When an OPEN breaker will let a probe through (ms)."""
    return breaker.opened_at + settings.breaker_reset_ms


def allowance(breaker: Breaker, settings: Settings) -> int | None:
    """How many more leases a judged breaker lets through; None: it sets no limit."""
    if breaker.state is BreakerState.CLOSED:
        return None
    if breaker.state is BreakerState.OPEN:
        return 0
    return max(0, settings.breaker_probes - breaker.probes)


def granted(breaker: Breaker, leases: int) -> Breaker:
    """After `leases` were granted: in HALF_OPEN they are probes."""
    if breaker.state is not BreakerState.HALF_OPEN or not leases:
        return breaker
    return attrs.evolve(breaker, probes=breaker.probes + leases)


def succeeded(breaker: Breaker, *, epoch: int) -> Breaker:
    """After a success of a lease granted in `epoch`."""
    if epoch != breaker.epoch:
        return breaker
    if breaker.state is BreakerState.HALF_OPEN:
        return Breaker(epoch=breaker.epoch + 1)
    return attrs.evolve(breaker, failures=0) if breaker.failures else breaker


def counts(breaker: Breaker, settings: Settings, *, epoch: int) -> bool:
    """Whether a failure of a lease granted in `epoch` counts."""
    if epoch != breaker.epoch or breaker.state is BreakerState.OPEN:
        return False
    return bool(settings.breaker_failures)


def failed(breaker: Breaker, settings: Settings, now: int, *, epoch: int) -> Breaker:
    """After a failed attempt of a lease granted in `epoch`; `breaker_failures` 0 means: never opens."""
    if not counts(breaker, settings, epoch=epoch):
        return breaker
    failures = breaker.failures + 1
    if breaker.state is BreakerState.HALF_OPEN or failures >= settings.breaker_failures:
        return Breaker(state=BreakerState.OPEN, opened_at=now, epoch=breaker.epoch + 1)
    return attrs.evolve(breaker, failures=failures)


def returned(breaker: Breaker, *, epoch: int) -> Breaker:
    """After a lease of `epoch` ended without an outcome (lost, released, cancelled): its probe is free again."""
    if epoch != breaker.epoch or breaker.state is not BreakerState.HALF_OPEN:
        return breaker
    return attrs.evolve(breaker, probes=breaker.probes - 1)


def opened(breaker: Breaker, settings: Settings, now: int) -> Breaker:
    """Opened by a person, until its reset timeout has passed; a queue without a breaker has none to open."""
    if not settings.breaker_failures:
        return breaker
    return Breaker(state=BreakerState.OPEN, opened_at=now, epoch=breaker.epoch + 1)


def reset(breaker: Breaker) -> Breaker:
    """Closed by a person."""
    return Breaker(epoch=breaker.epoch + 1)
