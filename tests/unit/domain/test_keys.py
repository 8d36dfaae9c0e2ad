"""Keys: turns, limits, and what `PerKey` accepts."""

import math
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kew import InvalidConfigError, QueueConfig, Rate
from kew.domain.commands import limit_key
from kew.domain.explaining import Code, Situation, Sure
from kew.domain.gates.key_rate import KeyRate
from kew.domain.gates.keys import Keys
from kew.domain.key_limits import OwnLimits, as_key_limit, as_own_limits, lasts_ms, limits_of
from kew.domain.key_rooms import KeyRooms, read_log
from kew.domain.keys import LAST, PerKey, in_turn, key_of, move
from kew.domain.queue import NOTHING, claim, submit
from kew.domain.requests import ClaimRequest, Word
from kew.domain.snapshot import Snapshot
from kew.domain.task import Submission, Task, TaskStatus
from tests.support.tasks import call, group, queue, task


@pytest.mark.parametrize("name", ["max_workers", "max_size"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "1", 10**10])
def test_a_limit_of_each_key_is_a_whole_number(name: str, value: Any):
    with pytest.raises(InvalidConfigError, match=f"{name} of PerKey"):
        PerKey(**{name: value})


def test_a_queue_takes_a_per_key():
    config = QueueConfig("q", per_key=PerKey(max_workers=2, max_size=7))
    assert (config.settings().key_workers, config.settings().key_size) == (2, 7)
    assert QueueConfig("q").settings().key_workers == 0
    assert QueueConfig("q", per_key=PerKey()).settings().key_size == 0
    config = QueueConfig("q", per_key=PerKey(rate=(Rate(3, per=0.5, burst=2), Rate(9, per=60))))
    assert config.settings().key_rate == ((3, 500, 2), (9, 60_000, 0))
    with pytest.raises(InvalidConfigError, match="rate must be"):
        PerKey(rate=3)
    with pytest.raises(InvalidConfigError, match="PerKey"):
        QueueConfig("q", per_key=3)  # type: ignore[arg-type]


def test_a_closure_has_no_key():
    assert key_of(call("t", key="a")) == "a"
    assert key_of(call("t", key="a", function="@w1/f")) == ""


def lines(**sizes: int) -> dict[str, Iterator[Task]]:
    return {
        key.strip("_"): iter([task(call=call(f"{key}{n}", key=key)) for n in range(size)])
        for key, size in sizes.items()
    }


def test_each_key_takes_its_turn():
    found = in_turn(lines(a=3, b=1, c=2), {"b": 1, "a": 2, "c": 3}, lambda _: True, 5)
    assert [each.id for each in found] == ["b0", "a0", "c0", "a1", "c1"]


def test_a_key_without_room_is_passed_over():
    rooms = Counter({"a": 1, "c": 9})

    def takes(one: Task) -> bool:
        rooms[one.call.key] -= 1
        return rooms[one.call.key] >= 0

    found = in_turn(lines(a=3, b=1, c=2), {"b": 1, "a": 2, "c": 3}, takes, 5)
    assert [each.id for each in found] == ["a0", "c0", "c1"]


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 9)), st.integers(0, 40))
def test_no_key_starts_two_tasks_more_than_another_that_still_waits(sizes: Any, limit: int):
    turns = {key: n for n, key in enumerate(sizes)}
    found = [each.call.key for each in in_turn(lines(**sizes), turns, lambda _: True, limit)]
    assert len(found) == min(limit, sum(sizes.values()))
    for key, size in sizes.items():
        if found.count(key) < size:
            assert all(found.count(other) <= found.count(key) + 1 for other in sizes)


def moved(
    turns: dict[tuple[int, str], int], after: TaskStatus, key: str = "a", **more: Any
) -> None:
    before = task(call=call("t", key=key))
    move(turns, before, before.moved(status=after), **{"others_wait": False, **more})


