"""Records between Python and Redis: what `lua/include/record.lua` rewrites, and the parts only Python knows.

A record is one line of plain fields and three parts:

    status queue ticket queued_at ready_at-queued_at history priority[a] nonce function label_bytes payload_bytes
    label payload outcome

`history` is `-` until something has happened to the task, then, with commas: attempt, failures, losses, replays,
cancel, token, epoch, started_at, lease, settled, ended_at, expires_at, watchers. `a` marks at_most_once. The
label is MessagePack (the task's type, and its options as far as any was given), the outcome a result
(COMPLETED, which needs no payload any more) or the last error. `lease_until` is the score of the queue's
`leases`, and stands nowhere else.

A payload or result of more than 1 KiB is not in the record but in the hash `contents`. Then the record begins with its
version, 2, and its line ends with one more field, the number of bytes there. A reply that hands the content out has a
pair in place of the record: the record, and the content or None.

What few tasks have, such as a key, are extras (`extras.py`). A record with extras begins with a 3, and its line
ends with two more fields: the number of bytes in `contents` or `-`, and the extras.
"""

from __future__ import annotations

import re
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

import attrs
import msgspec

from kew.adapters.redis import extras
from kew.domain.config import check_name
from kew.domain.errors import InvalidConfigError, TaskUnreadableError
from kew.domain.requests import Group, SubmitRef
from kew.domain.task import (
    PINNED,
    PROCESSING,
    TERMINAL,
    Checkpoint,
    Progress,
    Submission,
    Task,
    TaskStatus,
    make_submission,
    make_task,
)

STATUS: Final = {
    "q": TaskStatus.QUEUED,  # in a line
    "w": TaskStatus.QUEUED,  # in a sorted set
    "p": TaskStatus.PROCESSING,
    "c": TaskStatus.COMPLETED,
    "f": TaskStatus.FAILED,
    "r": TaskStatus.RETRY,
    "x": TaskStatus.CANCELLED,
}
PRIORITY: Final = {"1": 1, "2": 2, "3": 3}
DIGITS: Final = {number: digit for digit, number in PRIORITY.items()}
UNTOUCHED: Final = "0,0,0,0,0,0,0,0,-,-,0,0,-"  # the history that `-` stands for
NOT_PLAIN = re.compile(r"[\x00-\x20%]")
INCARNATION = re.compile(r"[A-Za-z0-9_-]{1,64}")
Label = tuple[str, int | None, int, int | None, int | None, int | None]
MOST: Final = 10**15  # Lua counts exactly up to 15 digits
MOST_TICKETS: Final = 10**12  # of which an index entry has 12
OPTIONS: Final = ("due_at", "delay_ms", "max_retries", "retry_delay_ms", "timeout_ms")
NO_OPTIONS = (None, 0, None, None, None)
# All numbers of a record at once, as JSON: that takes a third of the time of an `int` for each.
_read_numbers: Final = msgspec.json.Decoder(
    tuple[tuple[int, int, int, int, int, int, int, int], int, int, int, int, int, int, int]
).decode
_decode_label = msgspec.msgpack.Decoder(tuple[str | int | None, ...]).decode
VERSION: Final = 3  # of records: what this code knows
BELOW_LETTERS: Final = ord("A")  # a record of version 1 begins with a letter
VERSION_OF_EXTRAS: Final = ord("3")
VERSIONED = re.compile(rb"(\d{1,3})[a-z] ")
Raw = Any  # a record (bytes), or a pair of it and its content (a list)
ABSURD: Final = "its fields contradict each other or are absurd"
_encode = msgspec.msgpack.Encoder().encode


@lru_cache(maxsize=256)
def checked_incarnation(incarnation: str) -> str:
    """The incarnation itself; `ValueError` for one that would be torn apart inside records and leases."""
    if not INCARNATION.fullmatch(incarnation):
        raise ValueError(
            f"an incarnation is 1 to 64 letters, digits, '_', '-', not {incarnation!r}"
        )
    return incarnation


@lru_cache(maxsize=4096)
def to_field(name: str) -> str:
    """A name as one field: blanks, control characters and percent signs are written as %XX."""
    if not name:
        return "%"
    return NOT_PLAIN.sub(lambda found: f"%{ord(found[0]):02X}", name)


@lru_cache(maxsize=4096)
def from_field(field: str) -> str:
    """The name that `to_field` wrote."""
    if "%" not in field or field == "%":
        return field.replace("%", "")
    return re.sub(r"%(..)", lambda found: chr(int(found[1], 16)), field)


def head_after(group: Group, after: SubmitRef) -> str:
    """How many tasks a group has, and the nonce and id of the one that it is to come after."""
    return f"{len(group.submissions)} {to_field(after.nonce)} {after.task_id}"


