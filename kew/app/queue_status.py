"""A queue's status and settings in plain values, as people and programs read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from kew.app.attention import attention, by_severity
from kew.app.ports import QueueStatus
from kew.app.scheduling.overdue import overdue
from kew.domain.breaker import BreakerState, reopens_at
from kew.domain.draining import is_draining
from kew.domain.explaining import moment
from kew.domain.gates.snoozed import snoozed_until
from kew.domain.holding import DRAINING, PAUSED, Hold
from kew.domain.incarnations import place_of
from kew.domain.overrides import Override, SettingInForce, as_overrides
from kew.domain.rate import Rate
from kew.domain.schedule import StoredSchedule


def status_dict(
    status: QueueStatus, notifications: str, schedules: Sequence[StoredSchedule]
) -> dict[str, Any]:
    """A queue's status in plain values; the first five keys are those of kew 0.2.1.

    `notifications`: "ok", or since when none of them have reached this process. `schedules`: those of the queue, and
    maybe of others.
    """
    state = status.state
    settings, breaker = state.settings, state.breaker
    until = moment(snoozed_until(status.state))
    return {
        "name": status.name,
        "max_workers": settings.max_workers,
        "current_workers": status.held,
        "queued_tasks": sum(status.waiting.values()),
        "circuit_breaker_status": breaker.state.value,
        "queued_by_priority": dict(status.waiting),
        "max_size": state.declared["max_size"] if is_draining(settings) else settings.max_size,
        "paused": state.paused,
        **_hold_dict("pause", state.holds.get(PAUSED) if state.paused else None),
        "draining": is_draining(settings),
        **_hold_dict("drain", state.holds.get(DRAINING)),
        "overrides": {name: _override_dict(each) for name, each in as_overrides(state).items()},
        "snoozed_until": None if until is None else until.isoformat(),
        "rates": _rates_dict(status),
        "keys": _keys_dict(status),
        "consecutive_failures": breaker.failures,
        "breaker": _breaker_dict(status),
        "processes": list(status.workers),
        "stuck_functions": dict(status.stuck),
        "unreadable_tasks": status.unreadable,
        "newer_tasks": status.newer,
        "dead_letters": status.dead,
        "settings_version": state.version,
        "notifications": notifications,
        "now": _iso(status.now_ms),
        "attention": [
            each.to_dict() for each in by_severity(*attention(status), *overdue(status, schedules))
        ],
    }


def _keys_dict(status: QueueStatus) -> dict[str, Any]:
    """The busiest keys and the most delayed ones."""
    busiest, delayed = status.busiest_keys, status.delayed_keys
    return {
        "busiest": [{"key": key, "running": running} for key, running in busiest.items()],
        "delayed": [
            {"key": key, "delay": max(0, status.now_ms - since) / 1000}
            for key, since in delayed.items()
        ],
    }


def _rates_dict(status: QueueStatus) -> dict[str, Any]:
    at = status.oldest_at
    per_minute = {f"{name}_per_minute": n for name, n in attrs.asdict(status.rates).items()}
    return {
        **per_minute,
        "oldest_waiting": None if at is None else (status.now_ms - at) / 1000,
    }


def _iso(instant: int) -> str | None:
    at = moment(instant)
    return at.isoformat() if at else None


def _breaker_dict(status: QueueStatus) -> dict[str, Any]:
    breaker, settings = status.state.breaker, status.state.settings
    is_open = breaker.state is BreakerState.OPEN
    return {
        "state": breaker.state.value,
        "opens_after": settings.breaker_failures or None,
        "opened_at": _iso(breaker.opened_at) if is_open else None,
        "probe_at": _iso(reopens_at(breaker, settings)) if is_open else None,
        "failures": [
            {"at": _iso(each.at), "task_id": each.task_id or None, "error": each.error}
            for each in status.counted
        ],
    }


def _hold_dict(verb: str, hold: Hold | None) -> dict[str, Any]:
    since = moment(hold.since_at) if hold else None
    return {
        f"{verb}_note": hold.note if hold else "",
        f"{verb}_by": place_of(hold.by) if hold and hold.by else None,
        f"{verb}_since": since.isoformat() if since else None,
    }


def _override_dict(override: Override) -> dict[str, Any]:
    return {
        "value": _plain(override.value),
        "declared": _plain(override.declared),
        "by": override.by,
        "set_time": override.set_time.isoformat() if override.set_time else None,
    }


def setting_dict(setting: SettingInForce) -> dict[str, Any]:
    """A setting in plain values."""
    return {
        "value": _plain(setting.value),
        "declared": _plain(setting.declared),
        "overridden": setting.overridden,
    }


def _plain(value: Any) -> Any:
    """A setting as JSON has it."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return attrs.asdict(value) if isinstance(value, Rate) else value
