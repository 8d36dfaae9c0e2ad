"""Rates: no window has more starts than the rate allows, wherever it begins, whatever the clock does."""

from __future__ import annotations

from bisect import bisect_left
from datetime import timedelta
from random import Random
from typing import Any

import attrs
import hypothesis.strategies as st
import pytest
from hypothesis import given

from kew.domain import rate as rates
from kew.domain.config import QueueConfig, Settings
from kew.domain.errors import InvalidConfigError
from kew.domain.gates.gate import Facts
from kew.domain.gates.rate import RateGate
from kew.domain.queue import submit
from kew.domain.rate import MOST_ENTRIES, MOST_STARTS, Log, Rate, Setting, as_rates
from kew.domain.requests import Word
from kew.domain.task import Submission
from kew.domain.view import QueueState
from tests.support.tasks import NOW, call, group, queue, task

WINDOWS = st.sampled_from([1, 7, 100, 999, 1_000, 1_001, 60_000, 3_599_999])
COUNTS = st.sampled_from([1, 2, 3, 7, 100])


# --- what can be asked for


@pytest.mark.parametrize(
    ("rate", "setting"),
    [
        (Rate(100, per=60), (100, 60_000, 0)),
        (Rate(1), (1, 1_000, 0)),
        (Rate(5, per=timedelta(minutes=1), burst=2), (5, 60_000, 2)),
        (Rate(3, 0.0011, 3), (3, 2, 3)),  # rounded up: no window is shorter than asked for
        (Rate(1, per=0.1), (1, 100, 0)),
    ],
)
def test_a_rate_is_a_count_a_window_and_a_burst(rate: Rate, setting: Setting) -> None:
    assert rate.setting == setting


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "the count of a Rate must be a whole number from 1"),
        ({"count": -1}, "pause the queue"),
        ({"count": 1.5}, "not 1.5"),
        ({"count": True}, "not True"),
        ({"count": "100"}, "not '100'"),
        ({"count": MOST_STARTS + 1}, f"to {MOST_STARTS}"),
        ({"count": 10**30}, f"to {MOST_STARTS}"),
        ({"count": 1, "per": 0}, "per must be from 0.001"),
        ({"count": 1, "per": -60}, "not -60"),
        ({"count": 1, "per": float("nan")}, "not nan"),
        ({"count": 1, "per": float("inf")}, "not inf"),
        ({"count": 1, "per": 10**9}, "to 2678400 seconds"),
        ({"count": 1, "per": "minute"}, "not 'minute'"),
        ({"count": 5, "burst": 0}, "burst must be a whole number from 1 to the rate's count, 5"),
        ({"count": 5, "burst": 6}, "not 6"),
        ({"count": 5, "burst": 1.0}, "not 1.0"),
        ({"count": 5, "burst": True}, "not True"),
    ],
)
def test_a_rate_that_cannot_be_kept_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfigError, match=message):
        Rate(**arguments)


def test_a_queue_has_one_rate_or_several() -> None:
    one, other = Rate(100, per=60), Rate(5)
    assert as_rates(None) == ()
    assert QueueConfig("q").rate == ()
    assert QueueConfig("q", rate=one).rate == (one,)
    settings = QueueConfig("q", rate=(one, other)).settings()
    assert settings.rates == ((100, 60_000, 0), (5, 1_000, 0))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (100, "rate must be a Rate or a tuple of Rates, not 100"),
        ((Rate(1), 5), "a tuple of Rates"),
        ([Rate(1, per=n) for n in range(1, 6)], "at most 4 rates, not 5"),
        ((Rate(1, per=60), Rate(2, per=60.0)), "two rates have the same per"),
    ],
)
def test_rates_that_a_queue_cannot_have_are_refused(value: Any, message: str) -> None:
    with pytest.raises(InvalidConfigError, match=message):
        QueueConfig("q", rate=value)


# --- the arithmetic


def starts_of(log: Log, setting: Setting, now: int, want: int) -> tuple[Log, int]:
    """A claim that wants so many."""
    log = rates.judged(log, setting, now)
    granted = min(want, rates.room(log, setting, now))
    return (rates.granted(log, setting, now, granted) if granted else log), granted


def fullest(starts: list[int], per: int) -> int:
    """The most starts in a window; each of the fullest ones begins with a start."""
    starts = sorted(starts)
    return max((bisect_left(starts, at + per) - n for n, at in enumerate(starts)), default=0)


