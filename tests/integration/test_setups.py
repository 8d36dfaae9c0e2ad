"""A wrong set-up is refused with a typed error that advises, before anything is stored, and no password shows."""

import contextlib
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import pytest

from kew import (
    InvalidConfigError,
    QueueConfig,
    StoreUnavailableError,
    StoreUnsuitableError,
    TaskQueueError,
    TaskQueueManager,
)
from tests.conftest import PrivateRedis
from tests.integration.conftest import Managers
from tests.support import jobs
from tests.support.asking import end_of, submit
from tests.support.redis_process import connect, free_port

SECRET = "hunter2-T0p/s3cret"
SAID = quote(SECRET, safe="")


async def refusal(url: str, kind: type[TaskQueueError], **options: Any) -> TaskQueueError:
    """The error of initializing a manager on this URL."""
    with pytest.raises(kind) as refused:
        await TaskQueueManager(url, **options).initialize()
    return refused.value


def assert_silent(error: BaseException | None, log: str = "") -> None:
    """No password in the message, the arguments, the traceback, or what led to it; nor in the log."""
    assert error is not None
    told = [log, *traceback.format_exception(error)]
    while error is not None:
        told += [str(error), repr(error), repr(error.args), repr(vars(error))]
        error = error.__cause__ or error.__context__
    for text in told:
        assert SECRET not in text
        assert SAID not in text


def keys(url: str) -> int:
    """How many keys there are."""
    with contextlib.closing(connect(url)) as client:
        return int(client.dbsize())


async def test_an_unreachable_redis_is_named_without_its_password(caplog: Any):
    caplog.set_level(logging.DEBUG)
    port = free_port()
    error = await refusal(f"redis://me:{SAID}@127.0.0.1:{port}/0", StoreUnavailableError)
    assert f"127.0.0.1:{port}" in str(error)
    assert "Check that it runs" in str(error)
    assert_silent(error, caplog.text)


async def test_a_wrong_password_is_told_with_advice(private_redis: PrivateRedis, caplog: Any):
    caplog.set_level(logging.DEBUG)
    server = private_redis(requirepass="another")
    for login in (f":{SAID}@", f"nobody:{SAID}@"):
        error = await refusal(f"redis://{login}127.0.0.1:{server.port}/0", StoreUnsuitableError)
        assert "password" in str(error)
        assert_silent(error, caplog.text)
    assert keys(server.url) == 0


async def test_a_missing_password_is_told_with_advice(private_redis: PrivateRedis):
    server = private_redis(requirepass=SECRET)
    error = await refusal(f"redis://127.0.0.1:{server.port}/0", StoreUnsuitableError)
    assert "password" in str(error)
    assert keys(server.url) == 0


async def test_a_right_password_shows_nowhere(
    private_redis: PrivateRedis, managers: Managers, caplog: Any
):
    caplog.set_level(logging.DEBUG)
    server = private_redis(requirepass=SECRET)
    manager = await managers(server.url, patience=0.2)
    await manager.create_queue(QueueConfig("q"))
    await submit(manager, "task", jobs.echo)
    await end_of(manager, "task")
    assert SECRET not in repr(manager) + repr(vars(manager)) + repr(manager._parts)
    server.kill()
    with pytest.raises(TaskQueueError) as failed:
        await submit(manager, "other", jobs.echo)
    assert_silent(failed.value, caplog.text)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "redis:/localhost",
        f"http://me:{SAID}@localhost:6379/0",
        f"memory://me:{SAID}@localhost:6379/0",
        f"unix:///me:{SAID}@/tmp/redis.sock",
        f"unix:///tmp/redis.sock?db=0#{SAID}",
        f"redis://:{SAID}@localhost:port/0",
        f"redis://:{SAID}@localhost:99999999/0",
        f"redis://:{SAID}@localhost:6379/zero",
        f"redis://:{SAID}@[::1/0",
        f"redis://:{SAID}@localhost?no_such_option=1",
        f"redis://:{SAID}/5@localhost",
        f"redis://:5/{SAID}@localhost",
        f"redis://:5/0?{SAID}@localhost",
        f"redis://:5/0?db=3&{SAID}=x@localhost",
        f"redis://:5/0#{SAID}@localhost",
        f"redis://{SAID}:5/0#@localhost",
        f"redis://localhost?{SAID}=1",
        f"redis://localhost?db={SAID}",
        f"redis://localhost:6379:{SAID}",
        f"redis://localhost/{SAID}",
        f"unix://:5/{SAID}@/run/redis.sock",
        f"unix://{SAID}?x@/run/redis.sock",
        f"user:{SAID}://localhost",
        f"{SAID}://localhost",
        f"redis://:{SAID}@localhost?socket_timeout=soon",
        f"unix://:{SAID}@",
        "memory://a{b}",
        None,
        b"redis://localhost",
        6379,
    ],
)
def test_a_bad_url_is_refused_without_being_quoted(url: Any, caplog: Any):
    with pytest.raises(InvalidConfigError, match=r"URL|memory") as refused:
        TaskQueueManager(url)
    assert "redis://" in str(refused.value) or "memory" in str(refused.value)
    assert_silent(refused.value, caplog.text)


