"""The default codec: MessagePack by msgspec. Data, never code.

A call is the array `[args, kwargs]`, a result one value. The promise: *a value arrives equal and of the same type, or
it is refused when it is encoded*. Each value is written in the first of three ways that keeps the promise:

1. Plain data (None, bool, int, float, str, bytes, lists and dicts of these) as MessagePack has it.
2. A value whose annotation says all about it (`list[Order]`) as plain data, which msgspec decodes by the annotation.
3. Any other value *described*: the payload says what it is (see `describing`).

Ways 2 and 3 are tried out: the bytes are decoded, and what arrives is compared with what was sent. A value is checked
against its annotation, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from kew.adapters.codecs import advice, refusals
from kew.adapters.codecs.annotations import Reader
from kew.adapters.codecs.describing import is_described, read_call_plain, read_plain
from kew.adapters.codecs.kinds import SCALARS, Kinds, Types, Unfit
from kew.adapters.codecs.plans import MOST_SHAPES, CodingPlan, Plans, Slot
from kew.adapters.codecs.sameness import difference
from kew.app.ports import UNBOUND, Arguments, Binding, Codec, CodecError
from kew.compat import override

# Bytes that may begin an array or a map. A payload with few of them can't be nested deeply, which is
# faster to see than to walk the data; bytes of texts and numbers only make it look deeper.
HEADERS = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
NO_HEADERS = bytes(set(range(256)) - set(HEADERS))
PLAIN = SCALARS | {list, dict}


class MessagePackCodec(Codec):
    """Carries data; functions go by name. Sizes are in bytes.

    `types` teaches it further classes: `{Money: (str, Money)}` maps each to a function that turns a value into plainer
    data and one that makes the value of that. Every process needs the same.
    """

    carries_functions = False

    def __init__(
        self,
        *,
        types: Types | None = None,
        max_payload_bytes: int = refusals.MAX_PAYLOAD_BYTES,
        max_result_bytes: int = refusals.MAX_RESULT_BYTES,
    ) -> None:
        self._max_payload = refusals.check_limit("max_payload_bytes", max_payload_bytes)
        self._max_result = refusals.check_limit("max_result_bytes", max_result_bytes)
        self._plans = Plans(Kinds(types))
        self._write = msgspec.msgpack.Encoder().encode
        self._read_raw = msgspec.msgpack.Decoder(
            tuple[list[msgspec.Raw], dict[str, msgspec.Raw]]
        ).decode

    @override
    def encode_call(
        self,
        function: Callable[..., object],
        args: Sequence[object],
        kwargs: Mapping[str, object],
        binding: Binding = UNBOUND,
    ) -> bytes:
        plan = self._plans.of(function)
        kinds = (
            (*map(type, args), *kwargs, *map(type, kwargs.values()))
            if kwargs
            else tuple(map(type, args))
        )
        if kinds in plan.safe or _are_plain(plan, kinds, args, kwargs):
            try:
                payload = self._write((args, kwargs))
            except Exception:  # noqa: BLE001 - the value that can't be written is found below
                payload = self._by_argument(plan, args, kwargs)
        else:
            payload = self._by_argument(plan, args, kwargs)
        if len(payload) > refusals.MAX_DEPTH:
            refusals.check_size("arguments", payload, self._max_payload)
        return payload

    @override
    def decode_call(
        self, payload: bytes, function: Callable[..., object], binding: Binding = UNBOUND
    ) -> Arguments:
        plan = self._plans.of(function)
        if len(payload) > refusals.MAX_DEPTH:
            refusals.check_size("arguments", payload, self._max_payload)
            _check_depth_of_call(plan, payload)
        if plan.converts:
            return self._converted(payload, plan)
        return _read("arguments", plan.describer.read_call, payload)  # type: ignore[no-any-return]  # its type

    def read_call(self, payload: bytes, binding: Binding = UNBOUND) -> Arguments:
        """The arguments as plain data, without the function: for people. Raises `CodecError`."""
        refusals.check_size("arguments", payload, self._max_payload)
        args, kwargs = _read("arguments", read_call_plain, payload)
        refusals.check_depth("arguments", [args, kwargs])
        return args, kwargs

    @override
    def encode_result(
        self,
        value: object,
        function: Callable[..., object] | None = None,
        binding: Binding = UNBOUND,
    ) -> bytes:
        plan = self._plans.of(function)
        if type(value) in plan.result.safe:
            try:
                result = self._write(value)
            except Exception:  # noqa: BLE001 - the reason is found below
                result = self._carried(plan, plan.result, value)
        else:
            result = self._carried(plan, plan.result, value)
        return refusals.check_size("result", result, self._max_result)

    @override
    def decode_result(
        self,
        result: bytes,
        function: Callable[..., object] | None = None,
        binding: Binding = UNBOUND,
    ) -> Any:
        if len(result) > refusals.MAX_DEPTH:
            refusals.check_size("result", result, self._max_result)
            _check_depth("result", result)
        if function is None:
            return _read("result", read_plain, result)
        plan = self._plans.of(function)
        return _read_one(plan, plan.result, result)

    def _by_argument(
        self, plan: CodingPlan, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> bytes:
        by_place = [
            msgspec.Raw(self._carried(plan, plan.at(place), value))
            for place, value in enumerate(args)
        ]
        by_name = {
            name: msgspec.Raw(self._carried(plan, plan.of(name), value))
            for name, value in kwargs.items()
        }
        try:
            return self._write((by_place, by_name))
        except Exception as error:  # a keyword that is no Unicode
            raise CodecError(
                "arguments", f"can't be encoded: {refusals.reason_of(error)}"
            ) from error

    def _carried(self, plan: CodingPlan, slot: Slot, value: object) -> bytes:
        """The bytes of one value, which were decoded to see that it arrives. Else `CodecError`."""
        try:
            if not slot.check(value):
                raise advice.misfit(plan, slot, value)
            written = self._plainly(slot, value)
            return self._described(plan, slot, value) if written is None else written
        except CodecError:
            raise
        except (RecursionError, TooDeep):
            raise refusals.too_deep(slot.where) from None
        except Unfit as error:
            raise advice.unfit(plan, slot, value, error) from None
        except Exception as error:  # reading a user's objects may raise anything
            raise advice.unwritable(plan, slot, value, error) from error

    def _plainly(self, slot: Slot, value: object) -> bytes | None:
        """The value as plain data, which is decoded by the annotation if there is one; None: it would not arrive so."""
        if slot.reader is None and not _is_plain(value):
            return None
        try:
            written = self._write(value)
            if slot.reader is not None and difference(value, slot.reader(written)):
                return None
        except Exception:  # noqa: BLE001 - reading a user's objects may raise anything
            return None
        _check_depth(slot.where, written)
        return written

    def _described(self, plan: CodingPlan, slot: Slot, value: object) -> bytes:
        written = plan.describer.write(value, marked=slot.reader is not None)
        _check_depth(slot.where, written)
        try:
            arrived = plan.describer.read(written)
        except RecursionError:
            raise
        except Exception as error:  # the checks of a user's classes
            raise advice.unreadable(plan, slot, value, error) from error
        if found := difference(value, arrived):
            raise advice.changed(slot, value, found)
        return written

    def _converted(self, payload: bytes, plan: CodingPlan) -> Arguments:
        args, kwargs = _read("arguments", self._read_raw, payload)
        return (
            [_read_one(plan, plan.at(place), raw) for place, raw in enumerate(args)],
            {name: _read_one(plan, plan.of(name), raw) for name, raw in kwargs.items()},
        )


class TooDeep(Exception):
    """Plain data is nested deeper than `MAX_DEPTH`."""


def _are_plain(
    plan: CodingPlan,
    kinds: tuple[object, ...],
    args: Sequence[object],
    kwargs: Mapping[str, object],
) -> bool:
    """Whether the arguments arrive as plain data, and fit. The plan remembers types that always do."""
    is_always = True
    for slot, value in plan.slots(args, kwargs):
        if type(value) not in slot.safe:
            is_always = False
            if type(value) not in PLAIN or slot.reader is not None or not slot.fits(value):
                return False
    if is_always and len(plan.safe) < MOST_SHAPES:
        plan.safe.add(kinds)
    return is_always or _all_plain([*args, *kwargs.values()]) is True


def _is_plain(value: object) -> bool:
    """Whether it is plain data down to the last element. Raises `TooDeep`."""
    found = _all_plain([value])
    if found is None:
        raise TooDeep
    return found


def _all_plain(level: list[Any]) -> bool | None:
    """Whether these are plain data, level by level; None: nested too deep."""
    for _ in range(refusals.MAX_DEPTH + 1):
        kinds = set(map(type, level))
        if not kinds <= PLAIN:
            return False
        if kinds <= SCALARS:
            return True
        # Each container once: one that contains itself twice would double the next level forever.
        containers = {id(item): item for item in level if type(item) in (dict, list)}
        level = []
        for item in containers.values():
            level += item
            if type(item) is dict:
                level += item.values()
    return None


def _may_be_deep(written: bytes) -> bool:
    return len(written.translate(None, NO_HEADERS)) > refusals.MAX_DEPTH


def _check_depth(where: str, written: bytes) -> None:
    if _may_be_deep(written):
        refusals.check_depth(where, _read(where, read_plain, written))


def _check_depth_of_call(plan: CodingPlan, payload: bytes) -> None:
    if _may_be_deep(payload):
        args, kwargs = _read("arguments", read_call_plain, payload)
        for slot, value in plan.slots(args, kwargs):
            refusals.check_depth(slot.where, value)


def _read(where: str, reader: Reader, written: bytes) -> Any:
    try:
        return reader(written)
    except RecursionError:
        raise refusals.too_deep(where) from None
    except Exception as error:  # hostile bytes, and the checks of a user's classes
        raise CodecError(where, f"can't be decoded: {refusals.reason_of(error)}") from error


def _read_one(plan: CodingPlan, slot: Slot, raw: bytes) -> Any:
    if slot.reader is not None and not is_described(raw):
        return _read(slot.where, slot.reader, raw)
    value = _read(slot.where, plan.describer.read, raw)
    if slot.reader is not None and not slot.check(value):
        raise advice.misfit(plan, slot, value)
    return value
