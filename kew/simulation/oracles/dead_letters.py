"""What failed is kept: each attempt until its task completes, and each dead letter in the group of its last attempt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

import attrs

from kew.app.ports import FailureGroups, ListFailed, ListGroups, ReadAttempts
from kew.compat import override
from kew.domain.attempts import MOST_ATTEMPTS, HowFailed
from kew.domain.events import Failed, NotStarted, Released
from kew.domain.requests import Word
from kew.domain.task import Task, TaskStatus
from kew.simulation.facts import Facts
from kew.simulation.oracle import Alteration, Oracle, Step

Key = tuple[str, int]  # a task's id and ticket
ENDED_WELL: Final = (TaskStatus.COMPLETED, TaskStatus.CANCELLED)


@attrs.frozen
class Failure:
    """A failed attempt, as the oracle saw it."""

    number: int
    how: HowFailed
    group: str


class DeadLetters(Oracle):
    """Counts failures by what changed, and compares what the store answers with that."""

    name = "dead letters"
    judges = (ListFailed, ListGroups, ReadAttempts)

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._failures: dict[Key, list[Failure]] = {}  # of tasks whose submit was seen

    @override
    def judge(self, step: Step) -> Iterator[str]:
        for one in step.alterations:
            self._note(step, one)
        match step.operation:
            case ListGroups(after=after) if step.reply is not None:
                yield from self._groups(step, step.reply, after)
            case ListFailed(group=group) if step.reply is not None:
                for task, last in zip(step.reply.tasks, step.reply.attempts, strict=True):
                    yield from self._listed(task, last and last.group, group)
            case ReadAttempts(refs=refs):
                for ref, found in zip(refs, step.reply, strict=True):
                    told = [Failure(each.number, each.how, each.group) for each in found]
                    yield from self._attempts((ref.task_id, ref.life.ticket), told)

    def _note(self, step: Step, one: Alteration) -> None:
        old, new = one.old, one.new
        if one.is_removed and old is not None:
            self._failures.pop((old.id, old.ticket), None)
        if new is None:
            return
        key = (new.id, new.ticket)
        if one.is_created:
            self._failures[key] = []
        if key not in self._failures:
            return
        failure = None if one.is_created or old is None else _failure(step, one, old, new)
        if failure is not None:
            self._failures[key].append(failure)
        if new.status in ENDED_WELL:
            self._failures[key].clear()

    def _groups(self, step: Step, page: FailureGroups, after: str) -> Iterator[str]:
        expected = self._expected(step)
        if expected is None:
            return
        counts = {group.name: group.count for group in page.groups}
        last = page.after or max(expected, default="", key=str.encode)
        within = {
            name: count
            for name, count in expected.items()
            if after.encode() < name.encode() <= last.encode()
        }
        if counts != within:
            yield f"the groups are counted as {counts}, there are {within}"

    def _expected(self, step: Step) -> Counter[str] | None:
        """How many dead letters each group has; None: not all of them are known."""
        found: Counter[str] = Counter()
        for task in self.facts.records.values():
            is_dead = task.status is TaskStatus.FAILED and task.expires_at > step.now
            if is_dead and task.queue == step.queue:
                failures = self._failures.get((task.id, task.ticket))
                if not failures:
                    return None
                found[failures[-1].group] += 1
        return found

    def _listed(self, task: Task, told: str | None, wanted: str | None) -> Iterator[str]:
        failures = self._failures.get((task.id, task.ticket))
        if failures and failures[-1].group != told:
            yield f"{task.id} is listed in the group {told}, but failed as {failures[-1].group}"
        if wanted not in (None, told):
            yield f"{task.id} is of {told}, and is listed in {wanted}"

    def _attempts(self, key: Key, told: list[Failure]) -> Iterator[str]:
        failures = self._failures.get(key)
        if failures is not None and told != failures[-MOST_ATTEMPTS:]:
            yield f"{key[0]} has the failed attempts {told}, there were {failures}"

    @override
    def forgot(self) -> None:
        self._failures.clear()


def _failure(step: Step, one: Alteration, old: Task, new: Task) -> Failure | None:
    """The attempt that failed in this step; None: none did."""
    if not one.ended_lease:
        is_orphan = old.is_waiting and new.status is TaskStatus.FAILED
        return Failure(old.attempt, HowFailed.ORPHANED, "orphaned") if is_orphan else None
    settlement, outcome = step.settled.get((old.id, one.ended_lease), (None, None))
    if settlement is None or outcome is None or outcome.word is not Word.DONE:
        return Failure(old.attempt, HowFailed.LOST, "lost")
    match settlement.event:
        case Failed(report=report):
            group = report.group if report and report.group else "failed"
            return Failure(old.attempt, HowFailed.FAILED, group)
        case NotStarted():
            return Failure(old.attempt, HowFailed.NOT_STARTED, "not-started")
        case Released() if new.status is TaskStatus.FAILED:
            return Failure(old.attempt, HowFailed.INTERRUPTED, "interrupted")
        case _:
            return None


ORACLE = DeadLetters
