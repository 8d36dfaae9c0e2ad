"""Rates as a gate: what every window of every rate leaves may start. `kew.domain.rate` has the arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import attrs

from kew.domain import rate as rates
from kew.domain.explaining import Code, Reason, Situation, Sure
from kew.domain.gates.gate import Facts, Gate
from kew.domain.rate import Log, Setting
from kew.domain.task import Task
from kew.domain.view import QueueState
from kew.domain.words import rate_text, until_text


class RateGate(Gate):
    """Its memory is a log of starts for each rate. A start is used up, whatever becomes of it."""

    name = "rate"

    def is_used(self, state: QueueState) -> bool:
        return bool(state.settings.rates)

    def judged(self, state: QueueState, now: int) -> QueueState:
        return self._with(state, [rates.judged(log, rate, now) for log, rate in _logs(state)])

    def room(self, facts: Facts, left: int) -> int | None:
        units = min(rates.room(log, rate, facts.now) for log, rate in _logs(facts.state))
        return units if units >= rates.units_of(facts.cost, facts.state.settings.rates) else 0

    def opens_at(self, facts: Facts) -> int | None:
        units, logs = rates.units_of(facts.cost, facts.state.settings.rates), _logs(facts.state)
        at = max(rates.opens_at(log, rate, facts.now, units) for log, rate in logs)
        return at if at > facts.now else None

    def affords(self, facts: Facts, tasks: Sequence[Task]) -> int | None:
        left = min(rates.room(log, rate, facts.now) for log, rate in _logs(facts.state))
        for n, task in enumerate(tasks):
            left -= rates.units_of(task.call.cost, facts.state.settings.rates)
            if left < 0:
                return n
        return None

    def granted(self, state: QueueState, tasks: Sequence[Task], now: int) -> QueueState:
        units = sum(rates.units_of(task.call.cost, state.settings.rates) for task in tasks)
        logs = [rates.granted(log, rate, now, units) for log, rate in _logs(state)]
        return self._with(state, logs)

    def explain(self, situation: Situation, left: int) -> Reason | None:
        now = situation.now
        units = rates.units_of(situation.task.call.cost, situation.state.settings.rates)
        opens = {
            setting: rates.opens_at(log, setting, now, units)
            for log, setting in _logs(situation.state)
        }
        slowest = max(opens, key=lambda setting: opens[setting])
        until_at = opens[slowest]
        if until_at <= now:
            return None
        text = (
            f"the queue's rate of {rate_text(slowest)} is used up for another "
            f"{until_text(until_at, now)}"
        )
        return Reason(code=Code.RATE, text=text, sure=Sure.EXACT, until_at=until_at)

    def _with(self, state: QueueState, logs: Sequence[Log]) -> QueueState:
        numbers = rates.write_logs(logs)
        if numbers == rates.write_logs(log for log, _ in _logs(state)):
            return state
        return attrs.evolve(state, gates={**state.gates, self.name: numbers})


def _logs(state: QueueState) -> Sequence[tuple[Log, Setting]]:
    return _read(state.gates.get(RateGate.name, ()), state.settings.rates)


@lru_cache(maxsize=64)
def _read(numbers: tuple[int, ...], settings: tuple[Setting, ...]) -> list[tuple[Log, Setting]]:
    """Each log with its rate; a claim asks for the same ones several times."""
    return list(zip(rates.read_logs(numbers, settings), settings, strict=True))
