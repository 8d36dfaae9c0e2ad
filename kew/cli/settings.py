"""Settings as a person types them: `max_workers=5 rate=100/60 task_timeout=2m rate=none`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import click

from kew import Rate
from kew.cli.words import seconds
from kew.domain.overrides import SETTING_OF
from kew.domain.suggestions import did_you_mean

UNITS: Final[Mapping[str, float]] = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)?")
RATE: Final = re.compile(r"(\d+)/([^/:]+)(?::(\d+))?")
DURATIONS: Final = frozenset({"retry_delay", "task_timeout", "circuit_breaker_reset_timeout"})
PRIORITIES: Final = {1: "high", 2: "medium", 3: "low"}
TIMES: Final = DURATIONS | {"task_ttl", "dead_letter_ttl"}
HOW = "NAME=VALUE, such as max_workers=5, rate=100/60s, task_timeout=2min, rate=none"


def duration_of(text: str) -> float:
    """Seconds: "1.5", "90s", "2min", "3h". Raises `click.BadParameter`."""
    found = DURATION.fullmatch(text.strip())
    if not found:
        raise click.BadParameter(
            f"{text!r} is no duration: give seconds, or a number with ms, s, min, h or d"
        )
    return float(found[1]) * UNITS[found[2] or "s"]


def rate_of(text: str) -> Rate | tuple[Rate, ...]:
    """ "100/60s" is 100 in any minute, "100/60s:5" the same in bursts of 5, "10/1s,100/1h" both."""
    found = []
    for piece in text.split(","):
        parts = RATE.fullmatch(piece.strip())
        if not parts:
            raise click.BadParameter(f"{piece!r} is no rate: give COUNT/DURATION, such as 100/60s")
        per = parts[2] if parts[2][0].isdigit() else f"1{parts[2]}"
        found.append(Rate(int(parts[1]), duration_of(per), int(parts[3]) if parts[3] else None))
    return found[0] if len(found) == 1 else tuple(found)


def settings_of(pairs: Iterable[str]) -> dict[str, Any]:
    """Overrides by name. Raises `click.BadParameter`."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r} has no value: give {HOW}")
        if name not in SETTING_OF:
            meant = did_you_mean(name, SETTING_OF)
            raise click.BadParameter(
                f"{name!r} can't be set{meant} (what can: {', '.join(SETTING_OF)})"
            )
        values[name] = _value(name, text)
    return values


def _value(name: str, text: str) -> Any:
    if text.lower() == "none":
        return None
    if name == "rate":
        return rate_of(text)
    if name in DURATIONS:
        return duration_of(text)
    return number_of(text)


def number_of(text: str) -> int:
    """A whole number. Raises `click.BadParameter`."""
    try:
        return int(text.replace("_", ""))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no whole number") from None


def arguments_of(texts: Iterable[str]) -> tuple[list[Any], dict[str, Any]]:
    """Arguments of a call: each is JSON or, if it isn't, text; `NAME=VALUE` passes it by name."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if equals and name.isidentifier():
            kwargs[name] = json_or_text(value)
        elif kwargs:
            raise click.BadParameter(f"{text!r} stands behind an argument that is passed by name")
        else:
            args.append(json_or_text(text))
    return args, kwargs


def json_or_text(text: str) -> Any:
    """The value of a JSON text, or the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def value_text(name: str, value: Any) -> str:
    """A setting's plain value for people: "5", "90 s", "100 in 60 s", "none"."""
    if value is None or value == []:
        return "none"
    if name in TIMES:
        return seconds(value).removesuffix(" 0 min")
    if name == "priority":
        return PRIORITIES.get(value, str(value))
    if isinstance(value, list):
        return ", ".join(map(_rate_text, value))
    return str(value)


def _rate_text(rate: Mapping[str, Any]) -> str:
    burst = f", {rate['burst']} at once" if rate["burst"] else ""
    return f"{rate['count']:,} in {seconds(rate['per'])}{burst}"


def instant_of(text: str) -> datetime:
    """Raises `click.BadParameter`."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no instant: write 2026-11-30 or 2026-11-30T08:00:00+01:00"
        ) from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
