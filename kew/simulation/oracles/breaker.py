"""The breaker opens after enough failures in a row, lets probes through after its time, and closes on a success."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from kew.app.ports import Command, Control, Purge
from kew.compat import override
from kew.domain.breaker import Breaker, BreakerState
from kew.domain.events import Failed, Succeeded
from kew.domain.requests import Word
from kew.domain.task import Task
from kew.simulation.facts import Facts
from kew.simulation.oracle import Oracle, Step

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


class BreakerOracle(Oracle):
    """What moves the breaker, with a count of its own."""

    name = "breaker"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._streak: dict[str, int] = defaultdict(int)
        self._is_sure = True

    @override
    def judge(self, step: Step) -> Iterator[str]:
        if isinstance(step.operation, Purge):
            self._streak[step.queue] = 0
        if step.before is None or step.after is None:
            return
        was, now = step.before.breaker, step.after.breaker
        failures, successes = self._count(step, was)
        if was is now or not self._is_sure:
            return
        by_hand = _is_command(step, Command.OPEN_BREAKER)
        limit, streak = step.before.settings.breaker_failures, self._streak[step.queue]
        match was.state, now.state:
            case BreakerState.CLOSED, BreakerState.OPEN:
                if not by_hand and (not limit or streak < limit):
                    yield f"opened after {streak} consecutive failures, not {limit}"
            case BreakerState.OPEN, BreakerState.HALF_OPEN:
                yield from self._judged(step, was)
            case BreakerState.HALF_OPEN, BreakerState.CLOSED:
                if not successes and not _is_command(step, Command.RESET_BREAKER):
                    yield "closed without a success"
            case BreakerState.HALF_OPEN, BreakerState.OPEN:
                if not failures and not by_hand:
                    yield "opened again without a failure"
            case BreakerState.OPEN, BreakerState.CLOSED:
                if not _is_command(step, Command.RESET_BREAKER):
                    yield "closed while it was open"
        stayed = was.state is CLOSED and was.epoch == now.epoch
        if stayed and failures and not successes and 0 < limit <= streak:
            yield f"still closed after {streak} consecutive failures; the limit is {limit}"
        if was.epoch != now.epoch:
            self._streak[step.queue] = 0

    def _judged(self, step: Step, was: Breaker) -> Iterator[str]:
        assert step.before is not None
        due = was.opened_at + step.before.settings.breaker_reset_ms
        if step.now < due:
            yield f"admitted a probe {due - step.now} ms too early"

    def _count(self, step: Step, was: Breaker) -> tuple[int, int]:
        """Failures and successes of this step, as far as they count in the breaker's present epoch."""
        assert step.before is not None
        failures = successes = 0
        olds = {one.id: one.old for one in step.alterations if one.old is not None}
        for (task_id, _), (settlement, outcome) in step.settled.items():
            old = olds.get(task_id)
            if outcome.word is not Word.DONE or old is None or old.epoch < was.epoch:
                continue
            if 0 < step.before.settings.breaker_failures <= self._streak[step.queue]:
                break  # open by now: later outcomes are discarded
            if isinstance(settlement.event, Succeeded):
                successes += 1
                self._streak[step.queue] = 0
            elif isinstance(settlement.event, Failed) and _is_counted(settlement.event, old):
                failures += 1
                self._streak[step.queue] += 1
        if _is_command(step, Command.RECORD_FAILURE) and step.reply is Word.DONE:
            failures += 1
            self._streak[step.queue] += 1
        return failures, successes

    @override
    def forgot(self) -> None:
        self._is_sure = False  # what was counted may be gone


def _is_counted(event: Failed, old: Task) -> bool:
    """A cancelled run's failure isn't one, nor is an answer such as `Retry`: neither adds to the row nor ends it."""
    return event.counts and not old.cancel_requested


def _is_command(step: Step, command: Command) -> bool:
    return isinstance(step.operation, Control) and step.operation.command is command


ORACLE = BreakerOracle
