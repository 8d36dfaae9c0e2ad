"""Every field of a queue's configuration: its default, its range, its hostile values, its message."""

from __future__ import annotations

import inspect
import math
import re
from fractions import Fraction
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kew.domain.backoff import Exponential, Fixed
from kew.domain.config import (
    QueueConfig,
    Settings,
    check_name,
    check_priority,
    check_timeout,
    to_ms,
)
from kew.domain.errors import InvalidConfigError
from kew.domain.task import QueuePriority

YEAR = 31_622_400.0
WORKERS, TASKS = 100_000, 1_000_000_000

# field: least, most, whether None is legal
WHOLE: dict[str, tuple[int, int, bool]] = {
    "max_workers": (1, WORKERS, False),
    "max_size": (1, TASKS, False),
    "max_circuit_breaker_failures": (1, TASKS, True),
    "max_retries": (0, TASKS, False),
    "max_workers_per_process": (1, WORKERS, True),
    "max_deliveries": (0, TASKS, False),
    "max_snoozes": (0, TASKS, False),
    "circuit_breaker_probes": (1, WORKERS, False),
    "max_dead_letters": (1, TASKS, True),
}
SECONDS: dict[str, tuple[float, float]] = {
    "task_timeout": (0.001, YEAR),
    "circuit_breaker_reset_timeout": (0.001, YEAR),
    "retry_delay": (0, YEAR),
    "lease": (0.2, 86_400),
    "task_ttl": (81.0, YEAR),
    "dead_letter_ttl": (81.0, YEAR),
}
HOSTILE: list[object] = [
    *(True, False, math.nan, math.inf, -math.inf, -1, 10**5000, -(10**5000)),
    *("1", b"1", "", "\u0663", [1], {}, 1j, Fraction(3), object, "x" * 10_000),
]
NOT_WHOLE: list[object] = [*HOSTILE, 1.5, 2.0]


def refusal(**fields: Any) -> str:
    with pytest.raises(InvalidConfigError) as raised:
        QueueConfig(**{"name": "q", **fields})
    assert isinstance(raised.value, ValueError)
    return str(raised.value)


def ids(value: object) -> str:
    return f"{type(value).__name__}-{'huge' if isinstance(value, int) and abs(value) > TASKS else str(value)[:12]}"


# --- each field alone


@pytest.mark.parametrize("value", NOT_WHOLE, ids=ids)
@pytest.mark.parametrize("field", WHOLE)
def test_what_is_not_a_count_is_refused(field: str, value: object) -> None:
    least, most, optional = WHOLE[field]
    or_none = " or None" if optional else ""
    start = f"{field} must be a whole number from {least} to {most}{or_none}, not "
    assert refusal(**{field: value}).startswith(start)


@pytest.mark.parametrize("field", WHOLE)
def test_a_count_is_within_its_range(field: str) -> None:
    least, most, optional = WHOLE[field]
    for value in (least, most):
        assert getattr(QueueConfig("q", **{field: value}), field) == value  # type: ignore[arg-type]
    for value in (least - 1, most + 1):
        assert refusal(**{field: value}).endswith(f", not {value}")
    if optional:
        assert getattr(QueueConfig("q", **{field: None}), field) is None  # type: ignore[arg-type]
    else:
        assert refusal(**{field: None}).endswith(f"from {least} to {most}, not None")


@pytest.mark.parametrize("value", [*HOSTILE, None], ids=ids)
@pytest.mark.parametrize("field", SECONDS)
def test_what_is_not_seconds_is_refused(field: str, value: object) -> None:
    least, most = SECONDS[field]
    start = f"{field} must be from {least} to {most:.0f} seconds or a timedelta, not "
    assert refusal(**{field: value}).startswith(start)


@pytest.mark.parametrize("field", SECONDS)
def test_seconds_are_within_their_range(field: str) -> None:
    least, most = SECONDS[field]
    for value in (least, most, math.ceil(least) + 1):
        assert getattr(QueueConfig("q", **{field: value}), field) == value  # type: ignore[arg-type]
    for value in (least - 0.0005, most + 1):
        assert refusal(**{field: value}).endswith(f", not {value!r}")


