"""A closure's task fails only once the one process that could run it has gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kew.app.ports import Announce, Depart, Purge, Sweep
from kew.compat import override
from kew.domain.requests import Word
from kew.domain.task import TaskStatus
from kew.simulation.facts import Facts
from kew.simulation.oracle import Oracle, Step

AWAY_S: Final = 50.0  # real seconds without a renewal that a process may be judged by: its presence, less small jumps


class Orphans(Oracle):
    """What maintenance gives up. A jump of the store's clock ends the presence of the living, not their closures."""

    name = "orphans"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._renewed_at: dict[tuple[str, str], float] = {}  # by queue and process

    @override
    def judge(self, step: Step) -> Iterator[str]:
        match step.operation:
            case Announce(queue, incarnation) if step.reply.word is Word.DONE:
                self._renewed_at[queue, incarnation] = step.at
            case Depart(queue, incarnation):
                self._renewed_at.pop((queue, incarnation), None)
            case Purge(queue):
                for key in [key for key in self._renewed_at if key[0] == queue]:
                    del self._renewed_at[key]
            case Sweep():
                yield from self._swept(step)

    def _swept(self, step: Step) -> Iterator[str]:
        for one in step.alterations:
            old, new = one.old, one.new
            if old is None or new is None or not old.is_waiting:
                continue
            if new.status is TaskStatus.FAILED:
                left = step.presence.get(new.call.pinned_to, 0) - step.now
                if not new.call.pinned_to or left > 0:
                    yield f"{new.id} failed as orphaned, but its process is present for another {left} ms"
                away_s = step.at - self._renewed_at.get((step.queue, new.call.pinned_to), -AWAY_S)
                if away_s < AWAY_S:
                    yield f"{new.id} failed as orphaned, but its process announced itself {away_s:.0f} s ago"

    @override
    def forgot(self) -> None:
        self._renewed_at.clear()


ORACLE = Orphans
