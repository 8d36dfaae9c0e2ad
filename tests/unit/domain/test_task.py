"""Task ids, pinned functions, and the task as a value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kew.domain.errors import InvalidTaskError
from kew.domain.task import (
    MOST_WATCHERS,
    TERMINAL,
    WAITING,
    QueuePriority,
    TaskStatus,
    can_run,
    check_task_id,
    is_absent,
    pinned_name,
    shelf_of,
    unique_id,
    watchers_with,
)
from tests.support.tasks import NOW, call, ended, task

any_text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=64)


@pytest.mark.parametrize(
    "task_id", ["a", "x" * 256, "ä" * 128, "{brace}", "a b\n", "\0", "\U0001f600" * 64]
)
def test_any_text_of_up_to_256_bytes_is_an_id(task_id: str) -> None:
    assert check_task_id(task_id) == task_id


@given(any_text)
def test_an_id_is_checked_and_left_alone(task_id: str) -> None:
    assert check_task_id(task_id) is task_id


@pytest.mark.parametrize(
    ("task_id", "shown", "reason"),
    [
        ("", "", "a task id has 1 to 256 bytes, this one 0"),
        ("x" * 257, "x" * 40, "a task id has 1 to 256 bytes, this one 257"),
        ("ä" * 129, "ä" * 40, "a task id has 1 to 256 bytes, this one 258"),
        ("\udc80", "'\\udc80'", "its id is not valid Unicode"),
        (b"a", "b'a'", "a task id is text, not bytes"),
        (None, "None", "a task id is text, not NoneType"),
        (7, "7", "a task id is text, not int"),
    ],
)
def test_what_is_not_an_id_is_refused(task_id: object, shown: str, reason: str) -> None:
    with pytest.raises(InvalidTaskError) as raised:
        check_task_id(task_id)
    assert (raised.value.task_id, raised.value.reason) == (shown, reason)


@given(st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True), any_text)
def test_a_pinned_function_names_its_process(incarnation: str, name: str) -> None:
    assert call(function=pinned_name(incarnation, name)).pinned_to == incarnation


def test_a_pinned_name_is_told_by_its_first_letter() -> None:
    assert pinned_name("a1", "shop:send.<lambda>") == "@a1/shop:send.<lambda>"


def test_a_module_level_function_is_pinned_to_nobody() -> None:
    assert call(function="shop:a/b").pinned_to == ""


def test_every_status_waits_runs_or_has_ended() -> None:
    assert WAITING | TERMINAL | {TaskStatus.PROCESSING} == set(TaskStatus)
    for status in TaskStatus:
        one = task(status=status)
        assert one.is_waiting == (status in WAITING)
        assert one.is_terminal == (status in TERMINAL)
        assert one.is_waiting + one.is_terminal + (status is TaskStatus.PROCESSING) == 1


def test_the_names_that_users_see() -> None:
    assert [status.value for status in TaskStatus] == [
        *("queued", "processing", "completed", "failed", "retry", "cancelled")
    ]
    assert [(p.name, p.value) for p in QueuePriority] == [("HIGH", 1), ("MEDIUM", 2), ("LOW", 3)]


@pytest.mark.parametrize(("now", "absent"), [(NOW, False), (NOW + 9, False), (NOW + 10, True)])
def test_an_ended_record_is_absent_from_its_expiry_on(now: int, absent: bool) -> None:
    assert is_absent(ended(expires_at=NOW + 10), now) == absent


def test_a_record_that_has_not_ended_is_never_absent() -> None:
    assert not is_absent(task(), NOW * 1000)


def test_a_record_may_expire_at_the_very_first_instant() -> None:
    assert is_absent(ended(expires_at=1), 1)


@pytest.mark.parametrize(
    ("label", "identity", "made"),
    [
        ("mail", "abc", "mail-abc"),
        ("ä" * 126, "abc", "ä" * 126 + "-abc"),
        ("x" * 252, "abc", "x" * 252 + "-abc"),
        ("x" * 253, "abc", "x" * 252 + "-abc"),
        ("ä" * 127, "abc", "ä" * 126 + "-abc"),
        ("x" + "ä" * 126, "abc", "x" + "ä" * 125 + "-abc"),
        ("\ud800" + "x" * 64, "abc", "?" + "x" * 64 + "-abc"),
    ],
)
def test_a_unique_id_is_the_label_cut_to_fit_and_the_identity(
    label: str, identity: str, made: str
) -> None:
    assert unique_id(label, identity) == made
    assert check_task_id(made) == made


@given(any_text)
def test_any_short_label_makes_an_id_that_can_be_one(label: str) -> None:
    made = unique_id(label * 4, "0123456789abcdef")
    assert check_task_id(made) == made
    assert made.endswith("-0123456789abcdef")


def test_a_closure_waits_for_its_process_and_any_other_task_for_its_function() -> None:
    assert shelf_of(pinned_name("w1", "1:closure")) == "@w1"
    assert shelf_of("shop:send") == "shop:send"


@pytest.mark.parametrize(
    ("function", "can"),
    [
        ("f", True),
        ("g", False),
        (pinned_name("w1", "any"), True),
        (pinned_name("w12", "any"), False),
        (pinned_name("w2", "any"), False),
    ],
)
def test_a_process_can_run_what_it_announced_and_its_own_closures(function: str, can: bool) -> None:
    assert can_run("w1", {"f"}, function) is can


def test_a_task_keeps_those_that_asked_for_its_end_last() -> None:
    watchers: tuple[str, ...] = ()
    for n in range(MOST_WATCHERS + 3):
        watchers = watchers_with(watchers, f"w{n}")
    assert watchers == tuple(f"w{n}" for n in range(3, MOST_WATCHERS + 3))
