"""What a queue's raw keys in Redis say of tasks with keys, and whether that is true of its records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from kew.domain.config import Settings
from kew.domain.key_limits import OwnLimits, rates_of, workers_of
from kew.domain.task import PINNED, Task


@attrs.frozen
class RawKeys:
    """`parts`: each part's value, by its name behind `keyed:`. `known`: the numbers of the counts' `keys=`."""

    parts: Mapping[str, Any]
    known: Sequence[int]

    @classmethod
    def read(cls, parts: Mapping[str, Any], counts: str) -> RawKeys:
        found = [word for word in counts.split() if word.startswith("keys=")]
        numbers = [int(each) for each in found[0].removeprefix("keys=").split(",")] if found else []
        return cls(parts, numbers)

    @property
    def waiting(self) -> Sequence[int]:
        """How many tasks are counted in lines, by priority."""
        return self.known[4:7] or (0, 0, 0)

    def places(self) -> Iterator[tuple[int, bytes, float]]:
        """Priority, member and score of each entry of a line."""
        for name, value in self.parts.items():
            if name.startswith("line"):
                for member, score in value:
                    yield int(name[4]), member, score

    def turns(self) -> dict[tuple[int, str], int]:
        """As the domain has them."""
        if not self.known:
            return {}
        turns = {(priority, ""): turn for priority, turn in enumerate(self.known[:4]) if turn}
        for name, text in self.parts.get("turns", {}).items():
            priority, _, key = name.decode().partition(" ")
            turns[int(priority), unescaped(key)] = int(text.split()[0])
        return turns

    def logs(self) -> dict[str, tuple[int, ...]]:
        """What the rates of keys remember."""
        found = self.parts.get("logs", {}).items()
        return {unescaped(key.decode()): tuple(map(int, text.split())) for key, text in found}

    def limits(self) -> dict[str, OwnLimits]:
        """The limits that keys have of their own."""
        found = self.parts.get("limits", {}).items()
        return {unescaped(key.decode()): read_own(text.decode()) for key, text in found}

    def faults(self, tasks: Sequence[Task], settings: Settings, clock: int) -> Iterator[str]:
        """`clock`: when the queue was written last; a key may have become due since."""
        if (
            not self.known
        ):  # an earlier version, which had no turns, may have stored tasks with keys
            return
        keyed = [task for task in tasks if key_of(task)]
        waiting = Counter((task.call.priority, key_of(task)) for task in keyed if task.is_waiting)
        counted = {
            (int(name.split(b" ")[0]), unescaped(name.decode().partition(" ")[2])): int(
                text.split()[1]
            )
            for name, text in self.parts.get("turns", {}).items()
        }
        if counted != waiting:
            yield f"waiting by key {dict(waiting)}, counted {counted}"
        leased = [task for task in keyed if task.lease]
        held = Counter(key_of(task) for task in leased)
        counted_held = {unescaped(key.decode()): int(n) for key, n in self.parts.get("held", [])}
        if counted_held != held:
            yield f"held by key {dict(held)}, counted {counted_held}"
        members = {member_of(task): key_of(task) for task in leased}
        holders = {
            member.decode(): unescaped(key.decode())
            for member, key in self.parts.get("holders", {}).items()
        }
        if holders != members:
            yield f"holders {members}, noted {holders}"
        logged = by_key(self.parts.get("logged", []))
        if logged.keys() != self.logs().keys():
            yield f"logs of {self.logs().keys()}, to be forgotten: {logged}"
        limits = self.limits()
        ends = {key: own.ends_at for key, own in limits.items() if own.ends_at}
        noted = by_key(self.parts.get("ends", []))
        more = self.known[7:] or (0, 0, 0)
        is_counted = more[1:] == [len(limits), min(ends.values(), default=0)]
        if (limits or noted) and not (ends == noted and is_counted):
            yield f"limits of keys {limits}, ends {noted}, counted {more}"
        yield from self._ring_faults(held, settings, clock)

    def _ring_faults(
        self, held: Mapping[str, int], settings: Settings, clock: int
    ) -> Iterator[str]:
        turns, limits = self.turns(), self.limits()
        firsts = by_key(self.parts.get("first", []))
        for priority in (1, 2, 3):
            heads = {
                unescaped(name.partition(":")[2]): min(score for _, score in value)
                for name, value in self.parts.items()
                if name.startswith(f"line{priority}:")
            }
            noted = {name[2:]: at for name, at in firsts.items() if name[0] == str(priority)}
            if noted != heads:
                yield f"first tasks {heads}, noted {noted}"
            ring = by_key(self.parts.get(f"ring{priority}", []))
            later = by_key(self.parts.get(f"later{priority}", []))
            paced = by_key(self.parts.get(f"paced{priority}", []))
            for key, head in heads.items():
                own = limits.get(key, OwnLimits())
                if 0 < own.ends_at <= clock:
                    continue  # the next claim looks at the key
                limit = workers_of(settings, own, key)
                is_full = 0 < limit <= held.get(key, 0)
                places = sum(key in each for each in (ring, later, paced))
                if is_full and places:
                    yield f"{key!r} is at its limit, and may start"
                if not is_full and places != 1:
                    yield f"{key!r} is in {places} of ring, later and paced"
                has_snoozed = self.logs().get(key, ())[:1] == (0,)
                if key in paced and not rates_of(settings, own) and not has_snoozed:
                    yield f"{key!r} waits for a rate that there isn't"
                if key in ring and ring[key] != turns[priority, key]:
                    yield f"{key!r} is in the ring at {ring[key]}, its turn is {turns[priority, key]}"
                if key in later and later[key] not in (head, 0):
                    yield f"{key!r} is due at {head}, and noted at {later[key]}"
            placed = ring.keys() | later.keys() | paced.keys()
            if not placed <= heads.keys():
                yield f"keys without a line: {placed - heads.keys()}"


def read_own(text: str) -> OwnLimits:
    workers, rates, size, ends_at = text.split()
    each = [] if rates in "-0" else [tuple(map(int, one.split(":"))) for one in rates.split(",")]
    return OwnLimits(
        workers=None if workers == "-" else int(workers),
        rates=None if rates == "-" else tuple((a, b, c) for a, b, c in each),
        size=None if size == "-" else int(size),
        ends_at=int(ends_at),
    )


def by_key(entries: Sequence[tuple[bytes, float]]) -> dict[str, int]:
    return {unescaped(key.decode()): int(score) for key, score in entries}


def key_of(task: Task) -> str:
    return "" if task.call.function.startswith(PINNED) else task.call.key


def member_of(task: Task) -> str:
    return f"{task.ticket:012d}{task.id}"


def unescaped(text: str) -> str:
    head, *rest = text.split("%")
    return head + "".join(chr(int(each[:2], 16)) + each[2:] for each in rest)
