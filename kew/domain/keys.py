"""Keys: whose a task is. Tasks of one priority are served round robin by key, and a key can have limits of its own.

A key has a *turn* in each priority in which tasks of it wait. It gets the next turn when the first of them begins to
wait, and again with each start, so a key that was served comes after all others that wait. Tasks without a key take
turns like one more key; since most queues have no keys, their turn only counts once the queue has had a keyed task.
Turns say nothing of time: a key that can't start now, since its tasks aren't due or it is at its limit, keeps its turn.

One task at a time runs of the key of a `Latest`, whatever limits keys have.

A closure has no key, whatever was asked for: it waits for its own process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Final

import attrs

from kew.domain.backoff import is_within
from kew.domain.errors import InvalidConfigError, shown
from kew.domain.rate import Rate, as_rates
from kew.domain.task import PINNED, Submission, Task, TaskStatus

MOST_HOLDERS: Final = 100_000
MOST_WAITING: Final = 1_000_000_000
KEYLESS: Final = ""
LATEST: Final = "latest:"  # begins the keys of which one task runs at a time
LAST: Final = (0, KEYLESS)  # under which the last turn is kept that was given
Turns = Mapping[tuple[int, str], int]  # by priority and key


@attrs.frozen(kw_only=True)
class PerKey:
    """The limits of each key of a queue; None: no limit. An invalid value raises `InvalidConfigError`.

    `max_workers`: how many tasks of one key run at once, over all processes. `rate`: how many may start in any window
    of time: a `Rate`, or a tuple of them that must all allow a start. `max_size`: how many may wait.
    """

    max_workers: int | None = attrs.field(default=None)
    rate: tuple[Rate, ...] = attrs.field(default=(), converter=as_rates)
    max_size: int | None = attrs.field(default=None)

    @max_workers.validator
    def _check_workers(self, attribute: attrs.Attribute[Any], value: object) -> None:
        _check(attribute.name, value, MOST_HOLDERS)

    @max_size.validator
    def _check_size(self, attribute: attrs.Attribute[Any], value: object) -> None:
        _check(attribute.name, value, MOST_WAITING)


def _check(name: str, value: object, most: int) -> None:
    if value is not None and not (isinstance(value, int) and is_within(value, 1, most)):
        raise InvalidConfigError(
            f"{name} of PerKey must be a whole number from 1 to {most} or None, not {shown(value)}"
        )


def check_per_key(value: object) -> PerKey:
    """The limits themselves. Raises `InvalidConfigError` for anything else."""
    if not isinstance(value, PerKey):
        raise InvalidConfigError(f"per_key takes a PerKey(max_workers=1), not {shown(value)}")
    return value


def key_of(call: Submission) -> str:
    """Whose turn a task waits for; "": no key's."""
    return KEYLESS if call.function.startswith(PINNED) else call.key


def latest_key(unique: str) -> str:
    """The key of the tasks of a unique key of which one runs at a time."""
    return LATEST + unique


def move(
    turns: MutableMapping[tuple[int, str], int],
    before: Task | None,
    after: Task,
    *,
    others_wait: bool,
) -> None:
    """Bring the turns up to date after a task has changed. `others_wait`: another one of its key and priority waits."""
    place = (after.call.priority, key_of(after.call))
    was_waiting = before is not None and before.is_waiting
    has_started = was_waiting and after.status is TaskStatus.PROCESSING
    if place[1] == KEYLESS:
        if has_started and turns:
            turns[place] = _next(turns)
    elif after.is_waiting and place not in turns:
        turns[place] = _next(turns)
    elif was_waiting and not after.is_waiting and not others_wait:
        del turns[place]
    elif has_started:
        turns[place] = _next(turns)


def _next(turns: MutableMapping[tuple[int, str], int]) -> int:
    turns[LAST] = turns.get(LAST, 0) + 1
    return turns[LAST]


def in_turn(
    lines: Mapping[str, Iterator[Task]],
    turns: Mapping[str, int],
    takes: Callable[[Task], bool],
    limit: int,
) -> list[Task]:
    """The tasks of one priority that start next, at most `limit`, from each key's due tasks in order.

    `takes`: whether the limits of the task's key let it start after those that it has let start before. If they don't,
    they let none of those behind it start.
    """
    ring = deque(sorted(lines, key=lambda key: turns.get(key, 0)))
    found: list[Task] = []
    while ring and len(found) < limit:
        key = ring.popleft()
        task = next(lines[key], None)
        if task is not None and takes(task):
            found.append(task)
            ring.append(key)
    return found
