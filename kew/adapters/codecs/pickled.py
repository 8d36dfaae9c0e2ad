"""The opt-in codec: cloudpickle, signed. Anyone who has the secret can run code in every process that accepts it.

What it writes is `HMAC-SHA256(secret, kind + function's name + task id + body) + body`, each part with its length. The
signature is checked before a byte is decoded. It binds the bytes to their purpose (a call or a result), to the function
and to the task: someone who can write to the store, but lacks the secret, can't pass them to another function or under
another id. It proves who wrote the bytes, not when: an id that is used again for the same function accepts old bytes.

What was pickled is unpickled at once: some classes can be pickled only, such as exceptions whose `__init__` takes other
arguments than they hand to `Exception`. What arrives is not compared, since a class decides itself what it pickles.
"""

from __future__ import annotations

import hmac
import importlib
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

from kew.adapters.codecs import refusals
from kew.adapters.codecs.plans import called, names_alone
from kew.app.ports import UNBOUND, Arguments, Binding, Codec, CodecError
from kew.compat import override
from kew.domain.errors import InvalidConfigError

MIN_SECRET_BYTES = 16
SIGNATURE_BYTES = 32
UNTRUSTED = (
    "the signature doesn't match this task and any accepted secret, so the bytes were not decoded; they were signed "
    "with another secret (give that one as also_accept=[...]), changed, or copied from another task"
)
CALL, RESULT = b"call", b"result"


class _Cloudpickle(Protocol):
    def dumps(self, obj: object) -> bytes: ...


class PickleCodec(Codec):
    """Carries whatever cloudpickle can, closures included. Sizes are in bytes, signature included.

    `secret` signs, and is accepted. `also_accept`: further secrets whose signatures are accepted but never written. To
    replace a secret, give every process both (`PickleCodec(old, also_accept=[new])`), then sign with the new one
    (`PickleCodec(new, also_accept=[old])`), and drop the old one once no task or result signed with it is left.
    """

    carries_functions = True

    def __init__(
        self,
        secret: str | bytes,
        *,
        also_accept: Sequence[str | bytes] = (),
        max_payload_bytes: int = refusals.MAX_PAYLOAD_BYTES,
        max_result_bytes: int = refusals.MAX_RESULT_BYTES,
    ) -> None:
        self._secrets = (_checked(secret), *_checked_all(also_accept))
        self._max_payload = refusals.check_limit("max_payload_bytes", max_payload_bytes)
        self._max_result = refusals.check_limit("max_result_bytes", max_result_bytes)
        self._cloudpickle = _imported()

    @override
    def encode_call(
        self,
        function: Callable[..., object],
        args: Sequence[object],
        kwargs: Mapping[str, object],
        binding: Binding = UNBOUND,
    ) -> bytes:
        try:
            payload = self._signed(CALL, binding, (tuple(args), dict(kwargs)))
        except Exception as error:  # pickling runs the code of a user's objects
            raise self._blamed(_named(function, args, kwargs), error) from error
        return refusals.check_size("arguments", payload, self._max_payload)

    @override
    def decode_call(
        self, payload: bytes, function: Callable[..., object], binding: Binding = UNBOUND
    ) -> Arguments:
        refusals.check_size("arguments", payload, self._max_payload)
        return cast(Arguments, self._verified("arguments", CALL, binding, payload))

    @override
    def encode_result(
        self,
        value: object,
        function: Callable[..., object] | None = None,
        binding: Binding = UNBOUND,
    ) -> bytes:
        try:
            result = self._signed(RESULT, binding, value)
        except Exception as error:  # pickling runs the code of a user's objects
            raise _unwritable("result", error) from error
        return refusals.check_size("result", result, self._max_result)

    @override
    def decode_result(
        self,
        result: bytes,
        function: Callable[..., object] | None = None,
        binding: Binding = UNBOUND,
    ) -> Any:
        refusals.check_size("result", result, self._max_result)
        return self._verified("result", RESULT, binding, result)

    def _signed(self, kind: bytes, binding: Binding, value: object) -> bytes:
        body = self._pickled(value)
        return hmac.digest(self._secrets[0], _message(kind, binding, body), "sha256") + body

    def _pickled(self, value: object) -> bytes:
        """The bytes of a value, which were read to see that they can be."""
        body = self._cloudpickle.dumps(value)
        try:
            pickle.loads(body)
        except Exception as error:
            raise Unreadable(f"{type(error).__name__}: {refusals.reason_of(error)}") from error
        return body

    def _verified(self, where: str, kind: bytes, binding: Binding, written: bytes) -> object:
        """The value, decoded only after its signature was found valid."""
        signature, body = written[:SIGNATURE_BYTES], written[SIGNATURE_BYTES:]
        message = _message(kind, binding, body)
        if not any(
            hmac.compare_digest(signature, hmac.digest(secret, message, "sha256"))
            for secret in self._secrets
        ):
            raise CodecError(where, UNTRUSTED)
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
                self._pickled(value)
            except Exception as raised:  # noqa: BLE001 - pickling runs the code of a user's objects
                return _unwritable(where, raised)
        return _unwritable("arguments", error)


class Unreadable(Exception):
    """A value can be pickled, but what was pickled can't be read; the text says why."""


def _message(kind: bytes, binding: Binding, body: bytes) -> bytes:
    """What is signed: each part with its length, so that no two tasks share a message."""
    parts = (kind, *(part.encode("utf-8", "surrogatepass") for part in binding))
    return b"".join(b"%d:%b" % (len(part), part) for part in parts) + body


def _named(
    function: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object]
) -> list[tuple[str, object]]:
    """How each argument is called in an error; a function that travels is the first of its own arguments."""
    names = names_alone(function)
    carried, given = (args[:1], args[1:]) if args and args[0] is function else ((), args)
    return (
        [("function", value) for value in carried]
        + [(called(names, place), value) for place, value in enumerate(given)]
        + [(f"argument {name!r}", value) for name, value in kwargs.items()]
    )


def _unwritable(where: str, error: Exception) -> CodecError:
    if isinstance(error, Unreadable):
        return CodecError(
            where,
            f"it can be pickled, but not be unpickled: {error}; give its class a __reduce__, or pass plain data",
        )
    return CodecError(
        where, f"can't be pickled: {type(error).__name__}: {refusals.reason_of(error)}"
    )


def _checked_all(secrets: object) -> list[bytes]:
    if isinstance(secrets, str | bytes) or not isinstance(secrets, Sequence):
        raise InvalidConfigError(
            f"also_accept takes a list of secrets, not {type(secrets).__name__}"
        )
    return [_checked(secret) for secret in secrets]


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
