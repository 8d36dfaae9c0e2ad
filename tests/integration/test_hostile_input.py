"""Whatever is handed in: it is stored whole, or refused with a typed error and nothing of it stored.

`KEW_INPUTS` scales the number of examples: the default is what CI runs.
"""

import asyncio
import contextlib
import datetime as dt
import os
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any
from uuid import uuid4

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kew import QueueConfig, TaskInfo, TaskQueueError, TaskQueueManager
from tests.support import jobs
from tests.support.redis_process import connect

INPUTS = int(os.environ.get("KEW_INPUTS", "700"))
many = settings(
    max_examples=INPUTS,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# --- what may be handed in

surrogates = st.text(st.characters(categories=["Cs", "L", "Cc"]), max_size=6)
odd_ids = ["", "a" * 256, "a" * 257, "é" * 128, "é" * 129, "\ud800", "\0", "\r\n", "\u202e", " "]
odd_keys = ["{", "}", "{q}", ":", "*", "kew:tasks", "kew:{q}:state", "@x/1:f", "__proto__", "nan"]
odd_text = st.sampled_from([*odd_ids, *odd_keys])
names = st.text(max_size=20) | surrogates | odd_text
numbers = (
    st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from([2**31, 2**53, 2**63, 2**64, 1e14, 1e308, -0.0])
)
unencodable = st.sampled_from([object(), open, {1, 2}, 1j, range(3), type, Ellipsis, jobs])
scalars = st.none() | st.booleans() | numbers | names | st.binary(max_size=20) | unencodable


def is_hashable(value: object) -> bool:
    """It may be the key of a dictionary."""
    return value.__hash__ is not None


anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(names, inner, max_size=4)
        | st.dictionaries(scalars.filter(is_hashable), inner, max_size=2)
    ),
    max_leaves=8,
)
deep = st.integers(1, 200).map(lambda depth: nested(depth))
big = st.sampled_from([2**10, 2**18 - 100, 2**18 + 100, 2**20]).map(lambda size: b"x" * size)
arguments = anything | deep | big
task_ids = names | st.uuids().map(str) | scalars
times = (
    st.none()
    | numbers
    | st.datetimes()
    | st.datetimes(timezones=st.just(dt.UTC))
    | st.timedeltas()
    | scalars
)
priorities = st.sampled_from([None, 1, 2, 3, 0, 4, True, 1.0, "HIGH", "1", [], object()])
functions = st.sampled_from(
    [jobs.echo, jobs.never_end, print, len, 7, None, "os:system", lambda: 1]
)


def nested(depth: int) -> object:
    """A list in a list in a list."""
    value: object = 0
    for _ in range(depth):
        value = [value]
    return value


calls = st.fixed_dictionaries(
    {"task_id": task_ids, "task_type": names | scalars, "task_func": functions},
    optional={
        "priority": priorities,
        "args": st.lists(arguments, max_size=3),
        "kwargs": st.dictionaries(names, arguments, max_size=3),
        "_defer_until": times,
        "_defer_by": times,
        "_token": st.none() | scalars,
    },
)
# One wrong thing at a time gets further than many.
nearly_right = st.builds(
    lambda right, wrong, keep: {**right, **{k: v for k, v in wrong.items() if k in keep}},
    st.builds(lambda: {"task_id": str(uuid4()), "task_type": "t", "task_func": jobs.echo}),
    calls,
    st.sets(
        st.sampled_from(["task_id", "task_type", "task_func", "priority", "args", "kwargs"])
        | st.sampled_from(["_defer_until", "_defer_by", "_token"]),
        max_size=2,
    ),
)
entries = nearly_right | calls
strange_entries = entries | st.dictionaries(names, scalars, max_size=3) | scalars


# --- what it is handed to


