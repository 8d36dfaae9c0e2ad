"""A snoozed task comes back when it asked, without a failure and not too often; a snoozed queue starts nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from kew.app.ports import Command, Control, Purge
from kew.compat import override
from kew.domain.events import Snoozed
from kew.domain.explaining import Code
from kew.domain.keys import key_of
from kew.domain.requests import Word
from kew.domain.task import Task, TaskStatus
from kew.domain.view import QueueState
from kew.simulation.facts import Facts
from kew.simulation.oracle import Alteration, Oracle, Step


class Snoozing(Oracle):
    """It keeps the instants of tasks and of queues itself, from what was settled."""

    name = "snoozing"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._due: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._most: dict[str, int] = defaultdict(int)
        self._until: dict[str, tuple[int, int]] = {}  # and for how long
        self._keys: dict[tuple[str, str], tuple[int, int]] = {}  # the same of keys
        self._latest = 0
        self._has_stepped_back = False

    @override
    def judge(self, step: Step) -> Iterator[str]:
        if step.now < self._latest:
            self._stepped_back(step.now)
        self._latest = step.now
        if step.after is None or isinstance(step.operation, Purge):
            self._until.pop(step.queue, None)
            for place in [place for place in self._keys if place[0] == step.queue]:
                del self._keys[place]
            return
        self._most[step.queue] = max(self._most[step.queue], step.after.settings.max_snoozes)
        for one in step.alterations:
            yield from self._altered(step, one)
        yield from self._held(step)
        yield from self._held_keys(step)

    def _stepped_back(self, now: int) -> None:
        self._has_stepped_back = True
        self._until = {
            queue: (min(until_at, now + length), length)
            for queue, (until_at, length) in self._until.items()
            if until_at > self._latest
        }
        self._keys = {
            place: (until_at, length)
            for place, (until_at, length) in self._keys.items()
            if until_at > self._latest
        }

    def _key_until(self, place: tuple[str, str], now: int) -> int:
        """When the snooze of a key ends; 0: it has none, or one that a step back of the clock prolonged."""
        until_at, length = self._keys.get(place, (0, 0))
        return until_at if now < until_at <= now + length else 0

    def _held_keys(self, step: Step) -> Iterator[str]:
        for one in step.alterations:
            key = key_of(one.new.call) if one.is_granted and one.new is not None else ""
            until_at = self._key_until((step.queue, key), step.now) if key else 0
            if until_at:
                yield f"{one.id} started {until_at - step.now} ms before the end of its key's snooze"

    def _altered(self, step: Step, one: Alteration) -> Iterator[str]:
        old, new = one.old, one.new
        if new is None or one.is_created:
            self._due.pop(one.id, None)
            self._counts.pop(one.id, None)
            return
        assert old is not None
        if new.replays != old.replays:
            self._counts[one.id] = 0
            self._due.pop(one.id, None)
        settled = step.settled.get((old.id, old.lease)) if old.lease else None
        before = self._counts.setdefault(one.id, old.snoozes if self.facts.has_forgotten else 0)
        if settled and isinstance(settled[0].event, Snoozed) and settled[1].word is Word.DONE:
            yield from self._snoozed(step, old, new, settled[0].event, before)
        if new.snoozes != self._counts[one.id]:
            yield f"{one.id} snoozed {self._counts[one.id]} times, and its record says {new.snoozes}"
        if one.is_granted and step.now < self._due.pop(one.id, 0):
            yield f"{one.id} was granted before the instant at which it asked to come back"

    def _snoozed(
        self, step: Step, old: Task, new: Task, event: Snoozed, before: int
    ) -> Iterator[str]:
        due = step.now + event.after_ms
        if event.scope == "queue":
            self._until[step.queue] = max(
                self._until.get(step.queue, (0, 0)), (due, event.after_ms)
            )
        place = (step.queue, key_of(old.call))
        if event.scope == "key" and place[1] and self._key_until(place, step.now) < due:
            self._keys[place] = (due, event.after_ms)
        if new.failures != old.failures or new.losses != old.losses:
            yield f"{old.id} snoozed, and it counts as a failure or a loss"
        if old.cancel_requested:
            return
        self._counts[old.id], self._due[old.id] = before + 1, due
        most = self._most[step.queue]
        if before >= most:
            yield f"{old.id} snoozed {before + 1} times; the limit is {most}"
        if (new.status is TaskStatus.QUEUED and new.ready_at != due) or new.is_terminal:
            yield f"{old.id} is {new.status} for {new.ready_at - step.now} ms, not {event.after_ms}"

    def _held(self, step: Step) -> Iterator[str]:
        """What the queue's snooze forbids, and that it lasts no longer than was asked."""
        assert step.after is not None
        if _is_resumed(step):
            self._until.pop(step.queue, None)
        until_at, _ = self._until.get(step.queue, (0, 0))
        granted = [one.id for one in step.alterations if one.is_granted]
        if granted and until_at > step.now:
            yield f"{granted} started {until_at - step.now} ms before the end of the queue's snooze"
        kept, _ = step.after.gates.get("snoozed", (0, 0))
        is_sure = not self._has_stepped_back and not self.facts.has_forgotten
        if is_sure and kept > max(step.now, until_at):
            yield f"the queue is snoozed for {kept - step.now} ms, which no task asked for"

    @override
    def forgot(self) -> None:
        self._due.clear()
        self._until.clear()
        self._keys.clear()
        self._counts.clear()


def _is_resumed(step: Step) -> bool:
    operation = step.operation
    is_resume = isinstance(operation, Control) and operation.command is Command.RESUME
    return is_resume and step.reply is Word.DONE


def _is_held(state: QueueState, now: int) -> bool:
    until_at, _ = state.gates.get("snoozed", (0, 0))
    return until_at > now


ORACLE = Snoozing
HOLDS = {Code.QUEUE_SNOOZED: _is_held}