def test_a_key_gets_a_turn_when_it_begins_to_wait_and_with_each_start():
    turns: dict[tuple[int, str], int] = {}
    waiting = task(call=call("t", key="a"))
    place = (waiting.call.priority, "a")
    move(turns, None, waiting, others_wait=False)
    assert turns == {LAST: 1, place: 1}
    move(turns, None, waiting, others_wait=True)
    assert turns == {LAST: 1, place: 1}
    moved(turns, TaskStatus.PROCESSING, others_wait=True)
    assert turns == {LAST: 2, place: 2}
    moved(turns, TaskStatus.CANCELLED, others_wait=True)
    assert turns == {LAST: 2, place: 2}
    moved(turns, TaskStatus.PROCESSING)
    assert turns == {LAST: 2}


def test_tasks_without_a_key_have_turns_once_the_queue_has_had_keys():
    turns: dict[tuple[int, str], int] = {}
    moved(turns, TaskStatus.PROCESSING, key="")
    assert turns == {}
    turns = {LAST: 4}
    moved(turns, TaskStatus.CANCELLED, key="")
    assert turns == {LAST: 4}
    moved(turns, TaskStatus.PROCESSING, key="")
    assert turns[LAST] == 5


def test_a_full_key_refuses_the_group_and_names_the_task():
    view = queue()
    view = attrs.evolve(
        view,
        state=attrs.evolve(view.state, settings=attrs.evolve(view.state.settings, key_size=1)),
    )
    _, outcome = submit(
        view, group(call("x"), call("y"), call("a", key="k"), call("b", key="k")), 0
    )
    assert (outcome.word, outcome.task_id) == (Word.KEY_FULL, "b")
    _, outcome = submit(view, group(call("a", key="k"), call("b", key="l")), 0)
    assert outcome.word is Word.DONE


# --- a queue with keys, as a snapshot


def keyed_queue(**limits: Any) -> Snapshot:
    view = queue()
    settings = attrs.evolve(view.state.settings, max_workers=10, **limits)
    view = attrs.evolve(view, state=attrs.evolve(view.state, settings=settings))
    for one in ("a1", "a2", "a3", "b1", "1"):
        view = submitted(view, call(one, key=one.rstrip("0123456789")))
    return view


def submitted(view: Snapshot, call: Submission) -> Snapshot:
    return view.after(submit(view, group(call), 0)[0])


def claimed(view: Snapshot, want: int, sequence: int = 1) -> tuple[Snapshot, list[str]]:
    asked = ClaimRequest(incarnation="a", lane=0, sequence=sequence, want=want, lease_ms=1_000)
    change, grant = claim(view, asked, 0)
    return view.after(change), [task.id for task in grant.tasks]


def test_a_snapshot_serves_keys_in_turn():
    view, ids = claimed(keyed_queue(), 9)
    assert ids == ["1", "a1", "b1", "a2", "a3"]
    assert not view.takes_turns
    assert queue().takes_turns is False


def test_a_snapshot_grants_a_key_no_more_than_its_limit():
    before = keyed_queue(key_workers=1)
    view, ids = claimed(before, 9)
    assert ids == ["1", "a1", "b1"]
    assert (view.held_of("a"), view.waiting_of("a"), view.takes_turns) == (1, 2, True)
    assert before.due_reasons(0) == {"f:shop:send"}
    assert view.due_reasons(0) == set()
    assert claimed(view, 9, sequence=2)[1] == []


def test_no_claim_waits_for_what_a_key_at_its_limit_has_later():
    view = submitted(queue(), call("a1", key="a"))
    settings = attrs.evolve(view.state.settings, key_workers=1)
    view = attrs.evolve(view, state=attrs.evolve(view.state, settings=settings))
    view = submitted(view, call("a2", key="a", delay_ms=500))
    assert view.next_due("a", 0) == 500
    assert view.next_due("a", 0, [view.tasks["a1"], task("1")]) is None


def test_a_full_key_is_named_even_if_none_of_its_holders_is():
    view = keyed_queue(key_workers=1)
    situation = Situation(
        now=0, horizon=0, task=view.tasks["a2"], state=view.state, held=1, key_held=1
    )
    reason = Keys().explain(situation, 1)
    assert reason is not None
    assert reason.text.endswith("as many as per_key allows")


# --- rates of keys


