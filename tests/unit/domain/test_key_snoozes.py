"""Snoozes of keys: until when a key starts nothing, and what its rates remember meanwhile."""

import attrs

from kew.domain.events import Snoozed
from kew.domain.explaining import Code
from kew.domain.key_rooms import (
    KeyLog,
    KeyRooms,
    forgotten_at,
    key_opens_at,
    read_log,
    snoozed,
    snoozed_until,
)
from kew.domain.queue import claim, settle, submit
from kew.domain.reasons import explained
from kew.domain.requests import ClaimRequest, Settlement
from kew.domain.situation import situation_of
from tests.support.tasks import call, group, queue

RATES = ((1, 9_000, 0),)


def rooms_at(now: int, *rates: tuple[int, int, int], **logs: KeyLog) -> KeyRooms:
    settings = attrs.evolve(queue().state.settings, key_rate=rates)
    return KeyRooms(settings=settings, now=now, held_of=lambda _: 0, logs=logs, limits={})


def test_a_snooze_holds_a_key_until_its_instant():
    log = snoozed((), 5_000, 1_000)
    instants = (1_000, 5_999, 6_000, 6_001)
    assert [snoozed_until(log, now) for now in instants] == [6_000, 6_000, 6_000, 6_001]
    assert snoozed_until((), 7) == 7
    rooms = rooms_at(1_000, a=log)
    assert rooms.opens_at("a", 1) == 6_000
    assert (rooms.allows("a", 1), rooms.allows("b", 1), rooms.allows("", 1)) == (False, True, True)
    assert rooms_at(6_000, a=log).allows("a", 1)


def test_the_longest_snooze_counts():
    log = snoozed((), 5_000, 1_000)
    assert snoozed(log, 4_000, 2_000) is log
    assert snoozed(log, 0, 9_000) is log
    assert snoozed_until(snoozed(log, 4_001, 2_000), 2_000) == 6_001
    assert len(snoozed(log, 9_000, 8_000)) == len(log)


def test_a_snooze_that_a_step_back_of_the_clock_prolonged_does_not_count():
    log = snoozed((), 5_000, 100_000)
    assert snoozed_until(log, 99_999) == 99_999
    assert snoozed_until(log, 100_000) == 105_000


def test_a_snooze_leaves_what_the_rates_of_its_key_remember():
    rooms = rooms_at(1_000, *RATES)
    rooms.start("a", 1)
    [(_, log)] = rooms.written()
    both = snoozed(log, 2_000, 1_000)
    assert read_log(both, RATES, 1_000) == read_log(log, RATES, 1_000)
    by_rates = key_opens_at(log, RATES, 1, 1_000)
    assert key_opens_at(both, RATES, 1, 1_000) == by_rates > 9_000
    assert key_opens_at(snoozed(both, 50_000, 1_000), RATES, 1, 1_000) == 51_000
    assert forgotten_at(both, RATES, 1_000) == 19_008  # the start is logged at the next grain
    assert forgotten_at(snoozed((), 2_000, 1_000), (), 1_000) == 3_000


def test_a_settled_snooze_of_a_key_is_remembered_and_explained():
    view = attrs.evolve(queue(), known={"w1": frozenset({call("x").function})})
    for task_id in ("a1", "a2"):
        view = view.after(submit(view, group(call(task_id, key="a")), 0)[0])
    asked = ClaimRequest(incarnation="w1", lane=0, sequence=1, want=1, lease_ms=60_000)
    change, grant = claim(view, asked, 0)
    view, (first,) = view.after(change), grant.tasks
    event = Snoozed(error="S", after_ms=5_000, scope="key")
    settlement = Settlement(task_id=first.id, lease=first.lease, event=event)
    change, _ = settle(view, settlement, 0)
    ((key, log),) = change.key_logs
    assert (key, snoozed_until(log, 0)) == ("a", 5_000)
    after = view.after(change)
    why = explained(situation_of(after, after.tasks["a2"], 0, present=["w1"], slots={}))
    (reason,) = [each for each in why.reasons if each.code is Code.KEY_SNOOZED]
    assert reason.text == "a task snoozed its key 'a' for another 5 s (at 1970-01-01 00:00:05 UTC)"
    assert why.earliest_at == reason.until_at == 5_000
    alone = attrs.evolve(settlement, event=attrs.evolve(event, scope="task"))
    assert settle(view, alone, 0)[0].key_logs == ()
