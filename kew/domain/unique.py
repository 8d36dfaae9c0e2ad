"""Uniqueness: tasks of which there is to be one at a time, by a key of their own.

A task with a unique key *holds* the key for a while: until it starts, until it ends, or for a time from its submit. A
submit that meets a holder stores nothing. It joins the holder, is refused, or replaces the arguments of the holder.

Of `Latest`, one task runs and at most one waits, with the newest arguments. The waiting one holds the key, whether it
has run before or not. That only one runs is the limit of its key (`kew.domain.keys.latest_key`). A run that would wait
again (for a retry, the end of a snooze, another worker) while a later call waits is superseded: it ends in the same
step, as if its task had been cancelled. So the newest arguments are also the last ones to run.

The store remembers, by key, the task that took it last. That is a hint: whether the task holds the key is read from its
record alone. So a key is free exactly when the task has ended or its record has gone, by whatever way.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

import attrs

from kew.domain.config import Settings
from kew.domain.errors import SUPERSEDED
from kew.domain.events import Failed, Lost, SettleEvent, Succeeded
from kew.domain.lifecycle import Step, step
from kew.domain.task import Submission, Task, TaskStatus, has_expired, is_absent
from kew.domain.view import View

STARTED: Final = "s"
FINISHED: Final = "f"
LATEST: Final = "l"
FORM: Final = re.compile(r"([sfl]|\d{1,15})([jrp])(\d{0,15}):(.+)", re.DOTALL)
RunEnd = SettleEvent | Lost
ENDS_IT: Final = frozenset({TaskStatus.FAILED, TaskStatus.CANCELLED})  # also before its time


class Conflict(enum.StrEnum):
    """What a submit does that meets a holder of its key."""

    JOIN = "j"
    RAISE = "r"
    REPLACE = "p"


@attrs.frozen
class UniqueKey:
    """A unique key as a task has it; `kew.domain.task.Submission` has it as text.

    `until`: how long a task holds it: STARTED, FINISHED, LATEST, or a number of ms from its submit. `at_most_ms`: a
    task that is replaced becomes due when the later one would, but no later than this after its own submit; 0: it
    stays due as it is.
    """

    key: str
    until: str
    conflict: Conflict
    at_most_ms: int = 0

    def __str__(self) -> str:
        return f"{self.until}{self.conflict.value}{self.at_most_ms or ''}:{self.key}"


def is_unique_key(text: str) -> bool:
    """Whether `unique_key` can read it."""
    return FORM.fullmatch(text) is not None


@lru_cache(maxsize=4096)
def unique_key(text: str) -> UniqueKey:
    """What the text of a submission says. Raises `ValueError` if it is none."""
    found = FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"no unique key: {text!r}")
    return UniqueKey(found[4], found[1], Conflict(found[2]), int(found[3] or 0))


def holds(task: Task, now: int) -> bool:
    """Whether it holds its unique key.

    A task that waits for a retry, or again after its worker was lost, has started. A time ends early if the task fails
    for good or is cancelled, since nothing comes of it. So does any hold of a task that has expired (`expires_in`),
    whether or not maintenance has cancelled it yet.
    """
    if not task.call.unique or is_absent(task, now) or has_expired(task, now):
        return False
    until = unique_key(task.call.unique).until
    if until == STARTED:
        return task.is_waiting and not task.attempt
    if until == LATEST:
        return task.is_waiting
    if until == FINISHED:
        return not task.is_terminal
    return task.status not in ENDS_IT and now - task.queued_at < int(until)


def takes(before: Task | None, after: Task, now: int) -> bool:
    """Whether a task that has changed takes its key: it begins a life in which it holds it, or it waits again."""
    begins = before is None or before.life != after.life
    return (begins or is_of_latest(after)) and holds(after, now)


def is_of_latest(task: Task) -> bool:
    """Whether it gives way to a later call of its key as soon as it would wait again."""
    return task.call.unique.startswith(LATEST)


def replaced(task: Task, call: Submission, now: int) -> Task:
    """A waiting task with the arguments of a later call. Its id, key, priority and options stay.

    A checkpoint of the former arguments is removed.
    """
    after = task.moved(call=attrs.evolve(task.call, payload=call.payload), checkpoint=None)
    at_most_ms = unique_key(call.unique).at_most_ms
    if not at_most_ms:
        return after
    return after.moved(ready_at=min(now + call.delay_ms, task.queued_at + at_most_ms))


def is_superseded(view: View, task: Task, event: RunEnd, now: int) -> bool:
    """Whether a later call waits where the task would wait again after this event. A request to cancel goes first."""
    is_final = isinstance(event, Failed) and event.retry_after_ms is None
    if is_final or isinstance(event, Succeeded) or task.cancel_requested or not is_of_latest(task):
        return False
    holder = view.holder(unique_key(task.call.unique).key, now)
    return holder is not None and holder.id != task.id


def superseded(task: Task, event: RunEnd, now: int, settings: Settings) -> Step:
    """The task after the event, and its effect."""
    after, effect = step(task.moved(cancel_requested=True), event, now, settings)
    return after.moved(cancel_requested=False, error=SUPERSEDED), effect


@attrs.frozen
class Meeting:
    """What becomes of the calls of a group.

    `new`: those that are to be stored. `met`: the id of each of the others that wasn't stored before, with that of the
    task that it met. `replaced`: tasks that get the arguments of a later call, as they are afterwards. `refused`: the
    id of a task that holds the key of a call which isn't to be stored then; "": none does.
    """

    new: Sequence[Submission] = ()
    met: tuple[tuple[str, str], ...] = ()
    replaced: Sequence[Task] = ()
    refused: str = ""


def meeting(
    calls: Sequence[Submission],
    *,
    is_in: Callable[[str], bool],
    holder: Callable[[str], Task | None],
    now: int,
) -> Meeting:
    """Compare the calls of a group with the holders of their keys, and with each other.

    `is_in`: whether a call of this id was stored by an earlier sending of the group. `holder`: who holds a key.
    """
    new: dict[str, Submission] = {}
    mine: dict[str, str] = {}  # the ids of new calls, by key
    met: list[tuple[str, str]] = []
    changed: dict[str, Task] = {}
    for call in calls:
        if is_in(call.id):
            continue
        unique = unique_key(call.unique) if call.unique else None
        if unique is None:
            new[call.id] = call
            continue
        twin = new.get(mine.get(unique.key, ""))
        task = None if twin else holder(unique.key)
        found = twin or task
        if found is None:
            new[call.id] = call
            mine[unique.key] = call.id
            continue
        if unique.conflict is Conflict.REPLACE and twin is not None:
            new[twin.id] = attrs.evolve(twin, payload=call.payload)
        elif unique.conflict is Conflict.REPLACE and task is not None and task.is_waiting:
            changed[task.id] = replaced(changed.get(task.id, task), call, now)
        elif unique.conflict is not Conflict.JOIN:
            return Meeting(refused=found.id)
        met.append((call.id, found.id))
    return Meeting(tuple(new.values()), tuple(met), tuple(changed.values()))
