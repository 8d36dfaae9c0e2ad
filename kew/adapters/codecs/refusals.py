"""What every codec refuses, and how it says so: sizes and nesting are bounded in both directions,
since other programs may write to the store.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import cast

from kew.app.ports import CodecError
from kew.domain.errors import InvalidConfigError

MAX_PAYLOAD_BYTES = 256 * 1024
MAX_RESULT_BYTES = 64 * 1024
MAX_DEPTH = 32
CONTAINERS = frozenset({dict, list, tuple})  # what plain data nests; a tuple is a key


def check_limit(name: str, value: int) -> int:
    """A size limit itself if it can be one, else `InvalidConfigError`."""
    if type(value) is not int or value < 1:
        raise InvalidConfigError(f"{name} must be a positive number of bytes, not {value!r}")
    return value


def check_size(where: str, written: bytes, limit: int) -> bytes:
    """The bytes themselves if they are within the limit, else `CodecError` with both sizes."""
    if len(written) > limit:
        raise CodecError(
            where,
            f"{len(written):,} bytes are over the limit of {limit:,}; "
            "store large data elsewhere and pass its address",
        )
    return written


def too_deep(where: str) -> CodecError:
    """The error of data nested deeper than `MAX_DEPTH`."""
    return CodecError(where, f"nested deeper than {MAX_DEPTH} levels")


def check_depth(where: str, value: object) -> None:
    """`CodecError` if plain data is nested deeper than `MAX_DEPTH`: a scalar has depth 0, `[]` has 1."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [item for item in level if type(item) in CONTAINERS]
        if not level:
            return
        level = list(chain.from_iterable(map(_items, level)))
    raise too_deep(where)


def _items(container: object) -> Iterable[object]:
    if isinstance(container, dict):
        return chain(container, container.values())
    return cast("Iterable[object]", container)


def reason_of(error: Exception) -> str:
    """The text of an error, or its type if it has none or can't be printed."""
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001 - a user's __str__
        return type(error).__name__