async def test_a_database_that_redis_does_not_have_is_told_as_that(clean_redis_url: str):
    error = await refusal(f"{clean_redis_url.rpartition('/')[0]}/99", StoreUnsuitableError)
    assert "no database of that number" in str(error)
    assert "/0 to /15" in str(error)


async def test_a_redis_that_evicts_any_key_is_refused(private_redis: PrivateRedis):
    server = private_redis(maxmemory="50mb", maxmemory_policy="allkeys-lru")
    error = await refusal(server.url, StoreUnsuitableError)
    assert "allkeys-lru" in str(error)
    assert "noeviction" in str(error)
    assert keys(server.url) == 0


async def test_a_redis_that_evicts_keys_with_a_ttl_is_warned_about(
    private_redis: PrivateRedis, managers: Managers, caplog: Any
):
    server = private_redis(maxmemory="50mb", maxmemory_policy="volatile-lru")
    await managers(server.url)
    assert "volatile-lru" in caplog.text


async def test_an_eviction_policy_without_a_limit_harms_nobody(
    private_redis: PrivateRedis, managers: Managers
):
    await managers(private_redis(maxmemory_policy="allkeys-lru").url)


async def test_a_replica_is_refused_and_its_primary_named(private_redis: PrivateRedis):
    primary, replica = private_redis(), private_redis()
    with contextlib.closing(connect(replica.url)) as client:
        client.replicaof("127.0.0.1", str(primary.port))
    error = await refusal(replica.url, StoreUnsuitableError)
    assert f"127.0.0.1:{primary.port}" in str(error)


Wrong = Callable[[TaskQueueManager], Awaitable[Any]]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("with{brace}", "queue name 'with{brace}' is invalid"),
        ("a b", "letters, digits"),
        ("", "1 to 64"),
        ("x" * 65, "1 to 64"),
        ("line\n", "is invalid"),
        (None, "is invalid"),
    ],
)
async def test_a_queue_name_that_could_change_a_keys_meaning_is_refused(
    clean_redis_url: str, managers: Managers, name: Any, words: str
):
    manager = await managers(clean_redis_url)
    with pytest.raises(InvalidConfigError) as refused:
        await manager.create_queue(QueueConfig(name))
    assert words in str(refused.value)
    assert keys(clean_redis_url) == 0


@pytest.mark.parametrize("namespace", ["with{brace}", "a:b", "", None, 7])
def test_a_namespace_that_could_change_a_keys_meaning_is_refused(namespace: Any):
    with pytest.raises(InvalidConfigError, match="namespace"):
        TaskQueueManager("redis://localhost", namespace=namespace)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_workers": 0},
        {"max_workers": 2.5},
        {"max_workers": True},
        {"priority": 4},
        {"max_size": -1},
        {"task_timeout": 0},
        {"task_timeout": float("nan")},
        {"max_circuit_breaker_failures": 0},
        {"circuit_breaker_reset_timeout": "soon"},
        {"max_retries": -1},
        {"retry_delay": float("inf")},
        {"backoff": 3},
        {"retry_on": ("ValueError",)},
        {"lease": 0.01},
        {"max_workers_per_process": 0},
        {"max_deliveries": None},
        {"task_ttl": 5},
        {"dead_letter_ttl": 5},
    ],
)
def test_an_invalid_config_names_the_setting(wrong: dict[str, Any]):
    with pytest.raises(InvalidConfigError, match=next(iter(wrong))):
        QueueConfig("q", **wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_concurrency": 0},
        {"max_concurrency": "two"},
        {"patience": -1},
        {"patience": 3600},
        {"patience": None},
        {"tick": 0},
        {"tick": "often"},
        {"trust": "myapp"},
        {"trust": ("my app",)},
        {"trust": (7,)},
    ],
)
def test_an_invalid_option_of_the_manager_is_named(wrong: dict[str, Any]):
    with pytest.raises(InvalidConfigError, match=next(iter(wrong))):
        TaskQueueManager("memory://", **wrong)


@pytest.mark.parametrize(
    "use",
    [
        lambda manager: manager.create_queue(QueueConfig("q")),
        lambda manager: manager.get_task_status("task"),
        lambda manager: manager.submit_task("task", "q", "t", jobs.echo),
        lambda manager: manager.submit_tasks("q", []),
        lambda manager: manager.cleanup(),
    ],
)
async def test_a_manager_that_was_not_initialized_says_so(use: Wrong):
    with pytest.raises(TaskQueueError, match="initialize"):
        await use(TaskQueueManager("memory://"))


async def test_a_failed_start_leaves_nothing_behind_and_may_be_tried_again(
    private_redis: PrivateRedis,
):
    server = private_redis()
    server.kill()
    manager = TaskQueueManager(server.url)
    with pytest.raises(StoreUnavailableError):
        await manager.initialize()
    await manager.shutdown()
    server.start()
    assert keys(server.url) == 0
    await manager.initialize()
    await manager.create_queue(QueueConfig("q"))
    await submit(manager, "task", jobs.echo, value=1)
    assert (await end_of(manager, "task")).result == 1
    await manager.shutdown()
