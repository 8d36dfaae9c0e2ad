"""What carrying out an operation needs of the Redis store."""

from __future__ import annotations

from typing import Protocol

from kew.adapters.redis.aside import Aside
from kew.adapters.redis.functions import Functions
from kew.adapters.redis.keys import Keys
from kew.app.ports import TaskStore


class Inside(TaskStore, Protocol):
    """The store from inside: its functions in Redis, its keys, and what it knows of Redis's clock."""

    keys: Keys
    functions: Functions
    aside: Aside

    def saw(self, now_ms: int) -> None: ...
    def believed_ms(self) -> int: ...
