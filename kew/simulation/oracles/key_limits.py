"""A key's own limits hold from the moment they are set until they are removed or end, and not longer."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from kew.app.ports import LimitKey
from kew.compat import override
from kew.domain.key_limits import DECLARED, OwnLimits, limits_of
from kew.domain.requests import Word
from kew.simulation.facts import Facts
from kew.simulation.oracle import Oracle, Step


class KeyLimits(Oracle):
    """It remembers itself what was asked, and compares that with the queue after each operation."""

    name = "key limits"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._asked: dict[str, dict[str, OwnLimits]] = {}  # by queue and key
        self._latest: dict[str, int] = {}

    @override
    def judge(self, step: Step) -> Iterator[str]:
        if step.after is None or step.indexed is None or step.before is None:
            self._asked.pop(step.queue, None)
            return
        if step.queue not in self._asked:  # what it has now is right
            self._asked[step.queue] = dict(step.indexed.key_limits)
        known, now = self._asked[step.queue], step.now
        self._note(known, step)
        has_stepped_back = now < self._latest.get(step.queue, 0)
        self._latest[step.queue] = now
        if has_stepped_back:  # limits that had ended may be in force again, or forgotten
            known.update(step.indexed.key_limits)
        for key in [key for key, own in known.items() if 0 < own.ends_at <= now]:
            del known[key]
        yield from self._compared(known, step)

    @override
    def forgot(self) -> None:
        self._asked.clear()
        self._latest.clear()

    def _note(self, known: dict[str, OwnLimits], step: Step) -> None:
        operation = step.operation
        if not isinstance(operation, LimitKey) or step.reply not in (Word.DONE, Word.SAME):
            return
        if operation.own is None:
            known.pop(operation.key, None)
        else:
            end = step.now + operation.lasts_ms if operation.lasts_ms else 0
            known[operation.key] = attrs.evolve(operation.own, ends_at=end)

    def _compared(self, known: dict[str, OwnLimits], step: Step) -> Iterator[str]:
        assert step.indexed is not None
        in_force = step.indexed.key_limits
        for key in known.keys() | in_force.keys():
            asked, found = known.get(key, DECLARED), limits_of(in_force, key, step.now)
            if asked != found:
                yield f"the key {key!r} of {step.queue} has {found}, but was given {asked}"


ORACLE = KeyLimits
