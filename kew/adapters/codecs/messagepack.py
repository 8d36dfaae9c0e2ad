"""The default codec: MessagePack by msgspec. Data, never code.

A call is the array `[args, kwargs]`, a result one value. What is written depends on the values alone; what arrives
depends on the function's annotations: a value of an annotated type (dataclass, attrs class, msgspec Struct, datetime,
date, time, timedelta, UUID, Decimal, enum, set, tuple, and containers, unions and Optionals of these) arrives as such,
all else as plain data, unchecked. A call whose arguments would not arrive as annotated is refused when it is encoded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NoReturn

import msgspec

from kew.adapters.codecs import refusals
from kew.adapters.codecs.annotations import (
    Reader,
    is_value_type,
    read_plain,
    reader_of,
    refuse_extension,
)
from kew.adapters.codecs.plans import Plan, Plans
from kew.app.ports import Arguments, Codec, CodecError
from kew.compat import override

# Bytes that may begin an array or a map. A payload with few of them can't be nested deeply, which is
# faster to see than to walk the data; bytes of texts and numbers only make it look deeper.
HEADERS = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
NO_HEADERS = bytes(set(range(256)) - set(HEADERS))

ADVICE = (
    "pass plain data, or a dataclass, attrs class, msgspec Struct, datetime, UUID, Decimal or enum"
)


def _plainer(value: object) -> object:
    """What msgspec doesn't know: subclasses of scalars and of dates go as what they derive from."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, datetime):
        return datetime.combine(datetime.date(value), datetime.timetz(value))
    if isinstance(value, date):
        return date.fromordinal(date.toordinal(value))
    raise TypeError(f"{type(value).__qualname__!r} is no type of data; {ADVICE}")


