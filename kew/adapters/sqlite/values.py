"""Values of the domain as bytes in a row: MessagePack maps by the names of the fields, so a later version may add some.

A field that a row lacks has its default, and one that this version doesn't know is ignored. Renaming a field of the
domain would lose it, so `tests/integration/test_sqlite_golden.py` reads samples that were written before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")
_encode = msgspec.msgpack.Encoder().encode


class Codec(Generic[T]):
    """Values of one type."""

    def __init__(self, kind: Any) -> None:
        self.encode: Callable[[T], bytes] = _encode
        self.decode: Callable[[bytes], T] = msgspec.msgpack.Decoder(kind).decode
