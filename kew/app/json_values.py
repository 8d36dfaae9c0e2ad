"""Any value as JSON has values: for people and programs to look at, not to be read back."""

from __future__ import annotations

import base64
import dataclasses
import enum
import json
import math
from collections.abc import Iterable, Mapping, Set
from datetime import date, time
from typing import Any

import attrs
import msgspec

DEEPEST = 64  # levels; what is below is text


def json_value(value: Any, depth: int = 0) -> Any:
    """None, bool, int, finite float, text, and lists and dicts of these.

    nan and infinity become None, bytes base64, dates ISO 8601, enum members their values, other containers lists or
    dicts, classes of fields dicts, and anything else its `str()`. A key becomes text; of two keys that become the same
    text the last one counts.
    """
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, enum.Enum):
        return json_value(value.value, depth)
    if isinstance(value, bool | int | str):  # subclasses
        return int(value) if isinstance(value, int) else str.__str__(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, date | time):
        return value.isoformat()
    return _text(value) if depth >= DEEPEST else _container(value, depth + 1)


def _container(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        return {_key(key): json_value(item, depth) for key, item in value.items()}
    fields = _fields(value)
    if fields is not None:
        return {name: json_value(item, depth) for name, item in fields.items()}
    if isinstance(value, list | tuple | Set) or type(value).__name__ == "deque":
        items: Iterable[Any] = value
        return [json_value(item, depth) for item in items]
    return _text(value)


def _fields(value: Any) -> Mapping[str, Any] | None:
    """The fields of a value whose class declares them."""
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(value):
        names: Iterable[str] = (each.name for each in dataclasses.fields(value))
    elif attrs.has(type(value)):
        names = (each.name for each in attrs.fields(type(value)))
    elif isinstance(value, msgspec.Struct):
        names = value.__struct_fields__
    elif hasattr(type(value), "model_fields") and hasattr(value, "model_dump"):  # a pydantic model
        return dict(value)
    else:
        return None
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def _key(key: Any) -> str:
    """As the json module writes keys that are numbers, booleans or None: their JSON text."""
    plain = json_value(key)
    if isinstance(plain, str):
        return plain
    if isinstance(plain, list | dict):
        return _text(key)
    return json.dumps(plain) if key is None or plain is not None else _text(key)


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a user's __str__
        return f"<{type(value).__qualname__}>"
