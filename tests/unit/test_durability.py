"""The durability that a manager is given by keyword: as if the URL said it, and an error where that can't be."""

from typing import Any

import pytest

from kew import InvalidConfigError, TaskQueueManager
from kew.adapters.redis.durability import Durability, read_durability
from kew.bootstrap import Parts, connect
from kew.domain.durability import LEVELS
from kew.domain.durability import Durability as Level

SENTINELS = "redis+sentinel://user:s3cret@host/main"


@pytest.mark.parametrize(
    ("url", "level", "durability"),
    [
        ("redis://host", "replicated", Durability("replicated", 1)),
        ("redis://host/3?replicas=2", "replicated", Durability("replicated", 2)),
        ("redis://host?durability=fsync", "fsync", Durability("fsync", 0)),
        ("redis://host", "default", Durability()),
        ("redis://host?durability=fsync", None, Durability("fsync", 0)),
        ("unix:///run/redis.sock?db=2", "fsync", Durability("fsync", 0)),
        (SENTINELS, "fsync", Durability("fsync", 1)),
    ],
)
def test_the_keyword_is_read_as_if_the_url_said_it(
    url: str, level: Level | None, durability: Durability
):
    store: Any = TaskQueueManager(url, durability=level)._parts.store
    assert store.address.durability == durability


def test_a_cluster_has_it_too():
    store: Any = connect("redis+cluster://host/?partitions=1", "kew", durability="fsync").store
    assert store.address.durability == Durability("fsync", 1)


@pytest.mark.parametrize(
    ("url", "level", "message"),
    [
        ("redis://host", "safe", "durability takes default, replicated or fsync"),
        ("redis://host?durability=fsync", "replicated", "beside a URL that says otherwise"),
        ("redis://u:s3cret@host?durability=replicated", "default", "choose it in one place"),
        ("redis://host?durability=", "replicated", "beside a URL that says otherwise"),
        ("sqlite:///kew.db", "fsync", r"for Redis alone: a file .* \?synchronous=normal; remove"),
        ("memory://", "replicated", "for Redis alone: a store in memory ends with its process"),
        ("http://host", "replicated", "for Redis alone; remove it"),
        ("redis://[host", "replicated", "can't be read"),
        ("redis://host?replicas=2", "default", "replicas takes a number, and durability="),
    ],
)
def test_what_cannot_be_is_refused_and_no_message_has_the_password(
    url: str, level: Any, message: str
):
    with pytest.raises(InvalidConfigError, match=message) as refused:
        TaskQueueManager(url, durability=level)
    assert "s3cret" not in str(refused.value)


def test_a_store_that_has_no_durability_accepts_the_default():
    assert "memory://" in repr(TaskQueueManager("memory://", durability="default"))


def test_parts_have_their_own():
    parts: Parts = connect("memory://", "kew")
    with pytest.raises(InvalidConfigError, match="durability would be ignored beside parts"):
        TaskQueueManager(parts=parts, durability="fsync")


def test_each_level_is_one_that_the_adapter_knows():
    for level in LEVELS:
        assert read_durability({"durability": level}).level == level
