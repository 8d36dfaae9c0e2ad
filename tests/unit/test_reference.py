"""docs/reference.md lists exactly the names that the code has."""

import ast
import inspect
import re
import sys
from pathlib import Path
from typing import get_args

import attrs
import pytest

import kew
import kew.exceptions
from kew import (
    Attempt,
    DeadLetterGroup,
    DeadLetterPage,
    Explanation,
    HistoryPoint,
    Observer,
    QueueConfig,
    QueueHistory,
    Reason,
    StoreCall,
    TaskContext,
    TaskEvent,
    TaskFunction,
    TaskHandle,
    TaskInfo,
    TaskPage,
    TaskQueueManager,
    TaskStatus,
    WorkerLoss,
)
from kew.app.listing import STATES
from kew.app.observer import Kind
from kew.app.registered import Options
from kew.app.submitting.batch import KEYS
from kew.compat import is_like_async
from kew.domain.attempts import HowFailed
from kew.domain.explaining import Code, Sure
from kew.functions import Overrides

PAGE = (Path(__file__).parents[2] / "docs/reference.md").read_text()
ROW = re.compile(r"^\| `(.*?)` \| (.*) \|$", re.MULTILINE)
TABLE = re.compile(r"^\| (.*?) \|.*\n\| ---.*\n((?:\|.*\n)+)", re.MULTILINE)
ERRORS = [
    name
    for name in kew.exceptions.__all__
    if name not in ("Retry", "Snooze", "RateLimited", "GiveUp")
]


def tables(heading: str) -> list[dict[str, str]]:
    """The tables below a heading: each row's first cell (a name, without its parameters) and the rest of the row."""
    return [
        {cell.partition("(")[0]: rest for cell, rest in ROW.findall(rows)}
        for _, rows in TABLE.findall(section(heading))
    ]


def section(heading: str) -> str:
    [text] = re.findall(
        rf"^##+ {re.escape(heading)}\n\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL
    )
    assert isinstance(text, str)
    return text


def members_of(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_every_public_name_is_listed():
    _context, raised = tables("In a task")
    listed = set(re.findall(r"^### (\w+Error)$", PAGE, re.MULTILINE))
    assert set().union(*tables("Classes"), raised, listed) == set(kew.__all__)


def test_every_method_of_the_manager_is_listed():
    [methods] = tables("The manager")
    assert set(methods) == members_of(TaskQueueManager) | {"queues"}


def test_the_manager_table_says_which_methods_are_awaited():
    [methods] = tables("The manager")
    said = {
        name for name, text in methods.items() if not re.match(r"\*(plain|property|attr)", text)
    }
    assert said == {
        name
        for name in members_of(TaskQueueManager)
        if inspect.iscoroutinefunction(getattr(TaskQueueManager, name))
        or is_like_async(getattr(TaskQueueManager, name))
    }


def test_the_options_of_the_decorator_are_listed():
    [options] = tables("Options of `@manager.task`")
    assert set(options) == {*Options.__annotations__, "name", "task_type"}


def test_the_options_of_a_submit_are_listed():
    [options] = tables("Options of a submit")
    assert list(options) == list(Overrides.__annotations__)


def test_the_keys_of_a_batch_are_listed():
    [keys] = tables("An entry of a batch")
    assert set(keys) == {key.removeprefix("_") for key in KEYS}


@pytest.mark.parametrize("kind", [Observer, TaskEvent, StoreCall, WorkerLoss])
def test_what_an_observer_sees_is_listed(kind):
    methods, of_tasks, kinds, of_calls, of_losses = tables("Observers")
    listed = {Observer: methods, TaskEvent: of_tasks, StoreCall: of_calls, WorkerLoss: of_losses}
    assert set(listed[kind]) == members_of(kind)
    assert tuple(kinds) == get_args(Kind)


@pytest.mark.parametrize(
    ("heading", "place", "kind"),
    [
        ("Handles and statuses", 0, TaskHandle),
        ("Handles and statuses", 1, TaskFunction),
        ("Handles and statuses", 2, TaskInfo),
        ("Lists of tasks", 1, TaskPage),
        ("Dead letters", 1, DeadLetterPage),
        ("Dead letters", 2, DeadLetterGroup),
        ("Dead letters", 3, Attempt),
        ("In a task", 0, TaskContext),
        ("The history of a queue", 0, QueueHistory),
        ("The history of a queue", 1, HistoryPoint),
    ],
)
def test_the_members_of_a_class_are_listed(heading, place, kind):
    listed = set(tables(heading)[place])
    assert listed == members_of(kind) - {"function", "registration", "queue", "task_type"} | (
        {"queue", "task_type", "function"} & listed
    )


@pytest.mark.parametrize(("place", "kind"), [(0, Explanation), (2, Reason)])
def test_the_members_of_an_explanation_exist(place, kind):
    names = re.findall(r"`(\w+)`", " ".join(f"`{row}`" for row in tables("Explanations")[place]))
    assert [name for name in names if not hasattr(kind, name)] == []
    assert {field.name for field in attrs.fields(kind)} - set(names) <= {
        *("now", "earliest_at", "until_at"),
    }


def test_the_codes_of_reasons_are_listed():
    *_, sures, _members, codes = tables("Explanations")
    assert set(codes) == {code.value for code in Code}
    assert set(sures) == {sure.value for sure in Sure}


def test_the_ways_in_which_an_attempt_fails_are_listed():
    *_, ways = tables("Dead letters")
    assert set(ways) == {way.value for way in HowFailed}


def test_the_filters_of_dead_letters_are_listed():
    listed = re.findall(
        r"`(\w+)`", re.findall(r"^\| filter.*?\n\n", PAGE, re.MULTILINE | re.DOTALL)[0]
    )
    names = set(inspect.signature(TaskQueueManager.purge_dead_letters).parameters)
    assert names - {"self", "queue_name", "limit"} <= set(listed)


def test_the_states_of_lists_are_listed():
    assert list(tables("Lists of tasks")[0]) == [f'"{state}"' for state in STATES]


def test_the_statuses_are_listed():
    classes, *_ = tables("Classes")
    assert set(re.findall(r"`(\w+)`", classes["TaskStatus"])) == {one.value for one in TaskStatus}


async def test_the_keys_of_a_queues_status_are_listed():
    [keys] = tables("The status of a queue")
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        assert set(keys) == set(await manager.get_queue_status("q"))


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_has_a_section_with_its_base_classes_and_attributes(name):
    kind = getattr(kew, name)
    [(bases, attributes)] = re.findall(
        r"\ABase class(?:es)?: ([^.]*)\.(?: Attributes: ([^.]*)\.)?$", section(name), re.MULTILINE
    )
    assert re.findall(r"`(\w+)`", bases) == [base.__name__ for base in kind.__bases__]
    assert set(re.findall(r"`(\w+)`", attributes)) == attributes_of(kind)


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_says_when_it_is_raised_and_what_to_do(name):
    assert "- **Raised when** " in section(name)
    assert "- **What to do:** " in section(name)


def attributes_of(kind: type[Exception]) -> set[str]:
    """The public attributes that an error's `__init__` sets."""
    [made] = [
        node
        for node in ast.parse(inspect.getsource(sys.modules[kind.__module__])).body
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__
    ]
    return {
        node.attr
        for node in ast.walk(made)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and not node.attr.startswith("_")
    }
