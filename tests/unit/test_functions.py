"""A decorated function looks like the function, to Python and to other managers."""

import asyncio
import copy
import inspect
import logging
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, get_args

import pytest

from kew import InvalidConfigError, QueueConfig, TaskFailedError, TaskFunction, TaskQueueManager
from kew.app.registry import Registry
from kew.functions import NO_QUEUE
from tests.support import decorated, jobs


@pytest.fixture
async def manager():
    async with TaskQueueManager("memory://") as manager:
        yield manager


# --- to Python


@pytest.mark.parametrize(
    "is_coroutine_function", [inspect.iscoroutinefunction, asyncio.iscoroutinefunction]
)
def test_it_is_a_coroutine_function_if_the_function_is_one(is_coroutine_function):
    assert is_coroutine_function(decorated.send)
    assert is_coroutine_function(decorated.send.options(task_id="a"))
    assert not is_coroutine_function(decorated.count)
    assert is_coroutine_function(
        decorated.manager.task()(partial(jobs.echo))
    ) is is_coroutine_function(partial(jobs.echo))


def test_it_says_of_itself_what_the_function_says():
    send: Any = decorated.send
    assert str(inspect.signature(send)) == "(to: str, subject: str = 'hello') -> str"
    assert (send.__name__, send.__qualname__, send.__module__) == (
        "send",
        "send",
        decorated.__name__,
    )
    assert inspect.getdoc(send) == "Send a mail."
    assert send.__wrapped__ is send.function
    assert inspect.unwrap(send) is send.function
    assert inspect.getsource(send).startswith("@manager.task")


def test_a_copy_is_the_function_itself():
    for function in (decorated.send, decorated.send.options(queue="other")):
        assert copy.copy(function) is function
        assert copy.deepcopy([function])[0] is function


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_is_pickled_by_its_name(protocol):
    for function in (decorated.send, decorated.count):
        assert pickle.loads(pickle.dumps(function, protocol)) is function
    assert (
        pickle.loads(pickle.dumps(decorated.Jobs.shout, max(protocol, 4))) is decorated.Jobs.shout
    )


def test_its_options_are_pickled_with_it():
    function = decorated.send.options(task_id="a", queue="other", priority=1)
    copied = pickle.loads(pickle.dumps(function))
    assert copied.function is function.function
    assert copied._options == function._options


def test_what_has_no_place_in_a_module_says_why_it_is_not_pickled():
    local = decorated.manager.task()(lambda: None)
    for function in (local, decorated.under_another_name):
        with pytest.raises(pickle.PicklingError, match="under its own name"):
            pickle.dumps(function)


def test_another_process_calls_it():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(decorated.called_there, decorated.count, "abc").result(60) == (True, 3)


def test_its_type_has_two_parameters_and_may_have_a_third():
    assert get_args(TaskFunction[[str], int])[1:] == (int, Any)
    assert get_args(TaskFunction[[str], int, str])[1:] == (int, str)


# --- to other managers


async def test_another_manager_takes_it_as_the_function_that_it_is(manager, caplog):
    await manager.create_queue(QueueConfig("mails"), functions=[decorated.send, decorated.count])
    names = {f"{decorated.__name__}:send", "count-letters"}
    assert names <= set(manager._registry.names())
    infos = await manager.submit_tasks(
        "mails",
        [
            {"task_id": "b", "task_type": "t", "task_func": decorated.send, "args": ["bob"]},
            {"task_id": "c", "task_type": "t", "task_func": decorated.count, "args": ["abc"]},
        ],
    )
    infos.append(await manager.submit_task("a", "mails", "t", decorated.send, None, "ada"))
    results = [await manager.handle(info).result(timeout=30) for info in infos]
    assert results == ["hello -> bob", 3, "hello -> ada"]
    assert not caplog.records


