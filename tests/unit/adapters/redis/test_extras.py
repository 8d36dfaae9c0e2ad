"""What few tasks have, such as a key, is at the end of a record's line, whatever text it is."""

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kew.adapters.redis import extras, records
from kew.domain.errors import TaskUnreadableError
from kew.domain.task import Task
from tests.support.tasks import call

HOSTILE = ["a,b=c", "100%", " ", "\n", "\x00", "é\u2028 ☃", "%2C", "=", "x" * 256, "-", "3q"]
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)
NUMBERS = st.integers(0, 10**15 - 1)


def stored(**changes: Any) -> bytes:
    """The record of a new task as Redis has it."""
    _, due, end = records.new_record(call("t", **changes))
    version = b"3" if due.startswith("x") else b""
    return version + b"q orders 1 1000 0 - " + end


def read(raw: bytes) -> Task:
    return records.read_strictly("t", raw, 0)


@given(key=KEYS, cost=NUMBERS, start_by_ms=NUMBERS)
def test_extras_are_read_as_they_were_written(key: str, cost: int, start_by_ms: int):
    task = read(stored(key=key, cost=cost, start_by_ms=start_by_ms))
    assert (task.call.key, task.call.cost, task.call.start_by_ms) == (key, cost, start_by_ms)


@pytest.mark.parametrize("key", HOSTILE)
def test_a_key_of_any_text_breaks_no_record(key: str):
    raw = stored(key=key, cost=2, payload=b"payload\n=,")
    assert raw.count(b" ", 0, raw.index(b"\n")) == 12
    task = read(raw)
    assert task.call == call("t", key=key, cost=2, payload=b"payload\n=,")


@given(key=KEYS)
@pytest.mark.parametrize("more", [b"", b",cost=1"], ids=["alone", "with another extra"])
def test_a_key_alone_is_read_as_one_among_others(more: bytes, key: str):
    """It is read in a quicker way, since it is what most tasks with extras have."""
    head, _, body = stored(key=key, payload=b"a - key=b\nc").partition(b"\n")
    task = read(head + more + b"\n" + body)
    assert task.call == call("t", key=key, payload=b"a - key=b\nc")


@pytest.mark.parametrize("text", [b"key=", b"key=a b", b"key=a,", b"key=\xff"])
def test_a_damaged_key_is_found(text: bytes):
    raw = stored(key="KEY").replace(b"key=KEY", text)
    with pytest.raises(TaskUnreadableError):
        read(raw)


def test_a_task_without_extras_is_stored_as_before():
    raw = stored(payload=b"p")
    assert raw.startswith(b"q ")
    assert raw.partition(b"\n")[0].endswith(b" 1")
    assert extras.write(call()) == ""


@pytest.mark.parametrize("due", [{}, {"delay_ms": 5}, {"due_at": 7}, {"function": "@w1/f"}])
def test_a_due_time_says_whether_the_record_has_extras(due: dict[str, Any]):
    _, plain, _ = records.new_record(call(**due))
    for more in ({"key": "a"}, {"cost": 3}, {"start_by_ms": 3}):
        assert records.new_record(call(**due, **more))[1] == f"x{plain}"


def with_extras(text: bytes) -> bytes:
    return stored(key="KEY").replace(b"key=KEY", text)


def test_snoozes_are_read():
    task = read(with_extras(b"key=a,snoozes=4"))
    assert (task.snoozes, task.call.key) == (4, "a")
    assert attrs.evolve(task, snoozes=0).snoozes == 0


@pytest.mark.parametrize(
    "text",
    [b"cost=x", b"cost=", b"cost", b"key=", b"cost=-1", b"cost=9999999999999999", b"cost=\xff"],
)
def test_damaged_extras_are_damage(text: bytes):
    raw = with_extras(text)
    with pytest.raises(TaskUnreadableError):
        read(raw)
    assert records.newer_version(raw) == 0


@pytest.mark.parametrize("text", [b"colour=3", b"key=a,colour=red"])
def test_an_unknown_name_is_of_a_newer_version(text: bytes):
    raw = with_extras(text)
    with pytest.raises(TaskUnreadableError):
        read(raw)
    assert records.newer_version(raw) == records.VERSION + 1


@pytest.mark.parametrize("text", [b"key=a", b"key=a,cost=3,start_by=1,snoozes=2"])
def test_known_names_are_not_newer(text: bytes):
    assert records.newer_version(with_extras(text)) == 0


def test_a_running_task_with_extras_is_running():
    assert records.is_running(b"3p orders 1")