def new_record(call: Submission) -> tuple[str, str, bytes]:
    """What Redis is given of a new task: its id, when it is due, and the end of its record, from the priority on.

    Due: `+delay_ms`, or an instant; nothing if it is due at once and any process may run it. An `x` comes before it if
    the record has extras.
    """
    due, priority, function, label = _common(*_commonly(call))
    nonce, payload, more = call.nonce, call.payload, ""
    if not nonce.isalnum():
        nonce = to_field(nonce)
    # As `extras.PLAIN` says; a tuple of these would cost each task.
    if call.key or call.start_by_ms or call.cost != 1 or call.trace or call.unique:
        due, more = f"x{due}", f" - {extras.write(call)}"
    head = f"{priority} {nonce} {function} {len(payload)}{more}\n"
    return call.id, due, head.encode() + label + payload


_commonly: Final = attrgetter("function", "priority", "at_most_once", "task_type", *OPTIONS)


@lru_cache(maxsize=4096)
def _common(
    function: str, priority: int, at_most_once: bool, task_type: str, *options: int | None
) -> tuple[str, str, str, bytes]:
    """What new tasks of one function have in common: when they are due, two pieces of the line, and the label."""
    due_at, delay_ms = options[0], options[1] or 0
    if due_at is not None:
        due = str(due_at)
    else:
        due = f"+{max(0, delay_ms)}" if delay_ms > 0 or function.startswith(PINNED) else ""
    once = "a" if at_most_once else ""
    label = _encode((task_type,) if options == NO_OPTIONS else (task_type, *options))
    return due, f"{DIGITS[priority]}{once}", f"{to_field(function)} {len(label)}", label


@lru_cache(maxsize=4096)
def _read_label(label: bytes) -> Label:
    task_type, *options = _decode_label(label)
    return (task_type, *(options or NO_OPTIONS))


