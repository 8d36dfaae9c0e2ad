"""Invented schedules: one of every state, for the pages of schedules."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from kew.app.scheduling.timetables import (
    following,
    instant_of,
    local,
    simulator,
    timetable,
    zone_of,
)
from kew.domain.schedule import EPOCH, tick_id

Values = dict[str, Any]
MOST = 50


SCHEDULES: Values = {
    "nightly-report": {"cron": "30 2 * * mon-fri", "source": "code"},
    "sync-accounts": {"every": 300, "overlap": "one", "source": "code"},
    "invoices": {"cron": "0 9 1 * *", "tz": "America/New_York", "missed": "all", "source": "code"},
    "remind-acme": {"cron": "15 8-18/2 * * *", "jitter": 300.0},
    "old-import": {"cron": "0 4 * * *", "source": "code", "undeclared": True},
    "rebuild-index": {"cron": "0 */6 * * *", "note": "eve: wrong sums"},
}


def schedules(user: Callable[[str], str], count: int = MOST) -> list[Values]:
    """All of them, with so many ticks. `user` gives the texts that users choose."""
    return [_row(user, count, place, name) for place, name in enumerate(SCHEDULES)]


def _row(user: Callable[[str], str], count: int, place: int, name: str) -> Values:
    said = SCHEDULES[name]
    cron, every, zone = said.get("cron"), said.get("every"), said.get("tz", "Europe/Berlin")
    tz = zone_of(zone if cron else "UTC")
    times = timetable(cron or "", (every or 0) * 1000, str(tz), None, None)
    now = instant_of(datetime.now(UTC))
    is_paused = "note" in said
    last, due = times.until(now), [] if is_paused else following(times, now, count)
    assert last is not None
    shown = user(name)
    return {
        "queue": "reports",
        "function": user(f"shop.jobs:{name.replace('-', '_')}"),
        "cron": None,
        "every": None,
        "words": simulator(cron, EPOCH).explain() if cron else "Every 5 min",
        "overlap": "skip",
        "missed": "one",
        "catch_up": 86_400.0,
        "jitter": 0.0,
        "start": None,
        "end": None,
        "source": "data",
        "undeclared": False,
        "overdue": False,
        **said,
        "name": shown if shown == name else f"{shown}{place}",
        "tz": str(tz),
        "paused_time": _text(now - 7_200_000, tz) if is_paused else None,
        "note": user(said["note"]) if is_paused else "",
        "next_time": _text(due[0], tz) if due else None,
        "next_times": [_text(each, tz) for each in due],
        "last_time": _text(last, tz),
        "last_task_id": user(tick_id(name, last)),
    }


def _text(instant: int, zone: ZoneInfo) -> str:
    return local(instant, zone).isoformat()
