"""A task goes where its run went: COMPLETED only if its code finished, RETRY or FAILED only if it did not."""

from __future__ import annotations

from collections.abc import Iterator

from kew.adapters.codecs import MessagePackCodec
from kew.app.ports import Settle, Submit
from kew.compat import override
from kew.domain.events import Failed, NotStarted, Released, Succeeded
from kew.domain.outcomes import outcome_word
from kew.domain.requests import Settlement, SettleOutcome, Word
from kew.domain.task import Task, TaskStatus
from kew.simulation.facts import Attempt, Facts
from kew.simulation.oracle import Alteration, Oracle, Step

CODEC = MessagePackCodec()
RELEASED = "released it after its task had ended"
LEGAL_AFTER_CANCEL = {TaskStatus.PROCESSING, TaskStatus.CANCELLED, TaskStatus.COMPLETED}


class Outcomes(Oracle):
    """Settlements, and what became of the tasks."""

    name = "outcomes"
    judges = (Settle, Submit)

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._last: dict[str, tuple[str, str, int]] = {}

    @override
    def judge(self, step: Step) -> Iterator[str]:
        for one in step.alterations:
            yield from self._moved(step, one)
        if step.settled:
            before = {one.id: one.old for one in step.alterations if one.old is not None}
            for settlement, outcome in step.settled.values():
                old = before.get(settlement.task_id) or step.leased.get(settlement.task_id)
                yield from self._answered(step, settlement, outcome, old)

    def _moved(self, step: Step, one: Alteration) -> Iterator[str]:
        old, new = one.old, one.new
        if new is None or old is None or one.is_created:
            return
        settled = step.settled.get((old.id, old.lease)) if old.lease else None
        if new.status is TaskStatus.COMPLETED and old.status is not TaskStatus.COMPLETED:
            yield from self._completed(old, new, settled)
        if old.lease and old.cancel_requested and new.status not in LEGAL_AFTER_CANCEL:
            yield f"{old.id} was to be cancelled, but is {new.status.value}"
        if one.ended_lease and settled is not None and not one.is_granted:
            yield from self._failed(step, one, settled[0])

    def _completed(
        self, old: Task, new: Task, settled: tuple[Settlement, SettleOutcome] | None
    ) -> Iterator[str]:
        if settled is None or not isinstance(settled[0].event, Succeeded):
            yield f"{new.id} completed without a report of success"
            return
        attempt = self.facts.attempts.get((old.id, old.token))
        if attempt is None or not attempt.has_finished:
            yield f"{new.id} completed, but its code never finished"
        elif CODEC.decode_result(new.result) != attempt.value:
            yield f"{new.id} has another result than its code returned"

    def _failed(self, step: Step, one: Alteration, settlement: Settlement) -> Iterator[str]:
        old, new, event = one.old, one.new, settlement.event
        assert old is not None
        assert new is not None
        if (
            isinstance(event, Released | NotStarted)
            and new.is_waiting
            and new.ready_at != old.ready_at
        ):
            yield f"{old.id} was released, and its due time moved by {new.ready_at - old.ready_at:+} ms"
        if not isinstance(event, Failed):
            return
        attempt = self.facts.attempts.get((old.id, old.token))
        is_released = RELEASED in event.error
        if is_released and not old.replays and not self.facts.has_forgotten:
            yield f"{old.id} failed as a released closure, but the store has lost nothing"
        if _went_well(attempt) and not is_released:  # a store that lost a token gives it again
            yield f"{old.id} was reported as failed, but its code finished"
        is_late = new.ready_at != step.now + (event.retry_after_ms or 0)
        if new.status is TaskStatus.RETRY and is_late:
            yield f"{old.id} runs again in {new.ready_at - step.now} ms, not {event.retry_after_ms}"
        asked = self.facts.asked.get(old.id)
        if new.status is not TaskStatus.CANCELLED and asked and asked.max_retries is not None:
            yield from self._retried(old, new, asked.max_retries)

    def _retried(self, old: Task, new: Task, most: int) -> Iterator[str]:
        if old.failures < most and new.status is TaskStatus.FAILED:
            yield f"{old.id} failed for good after {old.failures} of {most} retries"
        if old.failures >= most and new.status is TaskStatus.RETRY:
            yield f"{old.id} is retried after {old.failures} of {most} retries"

    def _answered(
        self, step: Step, settlement: Settlement, outcome: SettleOutcome, old: Task | None
    ) -> Iterator[str]:
        """DONE if the lease was current, SAME if it was the last that was settled so, else STALE."""
        word, key = outcome_word(settlement.event), settlement.task_id
        is_held = old is not None and old.lease == settlement.lease
        if is_held != (outcome.word is Word.DONE):
            yield f"{key}: settling {settlement.lease} was answered {outcome.word}"
        now = step.indexed.find(key) if step.indexed else None
        was_last = self._last.get(key) == (settlement.lease, word, now.ticket if now else 0)
        if not is_held and now is not None and was_last != (outcome.word is Word.SAME):
            is_absent = 0 < now.expires_at <= step.now
            if not is_absent and not self.facts.has_forgotten:
                yield f"{key}: settling {settlement.lease} again was answered {outcome.word}"
        if is_held and now is not None:
            self._last[key] = (settlement.lease, word, now.ticket)


def _went_well(attempt: Attempt | None) -> bool:
    return attempt is not None and attempt.has_finished and not attempt.is_stubborn


ORACLE = Outcomes
