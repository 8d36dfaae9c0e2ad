"""The walk over every moment that a bound can reach, with the shortest path to whatever is wrong."""

from __future__ import annotations

from collections import Counter

import attrs

from kew.domain.lifecycle import Row
from kew.domain.snapshot import Snapshot
from tests.support.exhaustive.bounds import T0, Bound
from tests.support.exhaustive.canonical import Key, key_of, queue_of
from tests.support.exhaustive.moves import Move, World
from tests.support.exhaustive.oracles import Violation


@attrs.define
class Found:
    """What a search went through."""

    states: int = 0
    ends: int = 0
    steps: Counter[str] = attrs.field(factory=Counter)
    rows: set[Row] = attrs.field(factory=set)

    def __str__(self) -> str:
        steps = ", ".join(f"{count:,} {name}" for name, count in self.steps.most_common())
        return f"{self.states:,} states ({self.ends:,} ends), {self.steps.total():,} steps: {steps}"


class Search:
    """All moments from the bound's start on, breadth first, so that the first path to a fault is a shortest."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound
        self._keys: list[Key] = []
        self._numbers: dict[Key, int] = {}
        self._came: list[tuple[int, Move]] = []
        self._calm: list[int] = []
        self.found = Found()

    def run(self) -> Found:
        """Walk it all; `Violation` tells the path to a fault."""
        self._number(self._bound.start(), T0, (0, ("start",)))
        for number, key in enumerate(self._keys):  # grows while it is walked
            self._visit(number, World(self._bound, queue_of(key), T0, self.found.rows))
            self._keys[number] = ()  # its number is enough from here on
        self.found.states = len(self._keys)
        self._check_liveness()
        return self.found

    def _number(self, queue: Snapshot, now: int, came: tuple[int, Move]) -> int:
        key = key_of(queue, now, keeps_ends="replay" in self._bound.may)
        number = self._numbers.setdefault(key, len(self._keys))
        if number == len(self._keys):
            self._keys.append(key)
            self._came.append(came)
        return number

    def _visit(self, number: int, world: World) -> None:
        move: Move = ("a stray message",)
        best, calm = 0, number
        try:
            world.check_strays()
            for move in world.moves():
                after = world.do(move)
                self.found.steps[move[0]] += 1
                reached = self._number(after.queue, after.now, (number, move))
                rank = _calmness(world.queue, move, after.queue)
                if rank > best:
                    best, calm = rank, reached
        except AssertionError as fault:
            raise self._told(str(fault), number, move) from fault
        ended = all(task.is_terminal for task in world.queue.tasks.values())
        self.found.ends += ended
        self._calm.append(-1 if ended else calm)

    def _check_liveness(self) -> None:
        """From every moment the calm moves, none of them a fault, bring all tasks to an end."""
        fine = bytearray(len(self._calm))
        for start in range(len(self._calm)):
            path, at = [], start
            while self._calm[at] >= 0 and not fine[at]:
                path.append(at)
                fine[at] = 1
                at = self._calm[at]
                if at in path[-40:]:
                    raise self._told("calm, and yet a task never ends", at, ("calm",))

    def _told(self, fault: str, number: int, last: Move) -> Violation:
        moves = [last]
        while number:
            number, move = self._came[number]
            moves.append(move)
        path = tuple(reversed(moves))
        told = Violation(f"{fault}\nafter: " + "; ".join(" ".join(move) for move in path))
        told.path = path
        return told


def _calmness(before: Snapshot, move: Move, after: Snapshot) -> int:
    """What workers do once nothing fails; the highest is done first. The leases of dead ones must run out."""
    match move:
        case ("pause",) if before.state.paused:
            return 6
        case ("recover",):
            return 5
        case ("settle", task_id, "succeed") if not before.tasks[task_id].lease.startswith("z"):
            return 4
        case ("claim", *_) if after.held() > before.held():
            return 3
        case ("pass",):
            return 1
        case _:
            return 0