def rooms_at(now: int, *rates: tuple[int, int, int], **logs: tuple[int, ...]) -> KeyRooms:
    settings = attrs.evolve(queue().state.settings, key_rate=rates)
    return KeyRooms(settings=settings, now=now, held_of=lambda _: 0, logs=logs, limits={})


def test_a_key_starts_no_more_than_its_rates_allow():
    rooms = rooms_at(10, (2, 1_000, 0), (3, 5_000, 0))
    assert [rooms.takes(task(call=call(f"t{n}", key="a"))) for n in range(3)] == [True, True, False]
    assert rooms.takes(task(call=call("u", key="b")))
    assert rooms.takes(task(call=call("v")))
    assert (rooms.has_started("a"), rooms.has_started("c")) == (True, False)
    logs = dict(rooms.written())
    assert set(logs) == {"a", "b"}
    later = rooms_at(500, (2, 1_000, 0), (3, 5_000, 0), **logs)
    assert later.opens_at("a", 1) == 1_010
    assert later.opens_at("b", 1) == 500
    assert not later.allows("a", 1)


def test_a_start_takes_what_it_costs_and_no_more_than_its_rate_can_give():
    rooms = rooms_at(0, (5, 1_000, 2))
    rooms.start("a", 9)
    assert rooms.opens_at("a", 1) == 200
    assert rooms.opens_at("a", 9) == 400


def test_starts_that_lie_ahead_by_a_window_hold_nothing_back():
    rooms = rooms_at(100_000, (2, 1_000, 1))
    rooms.start("a", 1)
    logs = dict(rooms.written())
    assert rooms_at(100_000, (2, 1_000, 1), **logs).opens_at("a", 1) == 100_500
    assert rooms_at(50_000, (2, 1_000, 1), **logs).opens_at("a", 1) == 50_000
    assert rooms_at(99_500, (2, 1_000, 1), **logs).opens_at("a", 1) == 99_500
    assert rooms_at(99_500, (1, 1_000, 1), **logs).opens_at("a", 1) == 101_000


def test_a_log_of_another_rate_is_read_as_that_of_this_one():
    rooms = rooms_at(0, (3, 1_000, 2))
    rooms.start("a", 1)
    ((log, setting),) = read_log(dict(rooms.written())["a"], ((7, 1_000, 6),), 0)
    assert (log.unit, log.tat, log.fraction, setting) == (7, 334, 0, (7, 1_000, 6))


def test_a_snapshot_remembers_the_starts_of_keys():
    view = keyed_queue(key_rate=((1, 1_000, 0),))
    after, ids = claimed(view, 9)
    assert ids == ["1", "a1", "b1"]
    assert set(after.key_logs) == {"a", "b"}
    assert claimed(after, 9, sequence=2)[1] == []
    assert after.next_due("a", 0) == 1_000
    assert view.next_due("a", 0, [view.tasks["a1"]]) == 1_000
    assert after.due_reasons(0) == set()


def test_a_task_that_is_due_later_waits_for_its_keys_rate_as_well():
    view, _ = claimed(keyed_queue(key_rate=((3, 1_000, 0),)), 9)
    view = submitted(view, call("a4", key="a", delay_ms=500))
    view = submitted(view, call("b2", key="b", delay_ms=700))
    assert view.next_due("a", 0) == 700


def test_the_rate_of_a_key_is_explained_with_its_end():
    view, _ = claimed(keyed_queue(key_rate=((1, 1_000, 0), (5, 9_000, 0))), 9)
    situation = Situation(
        now=0,
        horizon=0,
        task=view.tasks["a2"],
        state=view.state,
        held=1,
        key_log=view.key_logs["a"],
    )
    reason = KeyRate().explain(situation, 1)
    assert reason is not None
    assert (reason.code, reason.until_at) == (Code.KEY_RATE, 1_000)
    assert reason.text.startswith(
        "the rate of its key 'a', 1 task in 1 s, is used up for another 1 s"
    )
    own = OwnLimits(rates=((1, 1_000, 0),), ends_at=400)
    reason = KeyRate().explain(attrs.evolve(situation, key_limits=own), 1)
    assert reason is not None
    assert (reason.sure, reason.until_at) == (Sure.ESTIMATE, 400)
    assert KeyRate().explain(attrs.evolve(situation, key_log=()), 1) is None
    assert KeyRate().explain(attrs.evolve(situation, task=task("1")), 1) is None


