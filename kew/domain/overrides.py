"""Overrides: values that an operator puts in place of what the code declares, until they are removed.

A queue's state has the settings in force, and for each overridden setting what the code declares. A declaration changes
only the latter. So whatever reads settings, a process of an older version included, reads those in force.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, TypedDict

import attrs

from kew.domain.config import QueueConfig, Settings, SettingValue, to_ms, with_values
from kew.domain.errors import InvalidConfigError, shown
from kew.domain.explaining import moment
from kew.domain.holding import Signature
from kew.domain.rate import Rate
from kew.domain.suggestions import did_you_mean
from kew.domain.view import QueueState

SETTING_OF: Final = {
    "max_workers": "max_workers",
    "max_size": "max_size",
    "rate": "rates",
    "max_retries": "max_retries",
    "retry_delay": "retry_delay_ms",
    "task_timeout": "timeout_ms",
    "max_circuit_breaker_failures": "breaker_failures",
    "circuit_breaker_reset_timeout": "breaker_reset_ms",
    "circuit_breaker_probes": "breaker_probes",
}
"""What may be overridden: the name in `QueueConfig`, and the setting that keeps it."""
DRAINED: Final = ("max_size", 0)
"""The setting and value of a draining queue, which no operator can set."""
CALLED: Final = {
    **{setting: name for name, setting in SETTING_OF.items()},
    "task_ttl_ms": "task_ttl",
    "dead_letter_ttl_ms": "dead_letter_ttl",
    "key_workers": "per_key.max_workers",
    "key_size": "per_key.max_size",
    "key_rate": "per_key.rate",
}
"""What `QueueConfig` calls settings that have another name there."""
NONE_IF_UNUSED: Final = frozenset(
    field.name for field in attrs.fields(Settings) if field.metadata.get("none")
)
"""Settings that are 0 where `QueueConfig` has None."""
NAME_OF: Final = {setting: name for name, setting in SETTING_OF.items()}


class Overridable(TypedDict, total=False):
    """What may be overridden, with the values that `QueueConfig` takes."""

    max_workers: int
    max_size: int
    rate: Rate | tuple[Rate, ...] | None
    max_retries: int
    retry_delay: float | timedelta
    task_timeout: float | timedelta
    max_circuit_breaker_failures: int | None
    circuit_breaker_reset_timeout: float | timedelta
    circuit_breaker_probes: int


@attrs.frozen(kw_only=True)
class Override:
    """A setting that an operator overrides, in the units of `QueueConfig`.

    `declared`: what the code declares instead; None for `task_timeout`, which each process declares for itself. `by`
    and `set_time`: who set it and when; None if an earlier version of kew did.
    """

    name: str
    value: Any
    declared: Any
    by: str | None = None
    set_time: datetime | None = None


# --- the rules


def declared_by_code(state: QueueState) -> Settings:
    """The settings as the latest declaration has them."""
    return with_values(state.settings, state.declared)


def overridden(state: QueueState) -> dict[str, SettingValue]:
    """The overrides, by setting."""
    return {name: getattr(state.settings, name) for name in state.declared}


def with_overrides(
    state: QueueState,
    values: Mapping[str, SettingValue],
    *,
    without: Collection[str] = (),
    edition: str,
    signature: Signature | None = None,
) -> QueueState:
    """The state with these overrides as well, and `without` those. An equal one keeps its version.

    `signature`: who sets them. An override that had its value before keeps the signature that it has.
    """
    kept = {name: value for name, value in overridden(state).items() if name not in without}
    return _in_force(state, declared_by_code(state), {**kept, **values}, edition, signature)


def redeclared(state: QueueState, settings: Settings, edition: str) -> QueueState:
    """The state once the code declares these settings: overrides stay in force."""
    return _in_force(state, settings, overridden(state), edition)


def _in_force(
    state: QueueState,
    declared: Settings,
    overrides: Mapping[str, SettingValue],
    edition: str,
    signature: Signature | None = None,
) -> QueueState:
    settings = with_values(declared, overrides)
    replaced = {name: getattr(declared, name) for name in overrides}
    if (settings, replaced) == (state.settings, state.declared):
        return state
    before = overridden(state)
    signed = {
        name: state.signed.get(name) if before.get(name) == value else signature
        for name, value in overrides.items()
    }
    return attrs.evolve(
        state,
        settings=settings,
        declared=replaced,
        version=state.version + 1,
        edition=edition,
        signed={name: each for name, each in signed.items() if each},
    )


# --- as people write and read them


def check_overridable(names: Collection[object]) -> None:
    """Raise `InvalidConfigError` for a name that can't be overridden."""
    for name in names:
        if name not in SETTING_OF:
            meant = did_you_mean(name, SETTING_OF) if isinstance(name, str) else ""
            raise InvalidConfigError(
                f"{shown(name)} can't be overridden{meant} (what can: {', '.join(SETTING_OF)})"
            )


def as_settings(queue: str, values: Mapping[str, object]) -> dict[str, SettingValue]:
    """Overrides given as for `QueueConfig`, by setting. Raises the `InvalidConfigError` that `QueueConfig` raises."""
    check_overridable(list(values))
    if not values:
        raise InvalidConfigError("give at least one override, such as max_workers=2")
    config = QueueConfig(queue, **values)  # type: ignore[arg-type]  # it checks them
    settings = attrs.asdict(config.settings(), recurse=False)
    settings["timeout_ms"] = to_ms(config.task_timeout)
    return {SETTING_OF[name]: settings[SETTING_OF[name]] for name in values}


def as_overrides(state: QueueState) -> dict[str, Override]:
    """The overrides in force, by their names in `QueueConfig`."""
    return {
        NAME_OF[setting]: _as_override(state, setting)
        for setting, value in overridden(state).items()
        if setting in NAME_OF and (setting, value) != DRAINED
    }


def _as_override(state: QueueState, setting: str) -> Override:
    signature = state.signed.get(setting)
    return Override(
        name=NAME_OF[setting],
        value=_as_configured(setting, getattr(state.settings, setting)),
        declared=_as_configured(setting, state.declared[setting]),
        by=signature.by or None if signature else None,
        set_time=moment(signature.at if signature else None),
    )


@attrs.frozen(kw_only=True)
class SettingInForce:
    """A setting in the units of `QueueConfig`: the value in force, and what the code declares."""

    value: Any
    declared: Any
    overridden: bool


def settings_of(state: QueueState) -> dict[str, SettingInForce]:
    """The settings that all processes share, by their names in `QueueConfig` (`per_key.max_workers`)."""
    declared = declared_by_code(state)
    names = [field.name for field in attrs.fields(Settings)]
    return {
        CALLED.get(setting, setting): SettingInForce(
            value=_as_configured(setting, getattr(state.settings, setting)),
            declared=_as_configured(setting, getattr(declared, setting)),
            overridden=setting in state.declared,
        )
        for setting in names
    }


def _as_configured(setting: str, value: SettingValue) -> Any:
    """A setting's value in the units of `QueueConfig`."""
    if isinstance(value, tuple):
        return tuple(Rate(count, per / 1000, burst or None) for count, per, burst in value)
    if setting in NONE_IF_UNUSED and not value:
        return None
    return value / 1000 if setting.endswith("_ms") else value
