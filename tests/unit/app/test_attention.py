"""What about a queue needs attention: each kind once, with the command that helps."""

import attrs

from kew.app.attention import attention
from kew.app.ports import QueueStatus
from kew.domain.breaker import Breaker, BreakerState
from kew.domain.config import Settings
from kew.domain.history import Rates
from kew.domain.holding import DRAINING, PAUSED, Hold
from kew.domain.view import QueueState

NOW = 1_000_000
CALM = QueueStatus(
    name="mails",
    now_ms=NOW,
    state=QueueState(settings=Settings(max_size=10, breaker_reset_ms=60_000)),
    waiting={1: 0, 2: 0, 3: 0},
    held=0,
    workers=["web-1:7:x"],
    stuck={},
)
WAITING = attrs.evolve(CALM, waiting={1: 0, 2: 3, 3: 0})


def with_state(**changes):
    return attrs.evolve(CALM, state=attrs.evolve(CALM.state, **changes))


def only(status):
    [item] = attention(status)
    return item


def test_a_queue_that_works_needs_none():
    assert attention(CALM) == []
    assert attention(WAITING) == []


def test_an_open_breaker_says_since_when_and_until_when():
    breaker = Breaker(state=BreakerState.OPEN, opened_at=NOW - 20_000)
    item = only(with_state(breaker=breaker))
    assert (item.severity, item.code, item.queue) == ("critical", "breaker_open", "mails")
    assert "since 1970-01-01 00:16:20 UTC" in item.text
    assert "in 40 s" in item.text
    assert item.action == "kew breaker close mails"


def test_a_half_open_breaker_is_a_warning():
    item = only(with_state(breaker=Breaker(state=BreakerState.HALF_OPEN)))
    assert (item.severity, item.code) == ("warning", "breaker_half_open")


def test_tasks_without_a_process_are_critical():
    assert attention(attrs.evolve(CALM, workers=[])) == []
    item = only(attrs.evolve(WAITING, workers=[]))
    assert (item.severity, item.code) == ("critical", "no_process")
    assert "3 tasks wait" in item.text


def test_without_a_process_no_function_is_blamed():
    item = only(attrs.evolve(WAITING, workers=[], stuck={"worker:f": 2}))
    assert item.code == "no_process"


def test_a_full_queue_says_how_full_it_is():
    item = only(attrs.evolve(CALM, waiting={2: 10}))
    assert (item.code, item.action) == ("full", "kew queue set mails max_size=20")
    assert "10 of 10" in item.text
    assert attention(attrs.evolve(CALM, waiting={2: 9})) == []


def test_an_unknown_function_is_named_and_a_closure_names_its_process():
    named, closure = attention(attrs.evolve(WAITING, stuck={"@web-1:7:x": 1, "worker:f": 2}))
    assert "2 tasks wait for function worker:f" in named.text
    assert "1 task waits for closures" in closure.text
    assert (named.severity, closure.severity) == ("critical", "warning")


def test_a_pause_and_a_drain_say_since_when_and_why():
    holds = {PAUSED: Hold(NOW, "ada: down"), DRAINING: Hold(NOW)}
    paused, draining = attention(
        with_state(paused=True, settings=Settings(max_size=0), holds=holds)
    )
    assert paused.text == "paused since 1970-01-01 00:16:40 UTC (ada: down)"
    assert (paused.code, draining.code) == ("paused", "draining")
    assert paused.action == draining.action == "kew queue resume mails"


def test_a_snooze_is_for_information_until_it_ends():
    item = only(with_state(gates={"snoozed": (NOW + 5000, 9000)}))
    assert (item.severity, item.code) == ("info", "snoozed")
    assert attention(with_state(gates={"snoozed": (NOW, 9000)})) == []


def test_records_that_can_not_be_read_or_are_too_new_are_counted():
    unreadable, newer = attention(attrs.evolve(CALM, unreadable=1, newer=2))
    assert "1 task can't be read" in unreadable.text
    assert "2 tasks wait for processes of a newer version" in newer.text


def test_the_most_severe_comes_first_and_it_has_plain_values():
    status = attrs.evolve(with_state(paused=True), workers=[], waiting={2: 1})
    assert [item.severity for item in attention(status)] == ["critical", "warning"]
    assert attention(status)[0].to_dict().keys() == {
        "severity",
        "code",
        "queue",
        "text",
        "action",
    }


LONG = attrs.evolve(WAITING, oldest_at=NOW - 12 * 60_000)


def test_tasks_that_wait_for_long_are_a_warning_that_says_whether_slots_are_free():
    item = only(attrs.evolve(LONG, held=10))
    assert (item.severity, item.code) == ("warning", "waits_long")
    assert item.text == "the oldest task has waited for 12 min, with 10 of 10 slots in use"
    assert item.action == "kew queue set mails max_workers=20"
    assert only(LONG).action == "kew queue show mails"
    assert attention(attrs.evolve(LONG, oldest_at=NOW - 4 * 60_000)) == []


def test_tasks_that_wait_for_long_are_not_reported_beside_what_holds_them_back():
    for held_back in (
        attrs.evolve(LONG, state=attrs.evolve(LONG.state, paused=True)),
        attrs.evolve(LONG, workers=[]),
        attrs.evolve(LONG, stuck={"worker:f": 1}),
        attrs.evolve(
            LONG, state=attrs.evolve(LONG.state, breaker=Breaker(state=BreakerState.OPEN))
        ),
    ):
        assert "waits_long" not in [item.code for item in attention(held_back)]


def test_dead_letters_are_counted():
    item = only(attrs.evolve(CALM, dead=31))
    assert (item.severity, item.code, item.action) == (
        "info",
        "dead_letters",
        "kew dead groups mails",
    )
    assert "31 tasks" in item.text


def test_dead_letters_that_become_more_are_a_warning():
    item = only(attrs.evolve(CALM, dead=31, rates=Rates(failed=4.2)))
    assert item.severity == "warning"
    assert item.text == "31 tasks failed for good, lately 4.2 more a minute"


def test_lost_workers_are_a_warning_while_it_is_recent():
    item = only(attrs.evolve(CALM, rates=Rates(lost=0.4)))
    assert (item.severity, item.code, item.action) == ("warning", "lost", "kew process ls")
    assert "0.4 tasks a minute" in item.text