async def test_a_submit_to_another_manager_registers_it_as_it_was_decorated(manager, caplog):
    await manager.create_queue(QueueConfig("mails"))
    caplog.set_level(logging.INFO, logger="kew")
    await manager.submit_task("a", "mails", "t", decorated.send, None, "ada")
    await manager.submit_task("b", "mails", "t", decorated.count, None, "abc")
    known = manager._registry.resolve(f"{decorated.__name__}:send")
    assert (known.max_retries, known.queue) == (2, "mails")
    assert manager._registry.resolve("count-letters").function is decorated.count.function
    told = [each for each in caplog.records if "registered by a submit" in each.getMessage()]
    assert [each.levelname for each in told] == ["INFO", "INFO"]
    assert "TaskQueueManager(trust=('tests',))" in told[0].getMessage()


def test_a_trusted_module_may_have_decorated_its_functions():
    registry = Registry("p", trust=("tests",))
    sending = registry.resolve(f"{decorated.__name__}:send")
    shouting = registry.resolve(f"{decorated.__name__}:Jobs.shout")
    assert sending.function is decorated.send.function
    assert shouting.function is decorated.Jobs.shout.function
    assert (sending.max_retries, shouting.max_retries) == (2, None)


async def test_two_managers_may_decorate_one_function(manager):
    both = manager.task(queue="other")(decorated.send)
    assert both.function is decorated.send.function
    await manager.create_queue(QueueConfig("other"))
    assert await (await both.submit("ada")).result(timeout=30) == "hello -> ada"


async def test_a_queue_may_be_given_as_its_configuration(manager):
    assert decorated.send.queue == "mails"
    await manager.create_queue(decorated.MAILS)
    work = manager.task()(jobs.echo)
    for options in ({"queue": decorated.MAILS}, {"queue": "mails"}):
        assert await (await work.options(**options).submit(1)).result(timeout=30) == 1
    with pytest.raises(InvalidConfigError, match=NO_QUEUE[:8]):
        await work.submit(1)
    with pytest.raises(InvalidConfigError, match="queue"):
        manager.task(queue=5)


# --- methods


def test_a_method_is_refused_with_the_remedy(manager):
    with pytest.raises(InvalidConfigError, match="module-level function"):

        class Shop:
            @manager.task(queue="q")
            async def sell(self, item: str) -> str:
                return item


def test_a_method_whose_first_argument_has_another_name_is_refused_when_its_class_is_made(manager):
    with pytest.raises((InvalidConfigError, RuntimeError)) as caught:

        class Shop:
            @manager.task(queue="q")
            async def sell(this, item: str) -> str:  # noqa: N805
                return item

    error = caught.value
    assert "module-level function" in str(error.__cause__ or error)


@pytest.mark.parametrize("kind", [staticmethod, classmethod])
def test_a_static_or_class_method_is_refused_with_the_remedy(manager, kind):
    with pytest.raises(InvalidConfigError, match=r"above|module-level"):
        manager.task(queue="q")(kind(jobs.echo))


async def test_a_static_method_may_hold_a_decorated_function(manager):
    class Shop:
        @staticmethod
        @manager.task(queue="q")
        async def sell(item: str) -> str:
            return item

    await manager.create_queue(QueueConfig("q"))
    assert await (await Shop.sell.submit("tea")).result(timeout=30) == "tea"


def test_a_class_may_have_a_decorated_function_as_an_attribute():
    class Settings:
        mailer = decorated.send

    assert Settings.mailer is decorated.send


async def test_a_static_method_is_decorated_outside_of_its_class(manager):
    class Shop:
        @staticmethod
        async def sell(item: str) -> str:
            return item

    await manager.create_queue(QueueConfig("q"))
    assert (
        await (await manager.task(queue="q")(Shop.sell).submit("tea")).result(timeout=30) == "tea"
    )


async def test_a_retry_of_another_managers_function_follows_its_options(manager, caplog):
    caplog.set_level(logging.CRITICAL, logger="kew")
    tries = []

    @decorated.manager.task(max_retries=1, retry_delay=0.01)
    def fails() -> None:
        tries.append(1)
        raise ValueError("no")

    await manager.create_queue(QueueConfig("q"), functions=[fails])
    info = await manager.submit_task("a", "q", "t", fails)
    with pytest.raises(TaskFailedError):
        await manager.handle(info).result(timeout=30)
    assert len(tries) == 2