@pytest.mark.parametrize(
    "name",
    [
        *("", "a" * 65, "a b", "a{b}", "{", "a/b", "a:b", "a\n", "é", "\uff41", "\u0661", "a\0"),
        *("\U0001f600", "*", "a?", "[a]", None, 7, b"q", True, ["q"], "\udc80"),
    ],
    ids=ascii,
)
def test_what_is_not_a_name_is_refused(name: Any) -> None:
    advice = f"queue name {name!r} is invalid: use 1 to 64 letters, digits, '_', '.' or '-'"
    assert refusal(name=name) == advice


@pytest.mark.parametrize("name", ["q", "a" * 64, "A-1_b.c", ".", "-", "0"])
def test_a_name_is_letters_digits_and_three_signs(name: str) -> None:
    assert QueueConfig(name).name == check_name(name) == name


def test_other_names_are_checked_alike() -> None:
    with pytest.raises(InvalidConfigError, match=r"^namespace '{}' is invalid"):
        check_name("{}", "namespace")


@given(st.one_of(st.text(), st.binary(), st.integers(), st.floats(), st.none()))
def test_a_name_is_usable_or_refused_and_nothing_else(name: object) -> None:
    usable = isinstance(name, str) and re.fullmatch("[A-Za-z0-9_.-]{1,64}", name)
    if usable:
        assert check_name(name) == name
    else:
        with pytest.raises(InvalidConfigError):
            check_name(name)


@pytest.mark.parametrize(
    ("value", "priority"), [(1, "HIGH"), (2, "MEDIUM"), (QueuePriority.LOW, "LOW")]
)
def test_a_priority_may_be_given_by_its_number(value: int, priority: str) -> None:
    assert QueueConfig("q", priority=value).priority is QueuePriority[priority]
    assert check_priority(value) is QueuePriority[priority]


@pytest.mark.parametrize(
    "value", [0, 4, -1, True, 2.0, math.nan, "HIGH", "1", None, [1], 10**5000], ids=ids
)
def test_what_is_not_a_priority_is_refused(value: object) -> None:
    start = "priority must be HIGH (1), MEDIUM (2) or LOW (3), not "
    assert refusal(priority=value).startswith(start)
    with pytest.raises(InvalidConfigError):
        check_priority(value)


@pytest.mark.parametrize("field", ["retry_on", "give_up_on"])
def test_kinds_of_errors_are_exception_classes(field: str) -> None:
    for fine in ((), (ValueError,), (OSError, KeyboardInterrupt)):
        assert getattr(QueueConfig("q", **{field: fine}), field) == fine  # type: ignore[arg-type]
    assert getattr(QueueConfig("q", **{field: OSError}), field) == (OSError,)  # type: ignore[arg-type]
    for wrong in (None, "ValueError", (int,), (ValueError, 1), ((ValueError,),), ValueError()):
        message = f"{field} must be an exception class or a tuple of them, not {wrong!r}"
        assert refusal(**{field: wrong}) == message


class Always:
    def delay(self, retry: int, draw: float) -> float:
        return 1.0


@pytest.mark.parametrize("backoff", [None, Exponential(), Fixed(1), Always()])
def test_a_backoff_is_anything_with_a_delay(backoff: Any) -> None:
    assert QueueConfig("q", backoff=backoff).backoff is backoff


@pytest.mark.parametrize("backoff", [5, "fixed", Exponential, object(), lambda retry: 1.0])
def test_what_has_no_delay_is_no_backoff(backoff: object) -> None:
    start = "backoff must be Exponential, Fixed, Linear, Custom or an object with delay(retry, draw), not "
    assert refusal(backoff=backoff).startswith(start)


def test_a_message_is_short_whatever_was_given() -> None:
    for field in (*WHOLE, *SECONDS, "name", "priority", "retry_on", "backoff"):
        assert len(refusal(**{field: "x" * 1_000_000})) < 250


