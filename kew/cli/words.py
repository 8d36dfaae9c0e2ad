"""Instants, durations and numbers in words, as the commands print them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kew.domain.words import lasting

NONE = "-"


def when(value: datetime | str | None) -> datetime | None:
    """An instant that a public value has as a datetime or as ISO 8601 text."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def seconds(duration: float) -> str:
    """ "42 s", "14 min", "3 h 20 min"."""
    return lasting(round(duration * 1000))


def milliseconds(duration: timedelta) -> int:
    """A duration in the unit of the store."""
    return round(duration / timedelta(milliseconds=1))


def relative(instant: datetime | str | None, now: datetime) -> str:
    """ "3 min ago", "in 42 s", "now"; "-" for none."""
    at = when(instant)
    if at is None:
        return NONE
    ms = milliseconds(at - now)
    if abs(ms) < 50:
        return "now"
    return f"in {lasting(ms)}" if ms > 0 else f"{lasting(-ms)} ago"


def absolute(instant: datetime | str | None) -> str:
    """ "2026-11-30 10:31:02 UTC"; "-" for none."""
    at = when(instant)
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if at else NONE


def both(instant: datetime | str | None, now: datetime) -> str:
    """ "2026-11-30 10:31:02 UTC (3 min ago)"; "-" for none."""
    at = when(instant)
    return f"{absolute(at)} ({relative(at, now)})" if at else NONE


def counted(number: int, noun: str, plural: str = "") -> str:
    """ "1 task", "2,000 tasks"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def volume(count: float) -> str:
    """ "812 B", "8.0 KiB", "1.9 MiB"."""
    if count < 1024:
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1024:
            return (
                f"{count:.0f} {unit}"
                if count >= 100 or count == int(count)
                else f"{count:.1f} {unit}"
            )
    return f"{count / 1024:,.1f} TiB"
