"""Overrides: what is in force, what the code declares, and the values that people give."""

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from kew import InvalidConfigError, Override, PerKey, QueueConfig, Rate
from kew.domain import commands
from kew.domain.config import Settings
from kew.domain.holding import Signature
from kew.domain.overrides import (
    NAME_OF,
    SETTING_OF,
    Overridable,
    SettingInForce,
    as_overrides,
    as_settings,
    check_overridable,
    settings_of,
    with_overrides,
)
from kew.domain.queue import NOTHING
from kew.domain.view import QueueState
from tests.support.tasks import queue


def test_what_can_be_overridden_are_settings_that_the_configuration_has():
    assert set(SETTING_OF) == set(Overridable.__annotations__)
    assert set(SETTING_OF) <= {field.name for field in attrs.fields(QueueConfig)}
    assert set(SETTING_OF.values()) <= {field.name for field in attrs.fields(Settings)}
    assert {NAME_OF[SETTING_OF[name]] for name in SETTING_OF} == set(SETTING_OF)


def test_an_override_replaces_a_value_and_remembers_what_the_code_declares():
    before = queue(settings=Settings(max_workers=4), version=3, edition="one")
    after = before.after(commands.override(before, {"max_workers": 2}, (), "two")).state
    assert after == attrs.evolve(
        before.state,
        settings=Settings(max_workers=2),
        declared={"max_workers": 4},
        version=4,
        edition="two",
    )
    assert as_overrides(after) == {"max_workers": Override(name="max_workers", value=2, declared=4)}


def test_an_override_keeps_its_signature_until_another_value_is_set():
    before = queue(settings=Settings(max_workers=4, max_retries=1, max_size=9))
    values = {"max_workers": 2, "max_retries": 5, "max_size": 7}
    ada, eve = Signature(1_000, "ada"), Signature(2_000, "eve")
    signed = before.after(commands.override(before, values, (), "two", ada))
    values = {"max_workers": 2, "max_retries": 6}
    again = signed.after(commands.override(signed, values, ("max_size",), "three", eve))
    assert again.state.signed == {"max_workers": ada, "max_retries": eve}
    found = as_overrides(again.state)
    assert {name: each.by for name, each in found.items()} == {
        "max_workers": "ada",
        "max_retries": "eve",
    }
    assert found["max_retries"].set_time == datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)
    declared = again.after(commands.configure(again, Settings(max_workers=9), "four"))
    assert declared.state.signed == again.state.signed


def test_what_changes_nothing_keeps_the_version():
    before = queue(settings=Settings(max_workers=2), declared={"max_workers": 4})
    assert commands.override(before, {"max_workers": 2}, (), "two") is NOTHING
    assert commands.override(before, {}, ("max_retries",), "two") is NOTHING
    assert commands.configure(before, Settings(max_workers=4), "two") is NOTHING


def test_a_declaration_changes_only_what_is_declared():
    before = queue(settings=Settings(max_workers=2), declared={"max_workers": 4})
    after = before.after(commands.configure(before, Settings(max_workers=9), "two")).state
    assert (after.settings.max_workers, after.declared) == (2, {"max_workers": 9})
    assert after.edition == "two"


def test_without_the_override_what_was_declared_last_is_in_force():
    before = queue(
        settings=Settings(max_workers=2, max_retries=7),
        declared={"max_workers": 4, "max_retries": 0},
    )
    after = before.after(commands.override(before, {}, ("max_workers",), "two")).state
    assert after.settings == Settings(max_workers=4, max_retries=7)
    assert after.declared == {"max_retries": 0}


@pytest.mark.parametrize(
    ("values", "settings"),
    [
        ({"max_workers": 3}, {"max_workers": 3}),
        ({"max_size": 5000}, {"max_size": 5000}),
        ({"rate": Rate(100, per=60)}, {"rates": ((100, 60_000, 0),)}),
        ({"rate": (Rate(5, burst=1), Rate(9, per=2))}, {"rates": ((5, 1000, 1), (9, 2000, 0))}),
        ({"rate": None}, {"rates": ()}),
        ({"max_retries": 0, "retry_delay": 0.5}, {"max_retries": 0, "retry_delay_ms": 500}),
        ({"task_timeout": timedelta(minutes=1)}, {"timeout_ms": 60_000}),
        ({"max_circuit_breaker_failures": None}, {"breaker_failures": 0}),
        ({"circuit_breaker_reset_timeout": 2}, {"breaker_reset_ms": 2_000}),
        ({"circuit_breaker_probes": 4}, {"breaker_probes": 4}),
    ],
)
def test_values_are_given_and_read_as_in_the_configuration(values: Any, settings: Any):
    assert as_settings("q", values) == settings
    before = queue()
    shown = as_overrides(before.after(commands.override(before, settings, (), "two")).state)
    again = {name: override.value for name, override in shown.items()}
    assert as_settings("q", again) == settings
    declared = {name: override.declared for name, override in shown.items()}
    plain = QueueConfig("q")
    expected = {name: getattr(plain, name) for name in values}
    if "task_timeout" in expected:
        expected["task_timeout"] = None  # each process declares its own
    assert declared == expected


@pytest.mark.parametrize(
    "values",
    [
        {"max_workers": 0},
        {"max_workers": 1.5},
        {"rate": 5},
        {"max_retries": -1},
        {"retry_delay": "1"},
        {"task_timeout": None},
        {"circuit_breaker_probes": 0},
        {"max_circuit_breaker_failures": 0},
        {"circuit_breaker_reset_timeout": 0},
    ],
)
def test_a_bad_value_raises_what_the_configuration_raises(values: Any):
    with pytest.raises(InvalidConfigError) as configured:
        QueueConfig("q", **values)
    with pytest.raises(InvalidConfigError) as overridden:
        as_settings("q", values)
    assert str(overridden.value) == str(configured.value)


def test_a_name_that_can_not_be_overridden_is_refused_with_a_suggestion():
    with pytest.raises(InvalidConfigError, match=r"'max_worker'.*did you mean 'max_workers'"):
        as_settings("q", {"max_worker": 3})
    with pytest.raises(InvalidConfigError, match=r"'lease' can't be overridden .*max_workers, "):
        as_settings("q", {"lease": 3})
    with pytest.raises(InvalidConfigError, match="7 can't be overridden"):
        check_overridable([7])
    with pytest.raises(InvalidConfigError, match="at least one"):
        as_settings("q", {})


def test_every_setting_is_shown_in_force_and_as_declared_in_the_units_of_the_configuration():
    config = QueueConfig("q", task_ttl=90, max_size=7, per_key=PerKey(max_workers=2))
    state = QueueState(settings=config.settings())
    changed = with_overrides(state, {"max_workers": 3, "timeout_ms": 1500}, edition="e")
    shown = settings_of(changed)
    assert len(shown) == len(attrs.fields(Settings))
    assert shown["max_workers"] == SettingInForce(value=3, declared=10, overridden=True)
    assert shown["task_timeout"] == SettingInForce(value=1.5, declared=None, overridden=True)
    assert shown["task_ttl"] == SettingInForce(value=90.0, declared=90.0, overridden=False)
    assert shown["max_size"].value == 7
    assert shown["per_key.max_workers"].value == 2
    assert shown["per_key.max_size"].value is None
    assert shown["max_dead_letters"].value is None
