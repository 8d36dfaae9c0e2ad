"""At most so many tasks of one key start in any window: a claim passes over a key until its rate lets it start one."""

from __future__ import annotations

from kew.domain import rate as rates
from kew.domain.explaining import Code, Reason, Situation, Sure
from kew.domain.gates.gate import Gate
from kew.domain.key_limits import rates_of
from kew.domain.key_rooms import opens_at, read_log, snoozed_until
from kew.domain.keys import key_of
from kew.domain.rate import Setting
from kew.domain.view import QueueState
from kew.domain.words import rate_text, until_text


def key_rate_opens_at(situation: Situation, now: int) -> int:
    """When the rates of the task's key let it start, as they will be known at `now`: then, if they do."""
    call, settings = situation.task.call, _rates(situation)
    if not key_of(call):
        return now
    return opens_at(read_log(situation.key_log, settings, now), call.cost, now)


def key_snoozed_until(situation: Situation, now: int) -> int:
    """When the snooze of the task's key ends, as it will be known at `now`: then, if there is none."""
    return snoozed_until(situation.key_log, now) if key_of(situation.task.call) else now


def key_opens_at(situation: Situation, now: int) -> int:
    """When both let the task start."""
    return max(key_rate_opens_at(situation, now), key_snoozed_until(situation, now))


def _rates(situation: Situation) -> tuple[Setting, ...]:
    return rates_of(situation.state.settings, situation.key_limits)


class KeyRate(Gate):
    """It holds back single tasks, so it leaves the room of the queue as it is. Its memory is a log for each key."""

    name = "key_rate"

    def is_used(self, state: QueueState) -> bool:
        return True  # whether a key has limits of its own is no part of the state

    def explain(self, situation: Situation, left: int) -> Reason | None:
        call, now = situation.task.call, situation.now
        key, settings = key_of(call), _rates(situation)
        until_at = key_rate_opens_at(situation, now)
        if until_at <= now:
            return None
        units = rates.units_of(call.cost, settings)
        opens = {
            setting: rates.opens_at(log, setting, now, units)
            for log, setting in read_log(situation.key_log, settings, now)
        }
        slowest = max(opens, key=lambda setting: opens[setting])
        text = (
            f"the rate of its key {key!r}, {rate_text(slowest)}, is used up for another "
            f"{until_text(until_at, now)}"
        )
        ends_at = situation.key_limits.ends_at
        if 0 < ends_at < until_at:  # then other rates are in force
            return Reason(code=Code.KEY_RATE, text=text, sure=Sure.ESTIMATE, until_at=ends_at)
        return Reason(code=Code.KEY_RATE, text=text, sure=Sure.EXACT, until_at=until_at)