# --- limits of one key


def with_limits(view: Snapshot, **limits: OwnLimits | None) -> Snapshot:
    for key, own in limits.items():
        view = view.after(limit_key(view, key, own))
    return view


def test_a_snapshot_obeys_the_limits_of_one_key():
    view = with_limits(keyed_queue(key_workers=1), a=OwnLimits(workers=2), b=OwnLimits(size=1))
    after, ids = claimed(view, 9)
    assert ids == ["1", "a1", "b1", "a2"]
    after = with_limits(after, a=OwnLimits(workers=3, rates=((1, 500, 0),)))
    again, ids = claimed(after, 9, sequence=2)
    assert ids == ["a3"]
    assert set(again.key_logs) == {"a"}
    assert limit_key(view, "c", None) is NOTHING
    assert with_limits(view, a=None, b=None).key_limits == {}


def test_limits_of_a_key_end():
    own = OwnLimits(workers=1, ends_at=700)
    view = with_limits(keyed_queue(), a=own)
    after, ids = claimed(view, 9)
    assert ids == ["1", "a1", "b1"]
    assert after.next_due("a", 0) == 700
    assert after.next_due("a", 700) is None
    assert limits_of({"a": own}, "a", 699) is own
    assert limits_of({"a": own}, "a", 700) == limits_of({}, "a", 0) == OwnLimits()


def test_a_cost_is_judged_by_the_rates_of_its_key():
    view = with_limits(keyed_queue(), a=OwnLimits(rates=((3, 500, 0),)))
    outcomes = [submit(view, group(call("x", key=key, cost=4)), 0)[1] for key in ("a", "b", "")]
    assert [each.word for each in outcomes] == [Word.COSTLY, Word.DONE, Word.DONE]


def test_a_keys_own_limits_are_named_in_explanations():
    view = with_limits(keyed_queue(), a=OwnLimits(workers=1))
    situation = Situation(
        now=0,
        horizon=0,
        task=view.tasks["a2"],
        state=view.state,
        held=1,
        key_held=1,
        key_limits=OwnLimits(workers=1),
    )
    reason = Keys().explain(situation, 1)
    assert reason is not None
    assert reason.text.endswith("as many as its own limit allows")


def test_limits_of_a_key_are_given_as_for_per_key():
    own = as_own_limits(3, (Rate(5, per=2, burst=1),), 7)
    assert own == OwnLimits(workers=3, rates=((5, 2_000, 1),), size=7)
    assert as_own_limits(None, (), None) == OwnLimits(rates=())
    assert as_own_limits(None, Rate(1), None) == OwnLimits(rates=((1, 1_000, 0),))
    for wrong in ({"max_workers": 0}, {"rate": 3}, {"max_size": -1}, {}):
        values: Any = {"max_workers": None, "rate": None, "max_size": None, **wrong}
        with pytest.raises(InvalidConfigError):
            as_own_limits(**values)
    assert [lasts_ms(value) for value in (None, 1.5, timedelta(minutes=1))] == [0, 1_500, 60_000]
    for wrong_time in (0, -1, math.inf, "soon"):
        with pytest.raises(InvalidConfigError, match="expires_in"):
            lasts_ms(wrong_time)  # type: ignore[arg-type]


def test_limits_of_a_key_are_read_as_they_were_given():
    found = as_key_limit("a", OwnLimits(workers=3, rates=((5, 2_000, 1),), ends_at=1_000))
    assert (found.key, found.max_workers, found.max_size) == ("a", 3, None)
    assert found.rate == (Rate(5, per=2, burst=1),)
    assert found.to_dict() == {
        "key": "a",
        "max_workers": 3,
        "rate": [{"count": 5, "per": 2.0, "burst": 1}],
        "max_size": None,
        "expires": "1970-01-01T00:00:01+00:00",
    }
    plain = as_key_limit("a", OwnLimits(size=2)).to_dict()
    assert plain == {"key": "a", "max_workers": None, "rate": None, "max_size": 2, "expires": None}
