"""The opt-in codec: cloudpickle, signed. Whoever has the secret can run code in every process that has it.

What it writes is `HMAC-SHA256(secret, kind + body) + body`. The signature is checked before a byte is decoded, and the
kind keeps a result from being taken for a call. Signing proves who wrote it, not when: an old payload stays valid.
"""

from __future__ import annotations

import hmac
import importlib
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

from kew.adapters.codecs import refusals
from kew.adapters.codecs.plans import names_alone
from kew.app.ports import Arguments, Codec, CodecError
from kew.compat import override
from kew.domain.errors import InvalidConfigError

MIN_SECRET_BYTES = 16
SIGNATURE_BYTES = 32
CALL, RESULT = b"call:", b"result:"


class _Cloudpickle(Protocol):
    def dumps(self, obj: object) -> bytes: ...


class PickleCodec(Codec):
    """Carries whatever cloudpickle can, closures included. Sizes are in bytes, signature included."""

    carries_functions = True

    def __init__(
        self,
        secret: str | bytes,
        *,
        max_payload_bytes: int = refusals.MAX_PAYLOAD_BYTES,
        max_result_bytes: int = refusals.MAX_RESULT_BYTES,
    ) -> None:
        self._secret = _checked(secret)
        self._max_payload = refusals.check_limit("max_payload_bytes", max_payload_bytes)
        self._max_result = refusals.check_limit("max_result_bytes", max_result_bytes)
        self._cloudpickle = _imported()

    @override
    def encode_call(
        self, function: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object]
    ) -> bytes:
        try:
            payload = self._signed(CALL, (tuple(args), dict(kwargs)))
        except Exception as error:  # pickling runs the code of a user's objects
            raise self._blamed(_named(function, args, kwargs), error) from error
        return refusals.check_size("arguments", payload, self._max_payload)

    @override
    def decode_call(self, payload: bytes, function: Callable[..., object]) -> Arguments:
        refusals.check_size("arguments", payload, self._max_payload)
        return cast(Arguments, self._verified("arguments", CALL, payload))

    @override
    def encode_result(self, value: object) -> bytes:
        try:
            result = self._signed(RESULT, value)
        except Exception as error:  # pickling runs the code of a user's objects
            raise _unwritable("result", error) from error
        return refusals.check_size("result", result, self._max_result)

    @override
    def decode_result(self, result: bytes, annotation: object = None) -> Any:
        refusals.check_size("result", result, self._max_result)
        return self._verified("result", RESULT, result)

    def _signed(self, kind: bytes, value: object) -> bytes:
        body = self._cloudpickle.dumps(value)
        return self._signature(kind, body) + body

    def _signature(self, kind: bytes, body: bytes) -> bytes:
        return hmac.digest(self._secret, kind + body, "sha256")

    def _verified(self, where: str, kind: bytes, written: bytes) -> object:
        """The value, once the signature is known to be ours."""
        signature, body = written[:SIGNATURE_BYTES], written[SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(kind, body)):
            raise CodecError(where, "the signature is not of this secret, so it was not decoded")
        try:
            return pickle.loads(body)
        except Exception as error:  # unpickling imports and runs a user's code
            raise CodecError(
                where, f"can't be decoded: {type(error).__name__}: {refusals.reason_of(error)}"
            ) from error

    def _blamed(self, named: Sequence[tuple[str, object]], error: Exception) -> CodecError:
        """The error of the argument that can't be pickled alone either."""
        for where, value in named:
            try:
                self._cloudpickle.dumps(value)
            except Exception as raised:  # noqa: BLE001 - pickling runs the code of a user's objects
                return _unwritable(where, raised)
        return _unwritable("arguments", error)


def _named(
    function: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object]
) -> list[tuple[str, object]]:
    """How each argument is called in an error; a function that travels is the first of its own arguments."""
    plan = names_alone(function)
    carried, given = (args[:1], args[1:]) if args and args[0] is function else ((), args)
    return (
        [("function", value) for value in carried]
        + [(plan.at(place)[0], value) for place, value in enumerate(given)]
        + [(plan.of(name)[0], value) for name, value in kwargs.items()]
    )


def _unwritable(where: str, error: Exception) -> CodecError:
    return CodecError(
        where, f"can't be pickled: {type(error).__name__}: {refusals.reason_of(error)}"
    )


def _checked(secret: str | bytes) -> bytes:
    """The secret as bytes; an error never shows it."""
    if not isinstance(secret, str | bytes):
        raise InvalidConfigError(f"the pickle secret is text or bytes, not {type(secret).__name__}")
    as_bytes = secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else secret
    if len(as_bytes) < MIN_SECRET_BYTES:
        raise InvalidConfigError(
            f"the pickle secret has {len(as_bytes)} bytes; it needs {MIN_SECRET_BYTES} or more, "
            "such as those of secrets.token_hex(32), the same in every process"
        )
    return as_bytes


def _imported() -> _Cloudpickle:
    try:
        return cast(_Cloudpickle, importlib.import_module("cloudpickle"))
    except ImportError as error:
        raise InvalidConfigError(
            "the pickle codec needs cloudpickle; install it: pip install 'kew[pickle]'"
        ) from error
