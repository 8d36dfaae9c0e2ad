"""What an operation of a store is."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

import attrs

A = TypeVar("A", covariant=True)


@attrs.frozen
class Operation(Generic[A]):
    """A request that a store answers with an `A`.

    name: its name in traces, tables and messages.
    changes: whether it may change what the store holds; one that doesn't is a query.
    may_repeat: whether a caller that got no answer may send it again.
    is_awaited: whether a user's code may wait for the answer, and be cancelled meanwhile.
    is_shared: whether one request answers several callers at once; then a task of kew's own waits for the store.
    """

    name: ClassVar[str]
    changes: ClassVar[bool] = True
    may_repeat: ClassVar[bool] = True
    is_awaited: ClassVar[bool] = False
    is_shared: ClassVar[bool] = False

    @property
    def queue(self) -> str:
        """The queue that it concerns; "": the whole namespace."""
        return ""