@pytest.mark.parametrize("value", [None, 0, 1, "yes", [True]])
def test_tracebacks_are_kept_or_not(value: object) -> None:
    assert QueueConfig("q", keep_tracebacks=False).keep_tracebacks is False
    assert refusal(keep_tracebacks=value) == f"keep_tracebacks must be True or False, not {value!r}"


def test_every_field_is_checked_here() -> None:
    others = {"name", "priority", "backoff", "retry_on", "circuit_breaker_on", "give_up_on", "rate"}
    others |= {"keep_tracebacks", "per_key"}
    fields = attrs.fields_dict(QueueConfig)
    here = {*WHOLE, *SECONDS, *others}
    assert here <= fields.keys()
    bounds = {type(fields[name].validator) for name in ("max_size", "lease")}
    unchecked = {
        name for name in fields.keys() - here if type(fields[name].validator) not in bounds
    }
    assert unchecked == set(), "it has neither bounds of the kinds above nor a test here"


# --- all of it together


def test_the_defaults() -> None:
    """A setting that isn't here is off, unless somebody asks for it."""
    defaults = attrs.asdict(QueueConfig("q"))
    known = {
        "name": "q",
        "max_workers": 10,
        "priority": QueuePriority.MEDIUM,
        "max_size": 1000,
        "task_timeout": 3600,
        "max_circuit_breaker_failures": 3,
        "circuit_breaker_reset_timeout": 60,
        "max_retries": 0,
        "retry_delay": 1.0,
        "backoff": None,
        "retry_on": (BaseException,),
        "give_up_on": (),
        "rate": (),
        "per_key": None,
        "lease": 15.0,
        "max_workers_per_process": None,
        "max_deliveries": 5,
        "max_snoozes": 1000,
        "task_ttl": 86_400,
        "max_dead_letters": None,
        "keep_tracebacks": True,
        "dead_letter_ttl": 30 * 86_400,
        "circuit_breaker_probes": 1,
        "circuit_breaker_on": (BaseException,),
    }
    assert defaults.items() >= known.items()
    assert all(value in (None, (), 0) for name, value in defaults.items() if name not in known)


def test_the_documented_fields_may_be_given_in_order() -> None:
    config = QueueConfig("q", 1, QueuePriority.LOW, 2, 3, 4, 5, 6, 7)
    assert config == QueueConfig(
        name="q",
        max_workers=1,
        priority=QueuePriority.LOW,
        max_size=2,
        task_timeout=3,
        max_circuit_breaker_failures=4,
        circuit_breaker_reset_timeout=5,
        max_retries=6,
        retry_delay=7,
    )


def test_the_default_settings_are_those_of_a_default_queue() -> None:
    assert QueueConfig("q").settings() == Settings()


def test_all_processes_share_counts_and_milliseconds() -> None:
    config = QueueConfig(
        "q",
        max_workers=2,
        priority=QueuePriority.HIGH,
        max_size=3,
        max_circuit_breaker_failures=4,
        circuit_breaker_reset_timeout=5.5,
        max_retries=6,
        retry_delay=0.0001,
        max_deliveries=7,
        max_snoozes=9,
        task_ttl=100,
        dead_letter_ttl=200,
        max_dead_letters=9,
        circuit_breaker_probes=8,
    )
    assert config.settings() == Settings(
        priority=1,
        max_workers=2,
        max_size=3,
        breaker_failures=4,
        breaker_reset_ms=5500,
        breaker_probes=8,
        max_retries=6,
        retry_delay_ms=1,
        max_deliveries=7,
        max_snoozes=9,
        task_ttl_ms=100_000,
        dead_letter_ttl_ms=200_000,
        max_dead_letters=9,
    )


def test_no_breaker_is_one_that_never_opens() -> None:
    assert QueueConfig("q", max_circuit_breaker_failures=None).settings().breaker_failures == 0


@pytest.mark.parametrize(
    ("workers", "per_process", "slots"), [(10, None, 10), (10, 3, 3), (3, 10, 3), (1, 1, 1)]
)
def test_a_process_runs_no_more_than_its_share(
    workers: int, per_process: int | None, slots: int
) -> None:
    config = QueueConfig("q", max_workers=workers, max_workers_per_process=per_process)
    assert config.slots == slots


