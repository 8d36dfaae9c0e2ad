"""Unique keys: never two tasks that hold one, and none that is held by a task that has gone."""

from __future__ import annotations

from collections.abc import Iterator

from kew.app.ports import Submit
from kew.compat import override
from kew.domain.requests import GroupOutcome, Word
from kew.domain.task import Task, TaskStatus, has_expired
from kew.domain.unique import FINISHED, LATEST, STARTED, unique_key
from kew.simulation.facts import Facts
from kew.simulation.oracle import Alteration, Oracle, Step

OVER = frozenset({TaskStatus.FAILED, TaskStatus.CANCELLED})


class Unique(Oracle):
    """It looks at the records of all tasks of a key, where the rules follow one entry."""

    name = "unique"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._latest = 0  # that the store's clock has said

    @override
    def judge(self, step: Step) -> Iterator[str]:
        is_steady, self._latest = step.now >= self._latest, max(step.now, self._latest)
        for one in step.alterations:
            if one.new is None or not one.new.call.unique:
                continue
            was_over = one.is_created or (one.old is not None and one.old.is_terminal)
            of_latest = one.new.call.unique.startswith(LATEST)
            if (was_over or of_latest) and one.new.is_waiting and is_steady:
                yield from self._alone(step, one.new)
            if of_latest and one.new.lease:
                yield from self._runs_alone(one.new)
            if not one.is_created:
                yield from _postponed(one)
        if isinstance(step.operation, Submit) and step.after is not None:
            changed = {one.id: one for one in step.alterations}
            for outcome in step.reply.outcomes:
                yield from self._met(step, outcome, changed)

    def _alone(self, step: Step, task: Task) -> Iterator[str]:
        """Nothing else holds the key of a task that waits from now on."""
        key = unique_key(task.call.unique)
        if not _holds(task, step.now):
            return
        for other in self.facts.records.values():
            if other.id == task.id or other.queue != task.queue or not other.call.unique:
                continue
            if unique_key(other.call.unique).key != key.key or not _holds(other, step.now):
                continue
            if other.ticket < task.ticket or not key.until.isdigit():
                yield f"{task.id} and {other.id} hold the unique key {key.key!r}"

    def _runs_alone(self, task: Task) -> Iterator[str]:
        """No other task of a `Latest` runs."""
        for other in self.facts.records.values():
            is_like = other.queue == task.queue and other.call.unique == task.call.unique
            if is_like and other.lease and other.id != task.id:
                yield f"{task.id} and {other.id} run, both of {task.call.unique!r}"

    def _met(
        self, step: Step, outcome: GroupOutcome, changed: dict[str, Alteration]
    ) -> Iterator[str]:
        """What a call met did hold its key."""
        met = [existing for _, existing in outcome.met]
        if outcome.word is Word.HELD:
            met.append(outcome.task_id)
        ended = {
            task_id
            for (task_id, _), (_, settled) in step.settled.items()
            if settled.word is Word.DONE
        }
        for task_id in met:
            one = changed.get(task_id)
            known = [self.facts.records.get(task_id)]
            if one is not None and task_id not in ended:  # a claim may have come after the submit
                known.append(one.old)
            if one is not None and (one.is_created or (task_id in ended and _waited(one.new))):
                continue
            if not any(task is not None and _holds(task, step.now) for task in known):
                yield f"a call met {task_id}, which doesn't hold its unique key"


def _waited(task: Task | None) -> bool:
    """Of a `Latest`, and it waits once its run was settled, or did until the claim that came along."""
    is_of_latest = task is not None and task.call.unique.startswith(LATEST)
    return task is not None and is_of_latest and not task.is_terminal


def _holds(task: Task, now: int) -> bool:
    until = unique_key(task.call.unique).until if task.call.unique else ""
    if not until or 0 < task.expires_at <= now or has_expired(task, now):
        return False
    if until == STARTED:
        return task.is_waiting and task.attempt == 0
    if until == LATEST:
        return task.is_waiting
    if until == FINISHED:
        return not task.ended_at
    return task.status not in OVER and now < task.queued_at + int(until)


def _postponed(one: Alteration) -> Iterator[str]:
    old, new = one.old, one.new
    if old is None or new is None or not (old.is_waiting and new.is_waiting):
        return
    at_most_ms = unique_key(new.call.unique).at_most_ms
    has_moved = new.ready_at > old.ready_at and new.attempt == old.attempt == 0
    if at_most_ms and has_moved and new.ready_at > new.queued_at + at_most_ms:
        yield f"{new.id} was postponed until {new.ready_at - new.queued_at} ms after its submit"


ORACLE = Unique
