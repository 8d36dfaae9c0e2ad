"""Records between Python and Redis: what `lua/include/record.lua` rewrites, and the parts only Python knows.

A record is one line of plain fields and three parts:

    status queue ticket queued_at ready_at-queued_at history priority[a] nonce function label_bytes payload_bytes
    label payload outcome

`history` is `-` until something has happened to the task, then, with commas: attempt, failures, losses, replays,
cancel, token, epoch, started_at, lease, settled, ended_at, expires_at, watchers. `a` marks at_most_once. The
label is MessagePack (the task's type, and its options as far as any was given), the outcome a result
(COMPLETED, which needs no payload any more) or the last error. `lease_until` is the score of the queue's
`leases`, and stands nowhere else.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import attrs
import msgspec

from kew.domain.config import Settings
from kew.domain.errors import TaskQueueError
from kew.domain.requests import Group, SubmitRef
from kew.domain.task import PINNED, Submission, Task, TaskStatus, make_submission, make_task

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
NO_OPTIONS = (None, 0, None, None, None)
_decode_label = msgspec.msgpack.Decoder(tuple[str | int | None, ...]).decode
_encode = msgspec.msgpack.Encoder().encode


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


def due_of(call: Submission) -> str:
    """When it is due: `+delay_ms`, or an instant; nothing, where it is due at once and any process may run it."""
    if call.due_at is not None:
        return str(call.due_at)
    is_plain = call.delay_ms <= 0 and not call.function.startswith(PINNED)
    return "" if is_plain else f"+{max(0, call.delay_ms)}"


def end_of(call: Submission) -> bytes:
    """The end of a new record, from the priority on; Redis adds what only it knows."""
    label = _label(call)
    payload = call.payload
    once = "a" if call.at_most_once else ""
    nonce = call.nonce if call.nonce.isalnum() else to_field(call.nonce)
    head = f"{DIGITS[call.priority]}{once} {nonce} {to_field(call.function)} {len(label)} {len(payload)}\n"
    return head.encode() + label + payload


def _label(call: Submission) -> bytes:
    options = (
        call.due_at,
        call.delay_ms,
        call.max_retries,
        call.retry_delay_ms,
        call.timeout_ms,
    )
    if options == NO_OPTIONS:
        return _plain_label(call.task_type)
    return _encode((call.task_type, *options))


@lru_cache(maxsize=4096)
def _plain_label(task_type: str) -> bytes:
    return _encode((task_type,))


@lru_cache(maxsize=4096)
def _read_label(label: bytes) -> Label:
    task_type, *options = _decode_label(label)
    return (task_type, *(options or NO_OPTIONS))


# Long: a table of the record's fields, in the order of the classes; taking it apart would cost each task a call.
def read(task_id: str, raw: bytes, lease_until: int) -> Task:
    """The task of a record. Every claimed task passes here: nothing is checked twice. Raises `TaskQueueError`."""
    try:
        head, _, body = raw.partition(b"\n")
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
        (
            attempt,
            failures,
            losses,
            replays,
            cancel,
            token,
            epoch,
            started,
            lease,
            settled,
            ended,
            expires,
            who,
        ) = (UNTOUCHED if history == "-" else history).split(",")
        queued_at = int(queued)
        label_end = int(label)
        payload_end = label_end + int(payload)
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
                body[label_end:payload_end],
                PRIORITY[priority[0]],
                due_at,
                delay_ms,
                len(priority) > 1,
                max_retries,
                retry_delay_ms,
                timeout_ms,
            ),
            queue,
            STATUS[status],
            queued_at + int(offset),
            int(ticket),
            queued_at,
            int(attempt),
            int(failures),
            int(losses),
            int(replays),
            "" if lease == "-" else lease,
            lease_until,
            int(token),
            int(epoch),
            int(started),
            cancel == "1",
            "" if settled == "-" else settled,
            int(ended),
            int(expires),
            outcome if status == "c" else b"",
            "" if status == "c" else outcome.decode(),
            () if who == "-" else tuple(who.split(";")),
        )
    except Exception as error:
        raise TaskQueueError(
            f"the record of task {task_id!r} is not kew's, or was cut short ({type(error).__name__})"
        ) from error


def is_running(raw: bytes) -> bool:
    """Whether it is under a lease, whose end stands elsewhere."""
    return raw.startswith(b"p ")


def queue_of(raw: bytes) -> str:
    """The queue that a record belongs to."""
    return raw.split(b" ", 2)[1].decode()


# --- settings


def write_settings(settings: Settings) -> str:
    """`name=value` for each setting, in the order of the class."""
    return " ".join(f"{name}={value:d}" for name, value in attrs.asdict(settings).items())


def read_settings(text: str) -> Settings:
    """The settings; names that this version doesn't know are ignored, those that it misses are as by default."""
    pairs = (pair.partition("=") for pair in text.split())
    known = attrs.fields_dict(Settings)
    return Settings(**{name: int(value) for name, _, value in pairs if name in known})


# --- a queue's counts


@attrs.frozen
class Counts:
    """What a queue's state says in numbers, in the order of its text; `wake_at` None: nothing is waited for."""

    version: int
    paused: bool
    ticket: int
    token: int
    waiting: tuple[int, int, int]
    parked: int
    wake_at: int | None
    line_at: int
    clock: int


def read_counts(text: bytes) -> Counts:
    """The counts; `lua/include/state.lua` writes them."""
    version, paused, ticket, token, high, medium, low, parked, wake_at, line_at, clock = (
        text.split()
    )
    return Counts(
        int(version),
        paused == b"1",
        int(ticket),
        int(token),
        (int(high), int(medium), int(low)),
        int(parked),
        None if wake_at == b"-" else int(wake_at),
        int(line_at),
        int(clock),
    )