class MessagePackCodec(Codec):
    """Carries data; functions go by name. Sizes are in bytes."""

    carries_functions = False

    def __init__(
        self,
        *,
        max_payload_bytes: int = refusals.MAX_PAYLOAD_BYTES,
        max_result_bytes: int = refusals.MAX_RESULT_BYTES,
    ) -> None:
        self._max_payload = refusals.check_limit("max_payload_bytes", max_payload_bytes)
        self._max_result = refusals.check_limit("max_result_bytes", max_result_bytes)
        self._plans = Plans()
        self._write = msgspec.msgpack.Encoder(enc_hook=_plainer).encode
        self._read_call = _decoder(tuple[list[Any], dict[str, Any]])
        self._read_raw = _decoder(tuple[list[msgspec.Raw], dict[str, msgspec.Raw]])

    @override
    def encode_call(
        self, function: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object]
    ) -> bytes:
        try:
            payload = self._write((args, kwargs))
        except Exception as error:  # noqa: BLE001 - reading a user's objects may raise anything
            self._blame(self._plans.of(function), args, kwargs, error)
        plan = self._plans.of(function)
        if len(payload) > refusals.MAX_DEPTH:
            refusals.check_size("arguments", payload, self._max_payload)
            self._check_depth(payload, plan)
        if plan.converts:
            self._rehearse(payload, plan, args, kwargs)
        else:
            self._read_back(payload, plan, args, kwargs)
        return payload

    @override
    def decode_call(self, payload: bytes, function: Callable[..., object]) -> Arguments:
        plan = self._plans.of(function)
        if len(payload) > refusals.MAX_DEPTH:
            refusals.check_size("arguments", payload, self._max_payload)
            self._check_depth(payload, plan)
        if plan.converts:
            return self._converted(payload, plan)
        return _read("arguments", self._read_call, payload)  # type: ignore[no-any-return]  # its type

    @override
    def encode_result(self, value: object) -> bytes:
        try:
            result = self._write(value)
        except Exception as error:  # reading a user's objects may raise anything
            raise _unwritable("result", error) from error
        refusals.check_size("result", result, self._max_result)
        plain = _read("result", read_plain, result)  # what nobody can read is not stored
        if _may_be_deep(result):
            refusals.check_depth("result", plain)
        return result

    @override
    def decode_result(self, result: bytes, annotation: object = None) -> Any:
        refusals.check_size("result", result, self._max_result)
        if _may_be_deep(result):
            refusals.check_depth("result", _read("result", read_plain, result))
        return _read("result", _result_reader(annotation), result)

    def _check_depth(self, payload: bytes, plan: Plan) -> None:
        if not _may_be_deep(payload):
            return
        args, kwargs = _read("arguments", self._read_call, payload)
        for where, value in _named(plan, args, kwargs):
            refusals.check_depth(where, value)

    def _converted(self, payload: bytes, plan: Plan) -> Arguments:
        args, kwargs = _read("arguments", self._read_raw, payload)
        return (
            [_read_one(*plan.at(place), raw) for place, raw in enumerate(args)],
            {name: _read_one(*plan.of(name), raw) for name, raw in kwargs.items()},
        )

    def _rehearse(
        self, payload: bytes, plan: Plan, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> None:
        """Decode what was encoded: what would not arrive as annotated is refused now, not in the worker."""
        arrived_args, arrived_kwargs = self._converted(payload, plan)
        for place, value in enumerate(args):
            where, reader = plan.at(place)
            _compare(where, reader, value, arrived_args[place])
        for name, value in kwargs.items():
            where, reader = plan.of(name)
            _compare(where, reader, value, arrived_kwargs[name])

    def _read_back(
        self, payload: bytes, plan: Plan, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> None:
        """Refuse what was written but that no worker could read (a key of a map that is no scalar)."""
        try:
            self._read_call(payload)
        except Exception:  # noqa: BLE001 - told below, of the argument that can't be read alone either
            for where, value in _named(plan, args, kwargs):
                _read(where, read_plain, self._write(value))
            _read("arguments", self._read_call, payload)

    def _blame(
        self, plan: Plan, args: Sequence[object], kwargs: Mapping[str, object], error: Exception
    ) -> NoReturn:
        """Find the argument that can't be encoded: alone it can't be either."""
        for where, value in _named(plan, args, kwargs):
            try:
                self._write(value)
            except Exception as raised:  # reading a user's objects may raise anything
                raise _unwritable(where, raised) from raised
        raise _unwritable("arguments", error) from error


def _decoder(kind: Any) -> Reader:
    return msgspec.msgpack.Decoder(kind, ext_hook=refuse_extension).decode


def _may_be_deep(written: bytes) -> bool:
    return len(written.translate(None, NO_HEADERS)) > refusals.MAX_DEPTH


def _named(
    plan: Plan, args: Sequence[object], kwargs: Mapping[str, object]
) -> list[tuple[str, object]]:
    by_place = [(plan.at(place)[0], value) for place, value in enumerate(args)]
    return by_place + [(plan.of(name)[0], value) for name, value in kwargs.items()]


def _read(where: str, reader: Reader, written: bytes) -> Any:
    try:
        return reader(written)
    except RecursionError:
        raise refusals.too_deep(where) from None
    except Exception as error:  # hostile bytes, and the checks of a user's classes
        raise CodecError(where, f"can't be decoded: {refusals.reason_of(error)}") from error


def _read_one(where: str, reader: Reader | None, raw: bytes) -> Any:
    return _read(where, reader or read_plain, raw)


def _compare(where: str, reader: Reader | None, sent: object, arrived: object) -> None:
    """Refuse what would silently become something else; without an annotation plain data is expected."""
    kind = type(sent)
    if reader is None or type(arrived) is kind or not is_value_type(kind):
        return
    try:
        is_equal = bool(sent == arrived)
    except Exception:  # noqa: BLE001 - a user's __eq__
        is_equal = False
    if not is_equal:
        raise CodecError(
            where,
            f"a {kind.__qualname__} would arrive as a {type(arrived).__qualname__}; "
            "annotate the parameter with the type that is passed",
        )


def _unwritable(where: str, error: Exception) -> CodecError:
    if isinstance(error, RecursionError):
        return refusals.too_deep(where)
    return CodecError(where, f"can't be encoded: {refusals.reason_of(error)}")


def _result_reader(annotation: object) -> Reader:
    try:
        return _cached_result_reader(annotation)
    except TypeError:  # unhashable
        return reader_of(annotation) or read_plain


@functools.lru_cache(maxsize=1024)
def _cached_result_reader(annotation: object) -> Reader:
    if annotation is None or isinstance(annotation, str):
        return read_plain
    return reader_of(annotation) or read_plain
