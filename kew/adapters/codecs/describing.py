"""Values that say in the payload what they are, for places whose annotation doesn't say it.

Plain data is written as it is. Any other value is a MessagePack extension that holds `[kind, content, ...]`. The kind
is a standard one, one that the user added, or a class that the function's annotations lead to. It is looked up and
never imported, so bytes in a store can't name a class that the function doesn't use.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import msgspec

from kew.adapters.codecs import classes
from kew.adapters.codecs.fitting import Check, Fitting
from kew.adapters.codecs.kinds import SCALARS, Form, Kinds, Unfit

DESCRIBED = 1  # the extension's code
SMALLEST_INT, LARGEST_INT = -(2**63), 2**64 - 1
AS_IS = Form("value", object, lambda value: (value,), lambda value: value)
_write = msgspec.msgpack.Encoder().encode


class Describer:
    """Writes and reads described values for one function: `scope` and `annotations` lead to the classes it uses."""

    def __init__(
        self, kinds: Kinds, fitting: Fitting, annotations: Iterable[Any], scope: Mapping[str, Any]
    ) -> None:
        self._kinds, self._fitting = kinds, fitting
        self.fields = classes.classes_in(annotations, scope)
        names = _names(self.fields)
        forms = [
            _class_form(
                names[kind], kind, {name: fitting.check(hint) for name, hint in hints.items()}
            )
            for kind, hints in self.fields.items()
            if kind in names
        ]
        self._by_kind = {form.kind: form for form in forms}
        self._by_name = {form.name: form for form in (AS_IS, *forms)}
        self.read = msgspec.msgpack.Decoder(ext_hook=self._read).decode
        self.read_call = _call_decoder(self._read)

    def write(self, value: object, *, marked: bool) -> bytes:
        """The bytes of a value. Raises `Unfit` for one of a kind that is unknown here.

        `marked`: `is_described` has to know them, though only something within the value is described.
        """
        written = _write(self._described(value))
        return (
            _write(self._extension(AS_IS, value))
            if marked and not is_described(written)
            else written
        )

    def writes(self, value: object) -> bool:
        """Whether a value is of kinds that are known here."""
        try:
            self._described(value)
        except Unfit:
            return False
        return True

    def encodes(self, value: object) -> bool:
        """Whether a value can be written at all."""
        try:
            self.write(value, marked=False)
        except Exception:  # noqa: BLE001 - reading a user's objects may raise anything
            return False
        return True

    def reads(self, value: object) -> bool:
        """Whether a value can be rebuilt from what was written."""
        try:
            self.read(self.write(value, marked=False))
        except Exception:  # noqa: BLE001 - the checks of a user's classes
            return False
        return True

    def knows(self, kind: type) -> bool:
        """Whether values of this very class are carried as a rule."""
        return kind in SCALARS or kind in self._kinds.by_kind or kind in self.fields or kind is list

    def fits(self, annotation: Any, value: object) -> bool:
        """Whether a value is what the annotation says."""
        return self._fitting.check(annotation)(value)

    def _described(self, value: Any) -> Any:
        kind = type(value)
        if kind is int:
            is_small = SMALLEST_INT <= value <= LARGEST_INT
            return value if is_small else self._extension(self._kinds.by_kind[int], value)
        if kind in SCALARS:
            return value
        if kind is list:
            return [self._described(each) for each in value]
        if kind is dict and SCALARS.issuperset(map(type, value)):
            return {key: self._described(each) for key, each in value.items()}
        form = self._kinds.by_kind.get(kind) or self._by_kind.get(kind)
        if form is None and kind in self.fields:
            raise Unfit(
                f"two classes in the function's annotations are called {kind.__qualname__}; rename one"
            )
        if form is None:
            raise Unfit(f"a value of type {kind.__qualname__} would not arrive as such")
        return self._extension(form, value)

    def _extension(self, form: Form, value: Any) -> Any:
        parts = form.apart(value)
        return msgspec.msgpack.Ext(
            DESCRIBED, _write([form.name, *(self._described(each) for each in parts)])
        )

    def _read(self, code: int, content: memoryview) -> Any:
        name, *parts = _parts(code, self.read(content))
        form = self._kinds.by_name.get(name) or self._by_name.get(name)
        if form is None:
            raise ValueError(f"{name!r} is not a type that the function's annotations lead to")
        return form.together(*parts)


def _class_form(name: str, kind: type, checks: Mapping[str, Check]) -> Form:
    return Form(name, kind, classes.apart, partial(classes.together, kind, checks))


def _names(kinds: Iterable[type]) -> dict[type, str]:
    """What each class is called in payloads; none for those that nothing sets apart.

    A module is named only where two classes have one name, and `__main__` never: it may be called otherwise elsewhere.
    """
    short = {kind: f"class {kind.__qualname__}" for kind in kinds}
    long = {kind: f"class {kind.__module__}:{kind.__qualname__}" for kind in kinds}
    shorts, longs = collections.Counter(short.values()), collections.Counter(long.values())
    mains = {short[kind] for kind in kinds if kind.__module__ == "__main__"}
    return {
        kind: name if shorts[name] == 1 else long[kind]
        for kind, name in short.items()
        if shorts[name] == 1 or (longs[long[kind]] == 1 and name not in mains)
    }


def _parts(code: int, read: Any) -> list[Any]:
    if code != DESCRIBED:
        raise ValueError(f"MessagePack extension {code} is not data that kew writes")
    if not isinstance(read, list) or len(read) < 2 or not isinstance(read[0], str):
        raise ValueError("a described value must name its type")
    return read


def _call_decoder(hook: Callable[[int, memoryview], Any]) -> Callable[[bytes], Any]:
    return msgspec.msgpack.Decoder(tuple[list[Any], dict[str, Any]], ext_hook=hook).decode


def _plainly(code: int, content: memoryview) -> Any:
    """The content of a described value, without what it is."""
    name, shown, *_ = _parts(code, read_plain(content))
    return _as_dict(shown) if name == "pairs" else shown


def _as_dict(pairs: Any) -> Any:
    try:
        return {tuple(key) if isinstance(key, list) else key: value for key, value in pairs}
    except (TypeError, ValueError):  # keys that are dicts, or lists of lists
        return pairs


# Described values as plain data: a tuple is a list, a UUID is text, a dataclass is a dict.
read_plain = msgspec.msgpack.Decoder(ext_hook=_plainly).decode
read_call_plain = _call_decoder(_plainly)


def is_described(written: bytes | memoryview | msgspec.Raw) -> bool:
    """Whether these are the bytes of a described value."""
    head = bytes(memoryview(written)[:6])
    place = {0xC7: 2, 0xC8: 3, 0xC9: 5, **dict.fromkeys(range(0xD4, 0xD9), 1)}.get(
        head[0] if head else 0
    )
    return place is not None and head[place : place + 1] == bytes([DESCRIBED])
