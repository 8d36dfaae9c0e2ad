"""A queue's settings between Python and Redis, and what else its state remembers: why it is held, and who did what.

`lua/include/overrides.lua` rewrites the text of the settings, and says what its `overrides=` means.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from kew.domain.breaker import BreakerState, Cause, Transition
from kew.domain.config import Settings, SettingValue
from kew.domain.holding import Hold, Signature
from kew.domain.key_limits import OwnLimits

LATER: Final = {
    field.name: field for field in attrs.fields(Settings) if field.metadata.get("later")
}
FORMATS: Final = {name: field.metadata["format"] for name, field in LATER.items()}
"""The first format of settings that knows them; 0: none is needed."""
FORMAT: Final = max(FORMATS.values())  # what this code knows
SETTINGS: Final = frozenset(attrs.fields_dict(Settings))
HOLD: Final = "hold:"  # a field of a queue's state: since when and why it is held
SIGNED: Final = "set:"  # another one: who overrode a setting, and when
TRANSITION: Final = "breaker:"  # another one: what the breaker did


def write_settings(settings: Settings) -> str:
    """`name=value` for each setting, in the order of the class; `-` for one that isn't stored: it has its default.

    `format`: what a process must know to obey them, if it is more than every version knows.
    """
    values = {name: getattr(settings, name) for name in attrs.fields_dict(Settings)}
    used = [name for name, field in LATER.items() if values[name] != field.default]
    values |= {name: () for name in LATER if name not in used}
    values["format"] = max((FORMATS[name] for name in used), default=0) or ()
    return " ".join(f"{name}={_setting_text(value)}" for name, value in values.items())


def _setting_text(value: int | tuple[tuple[int, ...], ...]) -> str:
    """A number, or a list of tuples of numbers: `100:60000:0,10:1000:5`; `-` for an empty one."""
    if isinstance(value, int):
        return f"{value:d}"
    return ",".join(":".join(map(str, each)) for each in value) or "-"


def _setting(text: str) -> Any:
    if ":" not in text:
        return int(text)
    return tuple(tuple(map(int, each.split(":"))) for each in text.split(","))


def write_overrides(values: Mapping[str, SettingValue], removed: Iterable[str]) -> str:
    """Changes of overrides as `lua/include/overrides.lua` reads them: `name~value` each, and `name~!` to remove one.

    What stands for nothing is `-`: an empty list, and no timeout.
    """
    texts = {name: _setting_text(value) for name, value in values.items()}
    return ";".join(
        f"{name}~{text}" for name, text in (*texts.items(), *((name, "!") for name in removed))
    )


def read_settings(text: str) -> Settings:
    """The settings in force; names that this version doesn't know are ignored, those that it misses are as by default.

    What is overridden is in force even if a process of an earlier version has declared another value.
    """
    found = dict(_pairs(text)) | {name: value for name, value, _ in _overrides(text)}
    return Settings(
        **{
            name: _setting(value)
            for name, value in found.items()
            if name in SETTINGS and value != "-"
        }
    )


def read_declared(text: str) -> dict[str, SettingValue]:
    """What the code declares in place of each overridden setting."""
    return {
        name: getattr(Settings(), name) if declared == "-" else _setting(declared)
        for name, _, declared in _overrides(text)
        if name in SETTINGS
    }


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    return ((name, value) for name, _, value in (pair.partition("=") for pair in text.split()))


def _overrides(text: str) -> Iterator[tuple[str, str, str]]:
    """Each overridden setting, its value, and what the code declares."""
    if "overrides=" not in text:
        return
    found = dict(_pairs(text))
    for entry in filter(None, found.get("overrides", "").split(";")):
        name, value, declared = entry.split("~")
        now = found.get(name, "-")
        yield name, value, declared if now == value else now


def write_own_limits(own: OwnLimits | None, lasts_ms: int) -> str:
    """A key's limits as `lua/limit_key.lua` takes them, and for how long they last; `-` for none.

    No rates at all is `0`, and what is as declared `-`.
    """
    if own is None:
        return "-"
    rates = "-" if own.rates is None else _setting_text(own.rates).replace("-", "0")
    workers, size = ("-" if value is None else str(value) for value in (own.workers, own.size))
    return f"{workers} {rates} {size} {lasts_ms}"


def read_own_limits(text: bytes) -> OwnLimits:
    """The limits that a key has of its own."""
    workers, rates, size, ends_at = text.decode().split()
    return OwnLimits(
        workers=None if workers == "-" else int(workers),
        rates=None if rates == "-" else () if rates == "0" else _setting(rates),
        size=None if size == "-" else int(size),
        ends_at=int(ends_at),
    )


def read_holds(flat: Sequence[bytes]) -> dict[str, Hold]:
    """Since when and why it is paused or draining, from fields and values of its state; others are passed over."""
    holds = {}
    for field, text in zip(flat[::2], flat[1::2], strict=True):
        if field.startswith(HOLD.encode()):
            since_at, _, rest = text.decode(errors="replace").partition(" ")
            note, _, by = rest.partition("\t")
            holds[field.decode().removeprefix(HOLD)] = Hold(int(since_at), note, by)
    return holds


def read_signatures(settings: str, flat: Sequence[bytes]) -> dict[str, Signature]:
    """Who set the overrides in these settings, from fields and values of the state; others are passed over.

    A signature holds for the value that stands in it: a process of an earlier version signs nothing.
    """
    values, signed = {name: value for name, value, _ in _overrides(settings)}, {}
    for field, text in zip(flat[::2], flat[1::2], strict=True):
        if field.startswith(SIGNED.encode()):
            name = field.decode().removeprefix(SIGNED)
            at, value, by = text.decode(errors="replace").split(" ", 2)
            if values.get(name) == value:
                signed[name] = Signature(int(at), by)
    return signed


def read_transitions(flat: Sequence[bytes]) -> dict[int, Transition]:
    """What the breaker did last, by slot, from fields and values of the state; others are passed over."""
    log = {}
    for field, text in zip(flat[::2], flat[1::2], strict=True):
        if field.startswith(TRANSITION.encode()):
            epoch, at, state, cause, size, rest = text.split(b" ", 5)
            task_id, why = rest[: int(size)], rest[int(size) :]
            log[int(field.decode().removeprefix(TRANSITION))] = Transition(
                epoch=int(epoch),
                at=int(at),
                state=BreakerState(state.decode()),
                cause=Cause(cause.decode()),
                task_id=task_id.decode(errors="replace"),
                why=why.decode(errors="replace"),
            )
    return log