# Long: a table of the record's fields, in the order of the classes; taking it apart would cost each task a call.
def read(
    task_id: str,
    raw: Raw,
    lease_until: int,
    with_payload: bool = True,
    is_strict: bool = False,
    key: str = "",
    cost: int = 1,
    start_by_ms: int = 0,
    trace: str = "",
    unique: str = "",
    snoozes: int = 0,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> Task:
    """The task of a record. Every claimed task passes here: nothing is checked twice. Raises `TaskUnreadableError`.

    `is_strict` is for `read_strictly` alone, and what comes after it (the extras) for `_read_later_version`.
    """
    try:
        if raw.__class__ is list:  # a function would be called for each task
            return _read_later_version(task_id, raw, lease_until, with_payload, is_strict)
        head, _, body = raw.partition(b"\n")
        if raw[0] < BELOW_LETTERS:
            # Most tasks with extras have a key or a trace, and nothing else: they are read here.
            plain, name, found = head.rpartition(b" - key=")
            if not plain:
                plain, name, found = head.rpartition(b" - trace=")
            if (
                raw[0] != VERSION_OF_EXTRAS
                or not plain
                or not found
                or b"," in found
                or b" " in found
            ):
                return _read_later_version(task_id, raw, lease_until, with_payload, is_strict)
            head, value = plain[1:], found.decode()
            if "%" in value:
                value = extras.from_value(value)
            if name == b" - key=":
                key = value
            else:
                trace = value
        (
            status,
            queue,
            ticket,
            queued,
            offset,
            history,
            priority,
            nonce,
            function,
            label,
            payload,
        ) = head.decode().split(" ")
        counts, lease, settled, ended, expires, who = (
            UNTOUCHED if history == "-" else history
        ).rsplit(",", 5)
        (
            (attempt, failures, losses, replays, cancel, token, epoch, started),
            ticket_number,
            queued_at,
            ready_after,
            label_end,
            payload_bytes,
            ended_at,
            expires_at,
        ) = _read_numbers(
            f"[[{counts}],{ticket},{queued},{offset},{label},{payload},{ended},{expires}]"
        )
        payload_end = label_end + payload_bytes
        if is_strict and payload_end > len(body):
            raise TaskUnreadableError(task_id, ABSURD)
        task_type, due_at, delay_ms, max_retries, retry_delay_ms, timeout_ms = _read_label(
            body[:label_end]
        )
        outcome = body[payload_end:]
        return make_task(
            make_submission(
                task_id,
                from_field(nonce) if "%" in nonce else nonce,
                task_type,
                from_field(function) if "%" in function else function,
                body[label_end:payload_end] if with_payload else b"",
                PRIORITY[priority[0]],
                due_at,
                delay_ms,
                len(priority) > 1,
                max_retries,
                retry_delay_ms,
                timeout_ms,
                key,
                cost,
                start_by_ms,
                trace,
                unique,
            ),
            queue,
            STATUS[status],
            queued_at + ready_after,
            ticket_number,
            queued_at,
            attempt,
            failures,
            losses,
            replays,
            "" if lease == "-" else lease,
            lease_until,
            token,
            epoch,
            started,
            cancel == 1,
            "" if settled == "-" else settled,
            ended_at,
            expires_at,
            outcome if status == "c" else b"",
            "" if status == "c" else outcome.decode(),
            () if who == "-" else tuple(who.split(";")),
            snoozes,
            progress,
            checkpoint,
        )
    except TaskUnreadableError:
        raise
    except Exception as error:
        raise TaskUnreadableError(task_id, type(error).__name__) from error


def _read_later_version(
    task_id: str, raw: Raw, lease_until: int, with_payload: bool, is_strict: bool
) -> Task:
    record, content, *more_beside = raw if isinstance(raw, list) else (raw, None)
    head, _, body = record.partition(b"\n")
    version, fields, size, more = head[:1], head[1:], b"", extras.NONE
    if version == b"3":
        fields, size, text = fields.rsplit(b" ", 2)
        more = extras.read(text.decode())
    elif version == b"2":
        fields, size = fields.rsplit(b" ", 1)
    else:
        raise TaskUnreadableError(task_id, f"it has an unknown version: {head[:4]!r}")
    plain = fields + b"\n" + body
    task = read(task_id, plain, lease_until, with_payload, is_strict, *more)
    if not isinstance(raw, list):
        return task
    if more_beside:
        task = _with_checkpoint(task, *more_beside)
        if size == b"-":
            return task
    if content is None or len(content) != int(size):
        what = "result" if task.status is TaskStatus.COMPLETED else "payload"
        raise TaskUnreadableError(task_id, f"its {what} is missing or damaged")
    if task.status is TaskStatus.COMPLETED:
        return task.moved(result=content)
    return task.moved(call=attrs.evolve(task.call, payload=content)) if with_payload else task


def _with_checkpoint(task: Task, data: bytes | None) -> Task:
    checkpoint = task.checkpoint
    if checkpoint is None or data is None or len(data) != checkpoint.size:
        raise TaskUnreadableError(task.id, "its checkpoint is missing or damaged")
    return task.moved(checkpoint=attrs.evolve(checkpoint, data=data))


def newer_version(raw: Raw) -> int:
    """The version of a record that this code doesn't know; 0: it isn't one.

    If its extras have an unknown name, it counts as of the version after those that are known.
    """
    record = record_of(raw)
    found = VERSIONED.match(record)
    version = int(found[1]) if found else 0
    if version == VERSION:
        more = record.partition(b"\n")[0].rpartition(b" ")[2]
        return VERSION + 1 if extras.has_unknown(more.decode(errors="replace")) else 0
    return version if version > VERSION else 0


def record_of(raw: Raw) -> bytes:
    """The record, without what was handed out beside it."""
    record: bytes = raw[0] if isinstance(raw, list) else raw
    return record


def read_strictly(task_id: str, raw: Raw, lease_until: int, *, with_payload: bool = True) -> Task:
    """The same with all that `parse` in `lua/include/record.lua` checks, for records that it has not seen."""
    task = read(task_id, raw, lease_until, with_payload, True)
    # One by one, since `max` would take twice as long: every result that is read passes here.
    is_sound = (
        task.attempt < MOST
        and task.failures < MOST
        and task.losses < MOST
        and task.replays < MOST
        and task.token < MOST
        and task.epoch < MOST
        and task.started_at < MOST
        and task.queued_at < MOST
        and task.ready_at < MOST
        and task.ended_at < MOST
        and task.expires_at < MOST
        and task.ticket < MOST_TICKETS
        and (task.status is PROCESSING) == bool(task.lease)
        and (task.status in TERMINAL) == bool(task.expires_at)
    )
    if not is_sound:
        raise TaskUnreadableError(task_id, ABSURD)
    return task


def is_running(raw: bytes) -> bool:
    """Whether it is under a lease, whose end stands elsewhere."""
    return raw.startswith((b"p ", b"2p ", b"3p "))


def queue_of(raw: bytes) -> str:
    """The queue that a record belongs to."""
    return raw.split(b" ", 2)[1].decode()


def queue_named_in(raw: bytes) -> str:
    """The queue that a record names, though it can't be read; "" if it names none."""
    _, _, rest = raw.partition(b" ")
    name = rest.partition(b" ")[0].decode(errors="replace")
    try:
        return check_name(name)
    except InvalidConfigError:
        return ""
