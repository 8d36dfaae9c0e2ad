"""Values that are made quickly are those that the constructor makes."""

import copy
import pickle
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kew.app.ports import Submitted, make_submitted
from kew.app.working.context import TaskContext, make_context
from kew.domain.queue import Change, make_change
from kew.domain.requests import Along, Grant, Group, Word, make_along, make_grant, make_group
from kew.domain.task import Submission, TaskStatus, make_submission, make_task
from kew.domain.values import _writer, maker, mover
from tests.support.tasks import call, ended

MADE = [
    (make_submission, call(payload=b"p", max_retries=3)),
    (make_task, ended(result=b"r", watchers=("a",))),
    (make_group, Group(submissions=(call(),))),
    (make_grant, Grant(word=Word.DONE)),
    (make_submitted, Submitted(outcomes=(), now_ms=1)),
    (make_along, Along(claim=None, settlements=(), submitter="")),
    (
        make_context,
        TaskContext(
            task_id="a", queue="q", task_type="t", attempt=1, fencing_token=2, deadline=3.0
        ),
    ),
]


@pytest.mark.parametrize(("make", "value"), MADE)
def test_a_value_is_made_of_its_fields_and_is_frozen_then(make: Any, value: Any) -> None:
    fields = attrs.asdict(value, recurse=False)
    made = make(*fields.values())
    assert type(made) is type(value)
    assert made == value
    assert hash(made) == hash(value)
    assert repr(made) == repr(value)
    assert copy.copy(made) == pickle.loads(pickle.dumps(made)) == attrs.evolve(made) == value
    for name in fields:
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(made, name, None)
    with pytest.raises(AttributeError):
        made.another = None


@pytest.mark.parametrize(("make", "value"), MADE)
def test_a_value_is_made_of_all_its_fields(make: Any, value: Any) -> None:
    with pytest.raises(TypeError):
        make(*list(attrs.asdict(value, recurse=False).values())[1:])


def test_a_change_is_made_of_its_fields() -> None:
    change = Change((ended(),), lane=("w.0", 1))
    made = make_change(*attrs.asdict(change, recurse=False).values())
    assert type(made) is Change
    assert made == change


def test_what_a_function_says_of_every_call_are_fields_side_by_side_before_the_extras() -> None:
    names = [field.name for field in attrs.fields(Submission)]
    assert names[-9:-5] == ["at_most_once", "max_retries", "retry_delay_ms", "timeout_ms"]
    assert names[-5:] == ["key", "cost", "start_by_ms", "trace", "unique"]


@given(st.integers(0, 9), st.binary(), st.sampled_from(TaskStatus))
def test_moved_is_evolve_without_its_cost(failures: int, result: bytes, status: TaskStatus) -> None:
    before = ended()
    same = attrs.evolve(before)
    moved = before.moved(failures=failures, result=result, status=status)
    assert moved == attrs.evolve(before, failures=failures, result=result, status=status)
    assert before == same
    assert before.moved() == before
    with pytest.raises(AttributeError):
        before.moved(no_such_field=1)


@attrs.frozen(weakref_slot=False)
class Pair:
    left: int
    right: str = "r"


@attrs.frozen(weakref_slot=False)
class Named:
    """Its fields have names that the makers use, too."""

    draft: int
    kind: int
    value: int
    write: int


def test_a_maker_and_a_mover_of_any_frozen_class() -> None:
    """Made here, so that what they do at that time is looked at too."""
    make, moved = maker(Pair), mover(Pair)
    pair = make(1, "one")
    assert (type(pair), pair.left, pair.right) == (Pair, 1, "one")
    assert pair == Pair(1, "one")
    assert pair != Pair(2, "one")
    other = moved(pair, right="two")
    assert (type(other), other, pair) == (Pair, Pair(1, "two"), Pair(1, "one"))
    assert moved(Pair(3)) == Pair(3, "r")
    with pytest.raises(TypeError):
        make(1)
    with pytest.raises(AttributeError):
        moved(pair, middle=0)


def test_a_field_may_have_any_name() -> None:
    assert maker(Named)(1, 2, 3, 4) == Named(1, 2, 3, 4)
    assert mover(Named)(Named(1, 2, 3, 4), value=5, kind=6) == Named(1, 6, 5, 4)


def test_what_a_value_is_written_as_has_its_slots_alone() -> None:
    write = _writer(Pair)
    written = write(1, "one")
    assert type(written).__name__ == "PairDraft"
    assert (written.left, written.right) == (1, "one")
    assert repr(written) == object.__repr__(written)
    assert written != write(1, "one")
    for slot in ("__dict__", "__weakref__"):
        assert not hasattr(written, slot)
    with pytest.raises(AttributeError):
        written.middle = 0
