"""The circuit breaker as a gate: nothing starts while it is open, and a few probes while it is half open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import attrs

from kew.domain import breaker as breakers
from kew.domain import breaker_history as history
from kew.domain.breaker import BreakerState, Cause
from kew.domain.explaining import Code, Reason, Situation, Sure
from kew.domain.gates.gate import Facts, Gate
from kew.domain.lifecycle import Effect
from kew.domain.task import Task
from kew.domain.view import QueueState
from kew.domain.words import tasks_text, until_text


class CircuitBreaker(Gate):
    """Its memory is `QueueState.breaker`."""

    name = "breaker"

    def is_used(self, state: QueueState) -> bool:
        return bool(state.settings.breaker_failures) or not state.breaker.is_at_rest

    def judged(self, state: QueueState, now: int) -> QueueState:
        return history.judged(state, now)

    def room(self, facts: Facts, left: int) -> int | None:
        return breakers.allowance(facts.state.breaker, facts.state.settings)

    def opens_at(self, facts: Facts) -> int | None:
        if facts.state.breaker.state is not BreakerState.OPEN:
            return None
        return breakers.reopens_at(facts.state.breaker, facts.state.settings)

    def granted(self, state: QueueState, tasks: Sequence[Task], now: int) -> QueueState:
        return _with(state, breakers.granted(state.breaker, len(tasks)))

    def ended(self, state: QueueState, effect: Effect | None, epoch: int, now: int) -> QueueState:
        if effect is Effect.COUNT_SUCCESS and state.breaker.is_at_rest:
            return state  # most tasks end like this
        judged = history.judged(state, now)
        breaker = judged.breaker
        match effect:
            case Effect.COUNT_SUCCESS:
                after = breakers.succeeded(breaker, epoch=epoch)
                return history.moved(judged, after, now, Cause.PROBE_SUCCEEDED)
            case Effect.COUNT_FAILURE:
                return history.failed(judged, now, epoch=epoch)
            case Effect.RETURN_PROBE:
                return _with(judged, breakers.returned(breaker, epoch=epoch))
            case Effect.NOTIFY_HOLDER | None:  # the run goes on, or there was none
                return state
            case _ as never:
                assert_never(never)

    def explain(self, situation: Situation, left: int) -> Reason | None:
        breaker, settings = situation.state.breaker, situation.state.settings
        if breakers.allowance(breaker, settings) != 0:
            return None
        if breaker.state is BreakerState.OPEN:
            until_at = breakers.reopens_at(breaker, settings)
            when = until_text(until_at, situation.now)
            text = (
                f"the queue's circuit breaker is open for another {when}, or until reset_breaker()"
            )
            return Reason(code=Code.BREAKER_OPEN, text=text, sure=Sure.EXACT, until_at=until_at)
        probes = tasks_text(breaker.probes)
        text = f"the queue's circuit breaker is half open and waits for the outcome of {probes}, or for reset_breaker()"
        return Reason(code=Code.BREAKER_OPEN, text=text)


def _with(state: QueueState, after: breakers.Breaker) -> QueueState:
    return state if after is state.breaker else attrs.evolve(state, breaker=after)