@given(count=COUNTS, per=WINDOWS, burst=st.sampled_from([0, 1, 2]), seed=st.integers(0, 10**6))
def test_no_window_has_more_starts_than_the_count(
    count: int, per: int, burst: int, seed: int
) -> None:
    """By the time that really passed, however far the clock steps back; by the clock, if that is less than a window."""
    random, setting = Random(seed), (count, per, min(burst, count))
    log, now, real, starts, really = Log(per, count), NOW, 0, list[int](), list[int]()
    latest, is_far = now, random.random() < 0.5
    for _ in range(200):
        passed = random.choice((0, 1, per // 7, per // 2, per, random.randrange(per + 1)))
        now, real = now + passed, real + passed
        latest = max(latest, now)
        if random.random() < 0.05:
            back = random.choice((1_000, per // 2, per, 3 * per))
            now = now - back if is_far else max(now - back, latest - per + 1)
        log, granted = starts_of(log, setting, now, random.choice((1, 2, count)))
        starts += [now] * granted
        really += [real] * granted
    assert is_far or fullest(starts, per) <= count
    assert fullest(really, per) <= count


@given(count=COUNTS, per=WINDOWS.filter(lambda per: per > 500), burst=st.sampled_from([0, 1, 3]))
def test_what_waits_starts_at_the_opening_and_the_rate_is_used_up(
    count: int, per: int, burst: int
) -> None:
    """A claim at every opening gets something, and one just before it nothing."""
    setting = (count, per, min(burst, count))
    log, now, started = Log(per, count), NOW, 0
    while now < NOW + 10 * per and started < 2_000:
        log, granted = starts_of(log, setting, now, count)
        assert granted
        started += granted
        assert rates.room(log, setting, now) == 0
        opens_at = rates.opens_at(log, setting, now)
        assert opens_at > now
        assert rates.room(log, setting, opens_at - 1) == 0
        now = opens_at
    assert started >= 0.95 * count * ((now - NOW) // per)


def test_with_a_burst_starts_are_spaced() -> None:
    setting, log, now = (7, 1_000, 2), Log(1_000, 7), NOW
    log, granted = starts_of(log, setting, now, 7)
    assert granted == 2
    instants = []
    for _ in range(5):
        now = rates.opens_at(log, setting, now)
        log, granted = starts_of(log, setting, now, 7)
        instants.append((now - NOW, granted))
    assert instants == [(143, 1), (286, 1), (429, 1), (572, 1), (715, 1)]
    assert rates.opens_at(log, setting, now) == NOW + 1_000  # the window, not the spacing
    later = NOW + 10_000
    assert starts_of(log, setting, later, 7)[1] == 2


def test_spacing_does_not_drift() -> None:
    setting, log = (3, 1_000, 1), Log(1_000, 3)
    for second in range(1_000):
        for ms in (0, 334, 668):
            log, granted = starts_of(log, setting, NOW + 1_002 * second + ms, 1)
            assert granted


def test_a_log_stays_short() -> None:
    setting, log = (MOST_STARTS, 60_000, 0), Log(60_000, MOST_STARTS)
    for ms in range(0, 120_000, 61):
        log, _ = starts_of(log, setting, NOW + ms, 1)
    assert len(log.starts) <= 2_002
    for back in range(10):
        for ms in range(0, 60_000, 150):
            log, _ = starts_of(log, setting, NOW - back * 100_000 + ms, 1)
    assert len(log.starts) <= MOST_ENTRIES


def test_a_step_back_counts_what_was_started_just_before_it_and_is_handled_once() -> None:
    setting, log = (2, 1_000, 1), Log(1_000, 2)
    log, _ = starts_of(log, setting, NOW, 2)
    log, _ = starts_of(log, setting, NOW + 500, 1)
    back = NOW - 3_600_000
    judged = rates.judged(log, setting, back)
    assert rates.judged(judged, setting, back) is judged
    assert rates.room(judged, setting, back) == 0
    assert rates.opens_at(judged, setting, back) == back + 1_000
    assert starts_of(judged, setting, back + 1_000, 2)[1] == 1
    assert rates.room(judged, setting, NOW + 400) == 0  # the clock gets there again


def test_a_start_before_the_window_does_not_count_after_a_step_back() -> None:
    log = rates.granted(Log(1_000, 1), (1, 1_000, 0), NOW, 1)
    log = rates.granted(log, (1, 1_000, 0), NOW + 5_000, 0)
    assert rates.judged(log, (1, 1_000, 0), NOW + 3_000).starts == ()


def test_a_changed_count_keeps_the_starts() -> None:
    log, _ = starts_of(Log(1_000, 1_000), (1_000, 1_000, 1), NOW, 1)
    log = rates.granted(log, (999_983, 1_000, 1), NOW, 1)
    changed = rates.judged(log, (1, 1_000, 1), NOW)
    assert changed.unit == 1
    assert rates.opens_at(changed, (1, 1_000, 1), NOW) == NOW + 1_000


def test_logs_are_integers_and_back() -> None:
    logs = [Log(1_000, 5, NOW, NOW + 1, 2, ((NOW, 3), (NOW + 1, 4))), Log(60_000, 100)]
    settings = [(5, 1_000, 1), (100, 60_000, 0)]
    assert rates.read_logs(rates.write_logs(logs), settings) == logs
    assert rates.read_logs((), settings) == [Log(1_000, 5), Log(60_000, 100)]


def test_a_new_rate_begins_with_the_starts_of_the_longest_log() -> None:
    numbers = rates.write_logs([Log(10, 1, starts=((1, 1),)), Log(20, 1, starts=((2, 2),))])
    assert rates.read_logs(numbers, [(7, 50, 0), (9, 10, 0)]) == [
        Log(50, 7, starts=((2, 2),)),
        Log(10, 1, starts=((1, 1),)),
    ]


# --- the gate


def state(*settings: Setting) -> QueueState:
    return QueueState(settings=Settings(rates=settings))


def facts(known: QueueState, now: int = NOW) -> Facts:
    return Facts(state=known, now=now, held=0)


def test_without_a_rate_the_gate_is_not_used() -> None:
    assert not RateGate().is_used(state())
    assert RateGate().is_used(state((1, 1, 0)))


def test_all_rates_must_allow_a_start() -> None:
    gate, known = RateGate(), state((5, 1_000, 0), (7, 60_000, 0))
    assert gate.room(facts(known), 99) == 5
    assert gate.opens_at(facts(known)) is None
    known = gate.granted(known, [task()] * 5, NOW)
    assert gate.room(facts(known), 99) == 0
    assert gate.opens_at(facts(known)) == NOW + 1_000
    known = gate.granted(known, [task()] * 2, NOW + 1_000)
    assert gate.opens_at(facts(known, NOW + 1_000)) == NOW + 60_020  # NOW is rounded up to 60 ms
    assert gate.judged(known, NOW + 1_000) is known
    stepped = gate.judged(known, NOW - 5_000)
    assert stepped.gates != known.gates


def test_a_start_uses_up_what_it_costs() -> None:
    gate, known = RateGate(), state((5, 1_000, 0), (9, 60_000, 4))
    tasks = [task(call=call(f"t{n}", cost=cost)) for n, cost in enumerate((2, 1, 2, 1))]
    assert gate.affords(facts(known), tasks) == 2
    assert gate.affords(facts(known), tasks[:2]) is None
    known = gate.granted(known, tasks[:2], NOW)
    assert gate.room(facts(known), 99) == 1
    assert gate.room(attrs.evolve(facts(known), cost=2), 99) == 0
    assert gate.opens_at(facts(known)) is None
    assert gate.opens_at(attrs.evolve(facts(known), cost=2)) == NOW + 6_667
    assert rates.units_of(7, known.settings.rates) == 4
    assert rates.units_of(7, ()) == 7


def test_a_group_with_a_task_that_a_rate_can_never_give_is_refused() -> None:
    view = queue()
    settings = attrs.evolve(view.state.settings, rates=((5, 1_000, 0),), key_rate=((9, 9, 3),))
    view = attrs.evolve(view, state=attrs.evolve(view.state, settings=settings))

    def word(*calls: Submission) -> tuple[Word, str]:
        _, outcome = submit(view, group(*calls), 0)
        return outcome.word, outcome.task_id

    assert word(call("a"), call("b", cost=5)) == (Word.DONE, "")
    assert word(call("a"), call("b", cost=6)) == (Word.COSTLY, "b")
    assert word(call("a", key="k", cost=3)) == (Word.DONE, "")
    assert word(call("a", key="k", cost=4)) == (Word.COSTLY, "a")
