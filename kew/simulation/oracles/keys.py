"""No key has more running tasks than its limit, and no other key starts two tasks while one waits for its turn."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from kew.compat import override
from kew.domain.key_limits import limits_of, rates_of, workers_of
from kew.domain.key_rooms import opens_at, read_log, snoozed_until
from kew.domain.keys import key_of
from kew.domain.ordering import order_key
from kew.domain.rate import Setting
from kew.domain.task import Task, can_run
from kew.simulation.facts import Facts
from kew.simulation.oracle import Oracle, Step

MOST_STARTS: Final = 1  # of another key, before one that could start does

Place = tuple[str, int, str]  # queue, priority and key


class Keys(Oracle):
    """It counts leases and starts itself."""

    name = "keys"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._passed: dict[Place, Counter[str]] = defaultdict(Counter)

    @override
    def judge(self, step: Step) -> Iterator[str]:
        if step.after is None:
            return
        new = [one.new for one in step.alterations if one.is_granted and one.new is not None]
        granted = sorted(new, key=lambda task: task.token)
        if granted:
            yield from self._too_many(step, granted)
            yield from self._overtaken(step, granted)
        could_start = {
            (step.queue, task.call.priority, key_of(task.call))
            for task in step.waiting.values()
            if key_of(task.call) and task.ready_at <= step.now and not is_kept_back(step, task)
        }
        for place in [each for each in self._passed if each[0] == step.queue]:
            if place not in could_start:
                del self._passed[place]
        for place in could_start:
            self._passed[place] = self._passed[place]

    @override
    def forgot(self) -> None:
        self._passed.clear()

    def _too_many(self, step: Step, granted: list[Task]) -> Iterator[str]:
        assert step.after is not None
        held = Counter(key_of(task.call) for task in step.leased.values())
        for key in {key_of(task.call) for task in granted} - {""}:
            limit = limit_of(step, key)
            if 0 < limit < held[key]:
                yield f"{held[key]} tasks of the key {key!r} run at once; the limit is {limit}"

    def _overtaken(self, step: Step, granted: list[Task]) -> Iterator[str]:
        """Each start counts for the keys that could have started instead, until they do."""
        for task in granted:
            mine = (step.queue, task.call.priority, key_of(task.call))
            self._passed.pop(mine, None)
            for place, starts in self._passed.items():
                if place[:2] != mine[:2] or not _can_take(step, place):
                    continue
                starts[mine[2]] += 1
                if starts[mine[2]] > MOST_STARTS:
                    yield f"the key {mine[2]!r} started {starts[mine[2]]} tasks while {place[2]!r} waited"


def limit_of(step: Step, key: str) -> int:
    """How many tasks of a key may run at once; 0: any number."""
    assert step.after is not None
    assert step.indexed is not None
    return workers_of(step.after.settings, limits_of(step.indexed.key_limits, key, step.now), key)


def rates_in(step: Step, key: str) -> tuple[Setting, ...]:
    """The rates of a key."""
    assert step.after is not None
    assert step.indexed is not None
    return rates_of(step.after.settings, limits_of(step.indexed.key_limits, key, step.now))


def is_kept_back(step: Step, task: Task) -> bool:
    """Its key is at the limit or snoozed, or its rate holds it back, or a costlier one that comes before it."""
    assert step.after is not None
    key = key_of(task.call)
    if not key:
        return False
    limit = limit_of(step, key)
    held = sum(key_of(other.call) == key for other in step.leased.values())
    is_held = 0 < limit <= held or is_paced(step, task) or is_snoozed(step, task)
    return is_held or _is_behind_a_costlier_one(step, task)


def _is_behind_a_costlier_one(step: Step, task: Task) -> bool:
    key = key_of(task.call)
    return bool(rates_in(step, key)) and any(
        other.call.cost > task.call.cost
        and (other.call.priority, key_of(other.call)) == (task.call.priority, key)
        and other.ready_at <= step.now
        and order_key(other) < order_key(task)
        and is_paced(step, other)
        for other in step.waiting.values()
    )


def is_paced(step: Step, task: Task) -> bool:
    """By the starts that the store noted, which the oracle `key_rate` compares with what really started."""
    assert step.after is not None
    assert step.indexed is not None
    key = key_of(task.call)
    rates = rates_in(step, key)
    if not key or not rates:
        return False
    paced = read_log(step.indexed.key_logs.get(key, ()), rates, step.now)
    return opens_at(paced, task.call.cost, step.now) > step.now


def is_snoozed(step: Step, task: Task) -> bool:
    """By what the store noted, which the oracle `snoozing` compares with what was settled."""
    assert step.indexed is not None
    key = key_of(task.call)
    return bool(key) and snoozed_until(step.indexed.key_logs.get(key, ()), step.now) > step.now


def _can_take(step: Step, place: Place) -> bool:
    """The claimer can run what is due of this key, which isn't at its limit even now."""
    if step.request is None or step.indexed is None:
        return False
    who = step.request.incarnation
    known = step.indexed.functions.get(who, set())
    return any(
        (task.call.priority, key_of(task.call)) == place[1:]
        and task.ready_at <= step.now
        and can_run(who, known, task.call.function)
        and not is_kept_back(step, task)
        for task in step.waiting.values()
    )


ORACLE = Keys
