"""Accepted is kept: a record begins with a submit, whole groups at a time, and goes only after its time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from kew.app.ports import Forget, Purge, Submit, Sweep, Tick
from kew.compat import override
from kew.domain.config import SHORTEST_TTL, to_ms
from kew.domain.requests import LifeRef, Word
from kew.domain.task import Submission, Task, TaskStatus
from kew.simulation.facts import Facts
from kew.simulation.faults import Fault
from kew.simulation.oracle import Alteration, Oracle, Step

LEAST_MS: Final = to_ms(SHORTEST_TTL)


class Keeping(Oracle):
    """Where records come from, and where they go."""

    name = "keeping"
    judges = (Submit,)

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._nonces: set[str] = set()

    @override
    def judge(self, step: Step) -> Iterator[str]:
        created = {one.id: one for one in step.alterations if one.is_created}
        for one in step.alterations:
            if one.is_removed:
                yield from self._removed(step, one)
        if isinstance(step.operation, Purge) and not step.alterations:
            return  # an empty queue, or none
        if isinstance(step.operation, Purge):
            self._nonces.clear()  # a submit that is repeated now stores its task again
            self.facts.forgotten_at = step.at
            for asked in self.facts.asked.values():
                asked.is_refused = (
                    False  # what was in its way is gone, and a late sending finds room
                )
        elif isinstance(step.operation, Submit):
            yield from self._submitted(step, step.operation, created)
        elif created and not isinstance(step.operation, Tick):
            yield f"{sorted(created)} were created without a submit"

    def _removed(self, step: Step, one: Alteration) -> Iterator[str]:
        old = one.old
        assert old is not None
        if isinstance(step.operation, Purge):
            self.facts.gone.add(old.id)
        elif not old.is_terminal:
            yield f"{old.id} disappeared while {old.status.value}"
        elif _is_purged(step, old):
            self.facts.gone.add(old.id)
            self._nonces.discard(old.call.nonce)  # a submit that is repeated now stores it again
        elif old.status is TaskStatus.FAILED and _is_surplus(step, old):
            self.facts.gone.add(old.id)
        elif old.expires_at > step.now:
            yield f"{old.id} was removed {old.expires_at - step.now} ms too early"
        else:
            self.facts.gone.add(old.id)
            self._allow_again(old)

    def _allow_again(self, old: Task) -> None:
        """A clock that leaps forward ends the time of a record within which its submit may be repeated."""
        if Fault.STORE_LEAP in self.facts.plan.faults:
            self._nonces.discard(old.call.nonce)
            self.facts.expired_by_leap.add(old.id)

    def _submitted(
        self, step: Step, submit: Submit, created: Mapping[str, Alteration]
    ) -> Iterator[str]:
        unexplained = set(created)
        for group, outcome in zip(submit.groups, step.reply.outcomes, strict=True):
            ids = {call.id for call in group.submissions}
            mine = {call.id for call in group.submissions if _is_of(created.get(call.id), call)}
            unexplained -= mine
            if mine and outcome.word is not Word.DONE:
                yield f"{sorted(mine)} were stored, but the answer was {outcome.word}"
            ids -= {own for own, _ in outcome.met}
            if outcome.word is Word.DONE and mine != ids:
                yield f"{sorted(ids ^ mine)} were not stored, but the answer was done"
            if mine:
                stored = [call for call in group.submissions if call.id in mine]
                yield from self._stored(step, stored, created)
        if unexplained:
            yield f"{sorted(unexplained)} were stored without a submit"
        if created and step.before is not None:
            waiting = _waiting_before(step) + len(created)
            if waiting > step.before.settings.max_size:
                yield f"{waiting} tasks wait, more than max_size {step.before.settings.max_size}"

    def _stored(
        self, step: Step, calls: Sequence[Submission], created: Mapping[str, Alteration]
    ) -> Iterator[str]:
        for call in calls:
            asked, task = self.facts.asked.get(call.id), created[call.id].new
            assert task is not None
            if call.nonce in self._nonces:
                yield f"{call.id} was stored a second time by one submit"
            self._nonces.add(call.nonce)
            if asked is None:
                yield f"{call.id} was never submitted"
                return
            if asked.is_refused:
                yield f"{call.id} was stored, but its submitter got an error that says it was not"
            due = asked.due_at if asked.due_at is not None else step.now + asked.delay_ms
            if task.ready_at != max(due, step.now) and not task.failures:
                yield f"{call.id} is due at {task.ready_at - step.now:+} ms, not {due - step.now:+}"

    @override
    def forgot(self) -> None:
        self._nonces.clear()

    @override
    def at_end(self, records: Mapping[str, Task]) -> Iterator[str]:
        for asked in self.facts.asked.values():
            if asked.is_accepted and asked.id not in records and asked.id not in self.facts.gone:
                yield f"{asked.id} was accepted, but has no record"


def _is_purged(step: Step, old: Task) -> bool:
    """A user purged or forgot this ended task."""
    is_asked_for = isinstance(step.operation, Forget)
    return is_asked_for and LifeRef(old.id, old.life) in step.operation.refs  # type: ignore[attr-defined]  # a Forget


def _is_surplus(step: Step, old: Task) -> bool:
    """One of more dead letters than the queue keeps."""
    if not isinstance(step.operation, Sweep) or step.before is None:
        return False
    return step.before.settings.max_dead_letters > 0 and old.queued_at + LEAST_MS <= step.now


def _is_of(one: Alteration | None, call: Submission) -> bool:
    return one is not None and one.new is not None and one.new.call.nonce == call.nonce


def _waiting_before(step: Step) -> int:
    now = sum(one.new is not None and one.new.is_waiting for one in step.alterations)
    before = sum(one.old is not None and one.old.is_waiting for one in step.alterations)
    return len(step.waiting) - now + before


ORACLE = Keeping
