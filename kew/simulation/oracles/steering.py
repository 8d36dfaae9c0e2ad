"""What operators ask holds until they undo it: a draining queue accepts nothing, and an override stays in force."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from kew.app.ports import CancelAll, Command, Control, Empty, Purge, SetOverrides
from kew.compat import override
from kew.domain.explaining import Code
from kew.domain.requests import Word
from kew.domain.task import TaskStatus
from kew.domain.view import QueueState
from kew.simulation.facts import Facts
from kew.simulation.oracle import Oracle, Step


class Steering(Oracle):
    """It remembers itself what was asked, and compares that with the queue after each operation."""

    name = "steering"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._known: set[str] = set()  # queues whose state was seen before
        self._draining: set[str] = set()
        self._overrides: dict[str, dict[str, Any]] = defaultdict(dict)

    @override
    def judge(self, step: Step) -> Iterator[str]:
        if step.after is None or isinstance(step.operation, Purge):
            self._forget(step.queue)
            return
        if step.before is None or step.queue not in self._known:
            self._learn(step.queue, step.after)
            return
        yield from self._accepted(step)
        self._note(step)
        if step.after is not step.before or isinstance(step.operation, Control | SetOverrides):
            yield from self._in_force(step)
        yield from self._emptied(step)
        yield from self._purged(step)

    def _learn(self, queue: str, state: QueueState) -> None:
        """It was declared again, or the store lost the last requests: its present state is right."""
        self._known.add(queue)
        if state.settings.max_size == 0:
            self._draining.add(queue)
        names = state.declared.keys() - {"max_size"}
        self._overrides[queue] = {name: getattr(state.settings, name) for name in names}

    def _forget(self, queue: str) -> None:
        self._known.discard(queue)
        self._draining.discard(queue)
        self._overrides.pop(queue, None)

    def _note(self, step: Step) -> None:
        match step.operation:
            case Control(command=Command.DRAIN) if step.reply is Word.DONE:
                self._draining.add(step.queue)
            case Control(command=Command.RESUME) if step.reply is Word.DONE:
                self._draining.discard(step.queue)
            case SetOverrides() as asked if step.reply in (Word.DONE, Word.SAME):
                known = self._overrides[step.queue]
                for name in asked.removed:
                    known.pop(name, None)
                known.update(asked.values)

    def _accepted(self, step: Step) -> Iterator[str]:
        if step.queue not in self._draining:
            return
        for one in step.alterations:
            if one.is_created:
                yield f"{one.id} was accepted while its queue is draining"
            elif one.old is not None and one.new is not None and one.new.replays > one.old.replays:
                yield f"{one.id} was replayed while its queue is draining"

    def _in_force(self, step: Step) -> Iterator[str]:
        assert step.after is not None
        settings, known = step.after.settings, self._overrides[step.queue]
        if (settings.max_size == 0) != (step.queue in self._draining):
            yield f"{step.queue} has a max_size of {settings.max_size} after {step.operation.name}"
        for name, value in known.items():
            if getattr(settings, name) != value:
                yield f"{name} is {getattr(settings, name)}, but was overridden with {value}"
        more = step.after.declared.keys() - known.keys() - {"max_size"}
        if more:
            yield f"{sorted(more)} are overridden, which no operator asked for"

    def _purged(self, step: Step) -> Iterator[str]:
        if not isinstance(step.operation, CancelAll):
            return
        for one in step.alterations:
            if one.old is None or not one.old.is_waiting or one.new is None or one.new.lease:
                yield f"purging {step.queue} did something to {one.id}, which didn't wait"

    def _emptied(self, step: Step) -> Iterator[str]:
        if not isinstance(step.operation, Empty):
            return
        upto = step.operation.upto
        for one in step.alterations:
            if one.old is None or one.new is None or one.new.status is not TaskStatus.CANCELLED:
                yield f"emptying {step.queue} did something else to {one.id}"
            elif not one.old.is_waiting or one.old.ticket > upto:
                yield f"emptying {step.queue} cancelled {one.id}, which ran or came later"
        left = [task.id for task in step.waiting.values() if task.ticket <= upto]
        is_whole = not step.operation.skip and step.operation.scan < 0
        if left and is_whole and not step.reply.more:
            yield f"{left} wait in {step.queue} after it was emptied"

    @override
    def forgot(self) -> None:
        self._known.clear()
        self._draining.clear()
        self._overrides.clear()


ORACLE = Steering
HOLDS = {Code.PAUSED: lambda state, _: state.paused}
