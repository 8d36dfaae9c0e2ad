"""A queue's status in words, as several commands show it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from kew.cli.output import Column, one_line
from kew.cli.session import Session
from kew.cli.settings import value_text
from kew.cli.words import both, counted, relative, seconds
from kew.domain.incarnations import place_of

LIST = (
    Column("QUEUE", gives_way=True),
    Column("STATE", gives_way=True),
    Column("RUNNING", is_right=True),
    Column("WAITING", is_right=True),
    Column("PROCESSES", is_right=True),
)
STYLES = {"critical": "bold red", "warning": "yellow", "info": "cyan"}
WORDS = {
    "breaker_open": "breaker open",
    "breaker_half_open": "breaker half open",
    "no_process": "no process",
    "function_unknown": "function unknown",
    "dead_letters": "dead letters",
    "unreadable": "unreadable records",
    "newer": "newer records",
    "waits_long": "waits long",
    "lost": "lost workers",
}
"""States that an item of attention names by more than its code."""


async def statuses_of(session: Session) -> list[dict[str, Any]]:
    """The status of each queue, in the order of their names."""
    return await session.manager.get_queue_statuses()


def row(status: dict[str, Any]) -> list[str | int | Text]:
    """A queue's line in a list."""
    return [
        status["name"],
        state_of(status),
        f"{status['current_workers']}/{status['max_workers']}",
        status["queued_tasks"],
        len(status["processes"]),
    ]


def state_of(status: dict[str, Any]) -> Text:
    """A queue's state in a few words: "paused, breaker open", "working", "idle"."""
    items = status["attention"]
    if not items:
        return Text("working" if status["current_workers"] else "idle", style="green")
    words = dict.fromkeys(WORDS.get(item["code"], item["code"]) for item in items)
    return Text(", ".join(words), style=STYLES[items[0]["severity"]])


def facts(
    status: dict[str, Any], now: datetime, of_waiting: Mapping[str, str | None]
) -> dict[str, str | Text | None]:
    """A queue's status in words; `of_waiting` stands behind how many tasks wait."""
    by_priority = status["queued_by_priority"]
    names = {"1": "high", "2": "medium", "3": "low"}
    parts = [f"{names.get(str(at), at)} {count:,}" for at, count in by_priority.items() if count]
    waiting = f"{status['queued_tasks']:,} of at most {status['max_size']:,}"
    return {
        "queue": status["name"],
        "state": state_of(status),
        "running": f"{status['current_workers']} of at most {status['max_workers']}",
        "waiting": waiting + (f" ({', '.join(parts)})" if parts else ""),
        **of_waiting,
        "keys": keys_text(status["keys"]) or None,
        "breaker": breaker_text(status),
        "processes": "\n".join(map(place_of, status["processes"])) or "none",
        "paused": held(status, "pause", now) if status["paused"] else None,
        "draining": held(status, "drain", now) if status["draining"] else None,
        "dead letters": counted(status["dead_letters"], "task") if status["dead_letters"] else None,
        "overrides": "\n".join(overrides(status, now)) or None,
        "settings": f"version {status['settings_version']}",
        "notifications": status["notifications"],
    }


def keys_text(keys: dict[str, Any]) -> str:
    """The keys that run the most tasks, and those of which a task has been due for longest."""
    lines = []
    if keys["busiest"]:
        lines.append(
            "running: " + ", ".join(f"{each['key']} {each['running']}" for each in keys["busiest"])
        )
    if keys["delayed"]:
        lines.append(
            "due for longest: "
            + ", ".join(f"{each['key']} {seconds(each['delay'])}" for each in keys["delayed"])
        )
    return "\n".join(map(one_line, lines))


async def processes_text(session: Session, status: dict[str, Any]) -> str:
    """Each process that works on the queue, with its name if it has one: "web-1 (ops-1:4711)"."""
    names = {process.id: process.name for process in await session.manager.processes()}
    lines = []
    for process in status["processes"]:
        place = place_of(process)
        name = names.get(process, place)
        lines.append(place if name == place else f"{one_line(name)} ({place})")
    return "\n".join(lines) or "none"


def breaker_text(status: dict[str, Any]) -> str:
    """The breaker's state, with its failures in a row."""
    failures = status["consecutive_failures"]
    text = str(status["circuit_breaker_status"]).replace("_", " ")
    return text + (f" ({counted(failures, 'failure')} in a row)" if failures else "")


def held(status: dict[str, Any], verb: str, now: datetime) -> str:
    """Since when, and with which note."""
    since, by, note = (status[f"{verb}_{what}"] for what in ("since", "by", "note"))
    return f"since {both(since, now)}" + (f" by {by}" if by else "") + (f"\n{note}" if note else "")


def overrides(status: dict[str, Any], now: datetime) -> list[str]:
    """A line for each override, beside what the code declares, and who set it when."""
    return [
        f"{name}={value_text(name, each['value'])} (declared: {value_text(name, each['declared'])})"
        + (f", set {relative(each['set_time'], now)}" if each["set_time"] else "")
        + (f" by {each['by']}" if each["by"] else "")
        for name, each in status["overrides"].items()
    ]


def print_attention(session: Session, statuses: list[dict[str, Any]]) -> None:
    """What needs attention, each with the command that helps."""
    items = [item for status in statuses for item in status["attention"]]
    for severity in STYLES:
        for item in items:
            if item["severity"] == severity:
                session.out.line()
                session.out.line(f"{severity}: {item['queue']}", style=STYLES[severity])
                session.out.paragraph(item["text"], indent=2)
                if item["action"]:
                    session.out.line(f"  to fix it: {item['action']}")