@attrs.define
class Subject:
    """A manager with a queue "q" that nobody works on, in a loop of its own."""

    manager: TaskQueueManager
    stored: Callable[[], int]
    runner: asyncio.Runner

    def outcome(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """What it returns, or the typed error that it raises; any other error goes on."""

        async def attempt() -> Any:
            try:
                return await call()
            except TaskQueueError as error:
                return error

        return self.runner.run(attempt())


@pytest.fixture
def subject(store_url: str) -> Iterator[Subject]:
    with asyncio.Runner() as runner:
        manager = TaskQueueManager(store_url)
        runner.run(begin(manager))
        if store_url.startswith("redis"):
            with contextlib.closing(connect(store_url)) as client:
                yield Subject(manager, lambda: int(client.hlen("kew:tasks")), runner)
        else:
            records = manager._parts.store.namespace.records  # type: ignore[attr-defined]  # the memory store's
            yield Subject(manager, lambda: len(records), runner)
        runner.run(manager.shutdown())


async def begin(manager: TaskQueueManager) -> None:
    await manager.initialize()
    await manager.create_queue(QueueConfig("q", max_size=1_000_000_000), work=False)


@many
@given(entry=entries)
def test_a_call_is_stored_whole_or_refused_with_a_typed_error(
    subject: Subject, entry: dict[str, Any]
):
    before = subject.stored()
    more = {key: entry[key] for key in ("_defer_until", "_defer_by", "_token") if key in entry}
    rest = (entry.get("priority"), *entry.get("args", ()))
    kwargs = {k: v for k, v in entry.get("kwargs", {}).items() if k not in TAKEN}
    call: Any = (entry["task_id"], "q", entry["task_type"], entry["task_func"], *rest)
    submit: Any = subject.manager.submit_task
    outcome = subject.outcome(lambda: submit(*call, **more, **kwargs))
    assert_stored_or_refused(subject, [entry], outcome, before)


TAKEN = {"self", "task_id", "queue_name", "task_type", "task_func", "priority"}


@many
@given(batch=st.lists(strange_entries, max_size=4) | scalars)
def test_a_batch_is_stored_whole_or_refused_with_a_typed_error(subject: Subject, batch: Any):
    before = subject.stored()
    outcome = subject.outcome(lambda: subject.manager.submit_tasks("q", batch))
    assert_stored_or_refused(subject, batch, outcome, before)


def assert_stored_or_refused(subject: Subject, batch: Any, outcome: Any, before: int) -> None:
    """All of it can be read back, or none of it is there."""
    if isinstance(outcome, TaskQueueError):
        assert subject.stored() == before
        assert str(outcome)
        return
    infos = outcome if isinstance(outcome, list) else [outcome]
    assert subject.stored() == before + len(batch)
    for entry, info in zip(batch, infos, strict=True):
        assert info.task_id == entry["task_id"]
        found = subject.outcome(partial(subject.manager.get_task_status, info.task_id))
        assert isinstance(found, TaskInfo), found
        assert (found.task_id, found.task_type) == (info.task_id, info.task_type)
        assert TaskInfo.from_json(found.to_json()) == found


@many
@given(asked=task_ids | anything, queue=(names | scalars).filter(lambda name: name != "q"))
def test_any_question_gets_an_answer_or_a_typed_error(subject: Subject, asked: Any, queue: Any):
    before, manager = subject.stored(), subject.manager
    for call in (
        lambda: manager.get_task_status(asked),
        lambda: manager.cancel_task(asked),
        lambda: manager.replay_task(asked),
        lambda: manager.get_queue_status(queue),
        lambda: manager.pause_queue(queue),
        lambda: manager.submit_task("task", queue, "t", jobs.echo),
    ):
        assert isinstance(subject.outcome(call), TaskQueueError | TaskInfo | dict | bool | None)
    assert subject.stored() == before


settable = [field.name for field in attrs.fields(QueueConfig) if field.name != "name"]
values = scalars | st.integers(0, 200)


@many
@given(
    name=names | st.just("queue"),
    options=st.dictionaries(st.sampled_from(settable), values, max_size=3),
)
def test_a_config_is_declared_as_it_says_or_refused_with_a_typed_error(
    subject: Subject, name: str, options: dict[str, Any]
):
    async def declare() -> Any:
        config = QueueConfig(name, **options)
        manager = subject.manager
        if config.name in manager.queues:
            return config
        await manager.create_queue(config, work=False)
        status = await manager.get_queue_status(config.name)
        assert (status["max_workers"], status["max_size"]) == (config.max_workers, config.max_size)
        return config

    assert isinstance(subject.outcome(declare), TaskQueueError | QueueConfig)


@many
@given(
    url=st.sampled_from(["redis://", "rediss://", "unix://", "memory://", "http://", ""]).flatmap(
        lambda scheme: names.map(lambda rest: scheme + rest)
    )
    | scalars,
    options=st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("namespace", "max_concurrency", "trust", "patience", "tick"), anything
        ),
    ),
)
def test_a_manager_is_made_or_refused_with_a_typed_error(url: Any, options: dict[str, Any]):
    with contextlib.suppress(TaskQueueError):
        TaskQueueManager(url, **options)
