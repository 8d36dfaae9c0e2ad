"""The codec: calls and results as bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

Function = Callable[..., object]
Arguments = tuple[Sequence[Any], Mapping[str, Any]]
Binding = tuple[str, str]
"""The task that bytes belong to: the name of its function, and its id. A codec that signs binds the bytes to both."""
UNBOUND: Binding = ("", "")


class Codec(Protocol):
    """Turns calls and results into bytes and back. Raises only `CodecError`, for what it can't convert.

    `binding` names the task; bytes encoded for one task need not decode for another.
    """

    carries_functions: bool  # True: a function may be an argument, so closures need no pin

    def encode_call(
        self,
        function: Function,
        args: Sequence[object],
        kwargs: Mapping[str, object],
        binding: Binding = UNBOUND,
    ) -> bytes:
        """The payload of a call. Refuses arguments that would not arrive as they are."""
        ...

    def decode_call(
        self, payload: bytes, function: Function, binding: Binding = UNBOUND
    ) -> Arguments:
        """The arguments, as they were sent."""
        ...

    def encode_result(
        self, value: object, function: Function | None = None, binding: Binding = UNBOUND
    ) -> bytes:
        """The bytes of what `function` returned."""
        ...

    def decode_result(
        self, result: bytes, function: Function | None = None, binding: Binding = UNBOUND
    ) -> Any:
        """The result as `function` returned it; without a function, as plain data."""
        ...
