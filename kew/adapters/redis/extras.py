"""The extras of a record: what few tasks have, as `name=value` pairs at the end of its line, with commas.

    key=acme,cost=3,start_by=60000,trace=00-...,unique=fj:shop:index/7,snoozes=2,progress=1.7.400000.1750000000000.page%2012

`progress` has the attempt, the number of its report, parts of a million, when, and the message;
`checkpoint` the attempt, the number of the checkpoint, and its bytes, which stand in a key of their own.

A value that is the default isn't written, and a task without extras has none of this in its record. The names stand in
this order. `lua/include/extras.lua` is the same in Lua.
"""

from __future__ import annotations

import re
from typing import Final

from kew.domain.progress import ProgressReport
from kew.domain.task import Checkpoint, Progress, Submission
from kew.domain.unique import is_unique_key

SPECIAL: Final = re.compile(r"[\x00-\x20%,=]")
ESCAPED: Final = re.compile(r"%([0-9A-F]{2})")
TEXTS: Final = frozenset({"key", "trace", "unique"})
NUMBERS: Final = {"cost": 1, "start_by": 0, "snoozes": 0}  # with their defaults
PROGRESS: Final = "progress"
CHECKPOINT: Final = "checkpoint"
NAMES: Final = (*TEXTS, *NUMBERS, PROGRESS, CHECKPOINT)
NUMBER: Final = re.compile(r"[0-9]{1,15}")
PLAIN: Final = ("", 1, 0, "", "")
Extras = tuple[str, int, int, str, str, int, Progress | None, Checkpoint | None]
"""The key, cost, `start_by_ms`, trace and unique key of a call; the snoozes, progress and checkpoint of its task."""
NONE: Final[Extras] = (*PLAIN, 0, None, None)


def write(call: Submission) -> str:
    """The extras of a new task; "" if it has none."""
    if (call.key, call.cost, call.start_by_ms, call.trace, call.unique) == PLAIN:
        return ""
    pairs = []
    if call.key:
        pairs.append(f"key={to_value(call.key)}")
    if call.cost != 1:
        pairs.append(f"cost={call.cost}")
    if call.start_by_ms:
        pairs.append(f"start_by={call.start_by_ms}")
    if call.trace:
        pairs.append(f"trace={to_value(call.trace)}")
    if call.unique:
        pairs.append(f"unique={to_value(call.unique)}")
    return ",".join(pairs)


def to_value(text: str) -> str:
    """Text as a value: blanks, control characters, percent signs, commas and equals signs are written as %XX."""
    return SPECIAL.sub(lambda found: f"%{ord(found[0]):02X}", text)


def from_value(value: str) -> str:
    """The text that `to_value` wrote."""
    return ESCAPED.sub(lambda found: chr(int(found[1], 16)), value)


def read(text: str) -> Extras:
    """What the extras of a record say. Raises `ValueError` if they are unknown or damaged."""
    name, _, value = text.partition("=")
    if value and "," not in value:  # most records with extras have one
        if "%" in value:
            value = from_value(value)
        if name == "key":
            return value, 1, 0, "", "", 0, None, None
        if name == "trace":
            return "", 1, 0, value, "", 0, None, None
        if name == "unique":
            return "", 1, 0, "", _unique(value), 0, None, None
    return _read_all(text)


def _read_all(text: str) -> Extras:
    values = {name: value for name, _, value in (pair.partition("=") for pair in text.split(","))}
    if values.keys() - set(NAMES) or not all(values.values()):
        raise ValueError(f"unknown or empty extras: {text!r}")
    unique = from_value(values.get("unique", ""))
    progress, checkpoint = values.get(PROGRESS), values.get(CHECKPOINT)
    return (
        from_value(values.get("key", "")),
        _number(values.get("cost"), NUMBERS["cost"]),
        _number(values.get("start_by"), NUMBERS["start_by"]),
        from_value(values.get("trace", "")),
        _unique(unique) if unique else "",
        _number(values.get("snoozes"), NUMBERS["snoozes"]),
        None if progress is None else _progress(progress),
        None if checkpoint is None else _checkpoint(checkpoint),
    )


def _unique(text: str) -> str:
    if not is_unique_key(text):
        raise ValueError(f"no unique key: {text!r}")
    return text


def report(report: ProgressReport | None) -> str:
    """A report as `extend` is sent it; "": there is none."""
    if report is None:
        return ""
    return f"{report.number}.{report.parts}.{to_value(report.message)}"


def _checkpoint(value: str) -> Checkpoint:
    attempt, number, size = (_number(each, 0) for each in value.split("."))
    return Checkpoint(attempt=attempt, number=number, size=size)


def _progress(value: str) -> Progress:
    attempt, number, parts, at, message = value.split(".", 4)
    return Progress(
        attempt=_number(attempt, 0),
        number=_number(number, 0),
        parts=_number(parts, 0),
        at=_number(at, 0),
        message=from_value(message),
    )


def has_unknown(text: str) -> bool:
    """Whether there is a name among them that this code doesn't know."""
    return any(pair.partition("=")[0] not in NAMES for pair in text.split(","))


def _number(value: str | None, default: int) -> int:
    if value is None:
        return default
    if not NUMBER.fullmatch(value):
        raise ValueError(f"no number: {value!r}")
    return int(value)