@pytest.mark.parametrize(
    ("seconds", "ms"),
    [
        (0, 0),
        (0.0001, 1),
        (0.001, 1),
        (0.0016, 2),
        (1, 1000),
        (1.0006, 1001),
        (YEAR, 31_622_400_000),
    ],
)
def test_seconds_become_milliseconds(seconds: float, ms: int) -> None:
    assert to_ms(seconds) == ms


@given(st.floats(0, YEAR))
def test_a_positive_duration_never_becomes_nothing(seconds: float) -> None:
    assert (to_ms(seconds) == 0) == (seconds == 0)
    assert abs(to_ms(seconds) - seconds * 1000) <= 1


def test_a_configuration_is_a_value() -> None:
    assert QueueConfig("q", 2) == QueueConfig("q", max_workers=2)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        QueueConfig("q").max_size = 0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given_timeout", "seconds"),
    [(None, math.inf), (0, 0.0), (1, 1.0), (0.5, 0.5), (YEAR, YEAR), (YEAR + 1, math.inf)],
)
def test_a_timeout_is_seconds_or_has_no_end(given_timeout: float | None, seconds: float) -> None:
    found = check_timeout(given_timeout)
    assert (type(found), found) == (float, seconds)


@pytest.mark.parametrize("wrong", [-1, -0.001, "1", True, [1], float("nan")])
def test_what_is_no_timeout_is_refused_with_what_one_is(wrong: Any) -> None:
    told = f"timeout must be 0 or more seconds, a timedelta, or None to wait forever, not {wrong!r}"
    with pytest.raises(InvalidConfigError, match=f"^{re.escape(told)}$"):
        check_timeout(wrong)


def test_what_is_left_of_a_deadline_may_be_less_than_nothing() -> None:
    assert check_timeout(-5, least=-math.inf) == 0
    assert check_timeout(-5, least=-5) == 0
    with pytest.raises(InvalidConfigError):
        check_timeout(-6, least=-5)


@pytest.mark.parametrize(
    ("unknown", "meant"),
    [
        ("max_worker", "max_workers"),
        ("timeout", "task_timeout"),
        ("retries", "max_retries"),
        ("concurrency", "max_workers"),
        ("breaker_failures", "max_circuit_breaker_failures"),
        ("ttl", "task_ttl"),
        ("queue_name", "name"),
    ],
)
def test_an_unknown_setting_is_answered_with_the_one_that_was_meant(unknown: str, meant: str):
    settings: Any = {unknown: 3}
    with pytest.raises(
        TypeError, match=f"no setting '{unknown}'; did you mean '{meant}'"
    ) as raised:
        QueueConfig("mails", **settings)
    assert "task_timeout" in str(raised.value)  # all are named


def test_an_unknown_setting_that_is_like_no_other_is_answered_with_all_of_them():
    settings: Any = {"colour": 3}
    with pytest.raises(
        TypeError, match=r"no setting 'colour' \(the settings are name, max_workers"
    ):
        QueueConfig("mails", **settings)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'name'"):
        QueueConfig()  # type: ignore[call-arg]
    assert str(inspect.signature(QueueConfig)).startswith("(name: 'str', max_workers: 'int' = 10")


def judge(error: BaseException) -> bool:
    return isinstance(error, OSError)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (OSError, (OSError,)),
        ((OSError, ValueError), (OSError, ValueError)),
        ((), ()),
        (judge, judge),
    ],
)
def test_what_counts_for_the_breaker_is_classes_or_a_function(given: Any, kept: object) -> None:
    assert QueueConfig("q", circuit_breaker_on=given).circuit_breaker_on == kept


@pytest.mark.parametrize("given", [5, "OSError", int, (OSError, 5), None])
def test_what_cannot_say_what_counts_for_the_breaker_is_refused(given: Any) -> None:
    start = "circuit_breaker_on must be an exception class or a tuple of them, not "
    message = refusal(circuit_breaker_on=given)
    assert message.startswith(start)
    assert message.endswith("; or a function from the error to a bool")
