"""Accepted is kept: a record begins with a submit, whole groups at a time, and goes only after its time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kew.adapters.simulation.facts import Facts
from kew.adapters.simulation.oracle import Alteration, Oracle, Step
from kew.compat import override
from kew.domain.requests import Word
from kew.domain.task import Submission, Task


class Keeping(Oracle):
    """Where records come from, and where they go."""

    name = "keeping"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._nonces: set[str] = set()

    @override
    def judge(self, step: Step) -> Iterator[str]:
        created = {one.id: one for one in step.alterations if one.is_created}
        for one in step.alterations:
            if one.is_removed:
                yield from self._removed(step, one)
        if step.operation == "purge":
            self._nonces.clear()  # a submit that is repeated now stores its task again
            self.facts.forgotten_at = step.at
            for asked in self.facts.asked.values():
                asked.is_refused = (
                    False  # what was in its way is gone, and a late sending finds room
                )
        elif step.operation == "submit":
            yield from self._submitted(step, created)
        elif created:
            yield f"{sorted(created)} came from nowhere"

    def _removed(self, step: Step, one: Alteration) -> Iterator[str]:
        old = one.old
        assert old is not None
        if step.operation == "purge":
            self.facts.gone.add(old.id)
        elif not old.is_terminal:
            yield f"{old.id} vanished while {old.status.value}"
        elif old.expires_at > step.now:
            yield f"{old.id} was removed {old.expires_at - step.now} ms before its time"
        else:
            self.facts.gone.add(old.id)

    def _submitted(self, step: Step, created: Mapping[str, Alteration]) -> Iterator[str]:
        unexplained = set(created)
        for group, outcome in zip(step.args[1], step.reply.outcomes, strict=True):
            ids = {call.id for call in group.submissions}
            mine = {call.id for call in group.submissions if _is_of(created.get(call.id), call)}
            unexplained -= mine
            if mine and outcome.word is not Word.DONE:
                yield f"{sorted(mine)} stored although the answer was {outcome.word}"
            if outcome.word is Word.DONE and mine != ids:
                yield f"{sorted(ids - mine)} not stored although the answer was done"
            if mine:
                yield from self._stored(step, group.submissions, created)
        if unexplained:
            yield f"{sorted(unexplained)} stored by nobody"
        if created and step.before is not None:
            waiting = _waiting_before(step) + len(created)
            if waiting > step.before.settings.max_size:
                yield f"{waiting} tasks wait, beyond max_size {step.before.settings.max_size}"

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
                yield f"{call.id} stored although its submitter was told that it surely was not"
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
                yield f"{asked.id} was accepted, and there is no record of it"


def _is_of(one: Alteration | None, call: Submission) -> bool:
    return one is not None and one.new is not None and one.new.call.nonce == call.nonce


def _waiting_before(step: Step) -> int:
    now = sum(one.new is not None and one.new.is_waiting for one in step.alterations)
    before = sum(one.old is not None and one.old.is_waiting for one in step.alterations)
    return len(step.waiting) - now + before


ORACLE = Keeping
