"""Lists of waiting tasks of the Redis store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from kew.adapters.redis import extras, records
from kew.adapters.redis.inside import Inside
from kew.adapters.redis.library import Argument
from kew.adapters.redis.replies import Unread, read_each
from kew.app.ports import ListWaiting, WaitingTasks
from kew.domain.listing import LOOKED_AT_ONCE, CallFilter, Part, Place

LATEST_MS: Final = 2**50
FOREIGN: Final = "surrogateescape"  # bytes of another program in place of a name


async def list_waiting(store: Inside, operation: ListWaiting) -> WaitingTasks | None:
    wanted, place = operation.wanted, operation.after or Place()
    named: dict[str, Argument] = {
        "states": "".join(sorted(state.value[0] for state in wanted.states)),
        "of_function": "" if wanted.function is None else records.to_field(wanted.function),
        "of_key": "" if wanted.key is None else extras.to_value(wanted.key),
        "read_limit": LOOKED_AT_ONCE,
        "limit": operation.limit,
    }
    reply = await store.functions.ask(
        "waiting", operation.queue, named, [*_call(wanted), *_written(place)]
    )
    store.saw(reply[0])
    return store.aside.read(operation.queue, _read, reply)


def _call(wanted: CallFilter) -> list[Argument]:
    before = LATEST_MS if wanted.until_ms is None else wanted.until_ms
    named = b"" if wanted.task_type is None else msgspec.msgpack.encode(wanted.task_type)
    return [str(wanted.since_ms or 0), str(before), named]


def _written(place: Place) -> list[Argument]:
    return [
        *map(str, (place.priority, int(place.part), place.scan)),
        place.name.encode(errors=FOREIGN),
        *map(str, (place.due_at, place.ticket)),
        place.task_id.encode(errors=FOREIGN),
    ]


def _read(reply: Sequence[Any], unread: Unread) -> WaitingTasks | None:
    if len(reply) == 1:
        return None
    _, place, flat = reply
    tasks = read_each(
        ((one, 0, raw) for one, raw in zip(flat[::2], flat[1::2], strict=True)), unread
    )
    return WaitingTasks(tasks=tasks, after=_place(place) if place else None)


def _place(fields: Sequence[bytes]) -> Place:
    priority, part, scan, name, due_at, ticket, task_id = fields
    return Place(
        int(priority),
        Part(int(part)),
        int(scan),
        name.decode(errors=FOREIGN),
        int(due_at),
        int(ticket),
        task_id.decode(errors=FOREIGN),
    )
