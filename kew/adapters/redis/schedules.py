"""Schedules of the Redis store, and their ticks.

A schedule is a field of the hash `schedules`: a line that Lua rewrites, the note of its pause, and the schedule itself
as JSON:

    version edition after paused_at last queue times
    note
    {"name": ...}

`last`: when the tick was due whose task was submitted last, as in its id; `-`: there was none. `times`: what its
instants follow from. A version after 1 is another program's: it can't be read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import attrs
import msgspec

from kew.adapters.redis import records
from kew.adapters.redis.extras import from_value, to_value
from kew.adapters.redis.inside import Inside
from kew.adapters.redis.library import Argument
from kew.adapters.redis.queues import TOLD_AT_ONCE
from kew.adapters.redis.replies import word
from kew.app.ports import (
    ListedSchedules,
    ListSchedules,
    Operation,
    PutSchedule,
    SteerSchedule,
    Tick,
    TickAnswer,
)
from kew.domain.requests import Word
from kew.domain.schedule import Schedule, StoredSchedule, due_in

VERSION: Final = "1"
_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(Schedule).decode


def times_of(schedule: Schedule) -> str:
    """What its instants follow from, as one field."""
    return to_value(_encode(schedule.times).decode())


def body_of(schedule: Schedule) -> bytes:
    """The schedule as it is stored: JSON."""
    fields = {**attrs.asdict(schedule, recurse=False), "call": attrs.asdict(schedule.call)}
    return _encode(fields)


def read_schedule(text: bytes) -> StoredSchedule | None:
    """A stored schedule; None: it can't be read."""
    try:
        head, note, body = text.split(b"\n", 2)
        version, edition, after, paused_at, last, _queue, _times = head.decode().split(" ")
        if version != VERSION:
            return None
        return StoredSchedule(
            schedule=_decode(body),
            edition=edition,
            after=int(after),
            paused_at=int(paused_at),
            last_due=0 if last == "-" else due_in(f"@{last}") or 0,
            note=from_value(note.decode()),
        )
    except Exception:  # noqa: BLE001 - another program's bytes may be wrong in any way
        return None


async def put_schedule(store: Inside, operation: PutSchedule) -> Word:
    schedule = operation.schedule
    named: dict[str, Argument] = {
        "schedule_name": schedule.name,
        "verb": "put",
        "edition": operation.edition,
        "pause_note": "",
        "timetable": times_of(schedule),
        "definition": body_of(schedule),
        "told_limit": TOLD_AT_ONCE,
    }
    answer, now = await store.functions.ask("schedule", operation.queue, named)
    store.saw(now)
    return word(answer)


async def steer_schedule(store: Inside, operation: SteerSchedule) -> Word:
    named: dict[str, Argument] = {
        "schedule_name": operation.schedule,
        "verb": operation.verb.value,
        "edition": "",
        "pause_note": to_value(operation.note),
        "timetable": "",
        "definition": "",
        "told_limit": TOLD_AT_ONCE,
    }
    answer, now = await store.functions.ask("schedule", operation.queue, named)
    store.saw(now)
    return word(answer)


async def list_schedules(store: Inside, operation: ListSchedules) -> ListedSchedules:
    now, flat = await store.functions.ask("schedules", "", {})
    store.saw(now)
    found = {
        name.decode(errors="replace"): read_schedule(text)
        for name, text in zip(flat[::2], flat[1::2], strict=True)
    }
    readable = [each for _, each in sorted(found.items()) if each is not None]
    unreadable = tuple(sorted(name for name, each in found.items() if each is None))
    return ListedSchedules(now_ms=now, schedules=readable, unreadable=unreadable)


async def tick(store: Inside, operation: Tick) -> TickAnswer:
    commit = operation.commit
    fields = (commit.name, commit.edition, commit.after, commit.upto, commit.overlap.value)
    named: dict[str, Argument] = {"tick": " ".join(map(str, fields))}
    call = commit.call
    rest: list[Argument] = []
    if call is not None:
        rest = [1, *records.new_record(call)]
    now, answer, text = await store.functions.ask("submit_tick", operation.queue, named, rest)
    store.saw(now)
    return TickAnswer(word=word(answer), now_ms=now, schedule=read_schedule(text) if text else None)


HANDLERS: Final[Mapping[type[Operation[Any]], Callable[[Inside, Any], Awaitable[Any]]]] = {
    PutSchedule: put_schedule,
    SteerSchedule: steer_schedule,
    ListSchedules: list_schedules,
    Tick: tick,
}
