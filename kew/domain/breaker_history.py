"""What a queue's circuit breaker did last, and why: a transition for each epoch, in a limited number of slots."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import attrs

from kew.domain import breaker as breakers
from kew.domain.breaker import Breaker, BreakerState, Cause, Transition
from kew.domain.explaining import moment
from kew.domain.failures import as_kept
from kew.domain.task import Task
from kew.domain.view import QueueState

MOST_KEPT: Final = 20
BY_FAILURE: Final = frozenset({Cause.FAILURES, Cause.PROBE_FAILED})


def moved(state: QueueState, after: Breaker, at: int, cause: Cause, by: str = "") -> QueueState:
    """The state with this breaker. A new epoch is kept, in place of that of `MOST_KEPT` epochs before."""
    if after is state.breaker:
        return state
    if after.epoch == state.breaker.epoch:
        return attrs.evolve(state, breaker=after)
    made = Transition(epoch=after.epoch, at=at, state=after.state, cause=cause, why=as_kept(by))
    log = {**state.breaker_log, after.epoch % MOST_KEPT: made}
    return attrs.evolve(state, breaker=after, breaker_log=log)


def judged(state: QueueState, now: int) -> QueueState:
    """The state with the breaker as it is at `now`. It became half open when its reset timeout had passed."""
    before = state.breaker
    after = breakers.judged(before, state.settings, now)
    if after.state is BreakerState.HALF_OPEN:
        at = breakers.reopens_at(before, state.settings)
        return moved(state, after, at, Cause.RESET_TIMEOUT)
    return moved(state, after, now, Cause.TURNED_OFF)


def failed(state: QueueState, now: int, *, epoch: int) -> QueueState:
    """The state, judged before, after a failed attempt of a lease granted in `epoch`."""
    is_probe = state.breaker.state is BreakerState.HALF_OPEN
    after = breakers.failed(state.breaker, state.settings, now, epoch=epoch)
    return moved(state, after, now, Cause.PROBE_FAILED if is_probe else Cause.FAILURES)


def blamed(state: QueueState, before: QueueState, task: Task) -> QueueState:
    """The state in which the failure of this task is why the breaker opened, if it did since `before`."""
    epoch = state.breaker.epoch
    if (
        epoch == before.breaker.epoch
        or state.breaker_log[epoch % MOST_KEPT].cause not in BY_FAILURE
    ):
        return state
    slot = epoch % MOST_KEPT
    made = attrs.evolve(state.breaker_log[slot], task_id=task.id, why=as_kept(task.error))
    return attrs.evolve(state, breaker_log={**state.breaker_log, slot: made})


# --- for people


@attrs.frozen(kw_only=True)
class BreakerChange:
    """A change of a queue's circuit breaker.

    `state`: "open", "half_open" or "closed", since `time`. `cause`: "failures" (in a row), "reset_timeout" (it has
    passed: probes may start), "probe_succeeded", "probe_failed", "operator", or "turned_off" (the settings have no
    breaker any more). `error` and `task_id`: of the failure that opened it; None if `record_failure` counted it. `by`:
    the operator, if that is known.
    """

    time: datetime
    state: str
    cause: str
    error: str | None = None
    task_id: str | None = None
    by: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values; `time` as ISO 8601 text."""
        return {**attrs.asdict(self), "time": self.time.isoformat()}


def changes_of(log: Mapping[int, Transition]) -> list[BreakerChange]:
    """The latest first."""
    return [_change_of(made) for made in sorted(log.values(), key=lambda made: -made.epoch)]


def _change_of(made: Transition) -> BreakerChange:
    time, why = moment(made.at), made.why or None
    assert time is not None
    is_failure = made.cause in BY_FAILURE
    return BreakerChange(
        time=time,
        state=made.state.value,
        cause=made.cause.value,
        error=why if is_failure else None,
        task_id=made.task_id or None,
        by=None if is_failure else why,
    )
