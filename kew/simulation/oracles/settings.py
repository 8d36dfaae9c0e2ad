"""The settings in force apply soon: a process learns of others from a claim's answer, and looks them up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kew.app.ports import Declare, ReadSettings
from kew.compat import override
from kew.simulation.facts import Facts
from kew.simulation.faults import Fault
from kew.simulation.oracle import Oracle, Step

SOON: Final = 1.0  # seconds
HARMLESS: Final = frozenset({Fault.DEAF, Fault.UNSTARTABLE})


class Settings(Oracle):
    """Judged in runs without faults that keep a process from looking.

    What a process knows is what the store last answered to its `declare` or `settings`.
    """

    name = "settings"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._known: dict[tuple[str, str], str] = {}
        self._outdated: dict[tuple[str, str], float] = {}  # since when

    @override
    def judge(self, step: Step) -> Iterator[str]:
        if not self.facts.plan.faults <= HARMLESS:
            return
        who = step.queue, step.caller
        match step.operation:
            case Declare() | ReadSettings() if step.reply is not None:
                self._known[who] = step.reply.edition
                self._outdated.pop(who, None)
            case _ if step.grant is not None and step.is_fresh_claim:
                yield from self._claimed(who, step.grant.edition, step.at)

    def _claimed(self, who: tuple[str, str], edition: str, at: float) -> Iterator[str]:
        if self._known.get(who) == edition:
            self._outdated.pop(who, None)
        elif at > self._outdated.setdefault(who, at) + SOON:
            yield f"{who[1]} has known for {SOON:g} s that other settings are in force, and has not looked"


ORACLE = Settings
