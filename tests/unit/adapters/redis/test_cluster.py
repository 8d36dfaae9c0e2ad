"""The URL of a Redis Cluster, the keys of its partitions, and what its nodes say of themselves."""

import asyncio

import pytest
from lupa.lua51 import LuaRuntime  # type: ignore[import-untyped]
from redis.crc import key_slot

from kew import StoreUnavailableError, TaskQueueManager
from kew.adapters.redis.address import Address, address
from kew.adapters.redis.arguments import FunctionCalls
from kew.adapters.redis.checks import advised
from kew.adapters.redis.cluster import connect
from kew.adapters.redis.cluster.facts import worst_of
from kew.adapters.redis.cluster.node import node_address
from kew.adapters.redis.cluster.slots import SlotRange, read_slots
from kew.adapters.redis.cluster.url import MOST_PARTITIONS, PARTITIONS, PORT, cluster_url
from kew.adapters.redis.endpoint import Endpoint
from kew.adapters.redis.keys import OF_NAMESPACE, OF_QUEUE, Keys
from kew.adapters.redis.library import NAMES_OF, genuine_library
from kew.adapters.redis.wakeup import RedisWakeup
from kew.adapters.redis.wire import ReplyError
from kew.app.ports import Refused
from kew.domain.errors import InvalidConfigError
from kew.domain.partitions import RESERVED


def test_a_url_names_nodes_and_partitions():
    found = cluster_url("redis+cluster://ada:s%40cret@one:1,two,[::1]:3/?partitions=8")
    assert found.seeds == (Endpoint("one", 1), Endpoint("two", PORT), Endpoint("::1", 3))
    assert found.partitions == 8
    assert found.address.where == "one:1,two:6379,[::1]:3"
    assert found.address.options["password"] == "s@cret"
    assert "cret" not in repr(found)


@pytest.mark.parametrize("end", ["", "/", "/0"])
def test_a_namespace_has_64_partitions_unless_the_url_says_otherwise(end: str):
    assert cluster_url(f"redis+cluster://one{end}").partitions == PARTITIONS == 64


def test_other_options_are_those_of_a_server():
    found = cluster_url("rediss+cluster://one/?ssl_cert_reqs=none&partitions=2&socket_timeout=2")
    assert found.address.options["ssl_cert_reqs"] == "none"
    assert found.address.timeout == 2.0


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("redis+cluster:///?partitions=4", "looks like"),
        ("redis+cluster://one,,two", "looks like"),
        ("redis+cluster://one:port", "looks like"),
        ("redis+cluster://user:p@ss@one", "looks like"),
        ("redis+cluster://user:p/ss@one", "looks like"),
        ("redis+cluster://user:p#ss@one", "looks like"),
        ("redis+cluster://one/name", "looks like"),
        ("redis+cluster://one/?partitions", "looks like"),
        ("redis+cluster://one/3", "number 0"),
        ("redis+cluster://one/?partitions=0", "whole number from 1"),
        ("redis+cluster://one/?partitions=many", "whole number from 1"),
        (f"redis+cluster://one/?partitions={MOST_PARTITIONS + 1}", "whole number from 1"),
        ("redis+cluster://one/?max_connections=3", "max_connections"),
        ("redis+cluster://one/?ssl_cert_reqs=none", "rediss://"),
    ],
)
def test_what_cannot_be_used_is_refused_with_advice_and_not_quoted(url: str, advice: str):
    with pytest.raises(InvalidConfigError, match=advice) as caught:
        connect(url)
    assert not {"ss@", "p/ss", "p#ss"} & set(str(caught.value).split())
    assert "ss@" not in str(caught.value)


@pytest.mark.parametrize(
    ("where", "page"),
    [
        (cluster_url("redis+cluster://one").address, "cluster"),
        (node_address(Endpoint("one", 1), cluster_url("redis+cluster://one").address), "cluster"),
        (address("redis://one"), "redis"),
    ],
)
def test_a_missing_right_is_answered_with_the_page_that_has_the_line(where: Address, page: str):
    error = Refused("no")
    error.__cause__ = ReplyError("NOPERM this user has no permissions")
    assert f"docs/{page}.md has the ACL line" in str(advised(error, where, "INFO"))
    assert f"docs/{page}.md has the ACL line" in RedisWakeup(where)._advice(error.__cause__)


async def test_nodes_that_cannot_be_reached_are_named():
    manager = TaskQueueManager("redis+cluster://127.0.0.1:1,127.0.0.1:2/?partitions=1")
    with pytest.raises(StoreUnavailableError) as caught:
        async with asyncio.timeout(30):
            await manager.initialize()
    assert "127.0.0.1:1" in str(caught.value)
    assert "127.0.0.1:2" in str(caught.value)


def test_all_keys_and_channels_of_a_partition_are_in_one_slot():
    keys = Keys("kew", 7)
    names = [
        *(keys.key(part) for part in OF_NAMESPACE),
        *(keys.key(part, queue) for part in OF_QUEUE for queue in ("a", "tasks")),
        *(guard.decode() for guard in keys.guards),
        keys.channel("host-1-abc"),
    ]
    assert len(set(names)) == len(names)
    assert {key_slot(name.encode()) for name in names} == {key_slot(b"kew:7")}


def test_partitions_of_a_namespace_are_in_slots_of_their_own():
    stores, _ = connect("redis+cluster://one")
    assert len({store.slot for store in stores}) == PARTITIONS


def test_one_server_keeps_the_keys_that_it_has():
    keys = Keys("kew")
    assert (keys.key("tasks"), keys.key("state", "q")) == ("kew:tasks", "kew:{q}:state")
    assert (keys.channels, keys.guards, keys.publish) == ("kew:to:", (), "PUBLISH")


def test_of_all_primaries_the_worst_one_is_shown():
    good = {
        "redis_version": "8.0.1",
        "aof_enabled": "1",
        "connected_slaves": "2",
        "maxmemory": "100",
        "maxmemory_policy": "noeviction",
        "used_memory": "10",
        "server_time_usec": "1000",
        "kew_lacking": "",
    }
    assert worst_of([good, good, good]) == good | {"kew_primaries": "3"}
    for bad in (
        {"redis_version": "7.0.15"},
        {"aof_enabled": "0"},
        {"aof_enabled": "1", "aof_last_write_status": "err"},
        {"connected_slaves": "0"},
        {"maxmemory": "100", "maxmemory_policy": "volatile-lru", "used_memory": "1"},
        {"maxmemory": "100", "maxmemory_policy": "noeviction", "used_memory": "99"},
        {"server_time_usec": "9000"},
        {"kew_lacking": "FCALL HGET"},
    ):
        assert worst_of([good, good | bad, good]) == good | bad | {"kew_primaries": "3"}


def test_each_call_that_changes_something_names_a_key_that_never_exists():
    library = genuine_library()
    for operation in library:
        if operation.repeats:
            assert not operation.changes
            continue
        make = FunctionCalls(library, Keys("kew", 7)).make
        named = {name: 1 if name in operation.numbers else "" for name in operation.arguments}
        own = {"channel", "queue"}
        call = make(operation.name, "q", {name: named[name] for name in named if name not in own})
        count = 2 if operation.is_brief else len(operation.keys) + 1
        assert list(call.arguments).index(b"{kew:7}:never") == call.arguments[0] == count


def test_a_submit_names_two_keys_since_a_node_checks_each_of_them():
    call = FunctionCalls(genuine_library(), Keys("kew", 7)).make("submit_alone", "q", {}, ["t"])
    assert call.arguments[:3] == (2, b"{kew:7}:q:q:state", b"{kew:7}:never")


def test_lua_spells_keys_as_python_does():
    spelled = LuaRuntime().execute(f"local memo = {{}}\n{NAMES_OF}\nreturn memo.names_of")
    keys = Keys("kew.7", 7)
    for queue in ("a", "state", RESERVED):
        names = spelled(keys.key("state", queue))
        for part in OF_NAMESPACE | OF_QUEUE:
            assert names[part] == keys.key(part, queue)


def test_lua_keeps_the_names_of_no_more_than_1000_queues():
    count = LuaRuntime().execute(
        f"""local memo = {{}}
        {NAMES_OF}
        local kept, count = setmetatable({{}}, {{__mode = 'k'}}), 0
        for n = 1, 2500 do kept[memo.names_of('{{kew:7}}:q:q' .. n .. ':state')] = true end
        collectgarbage()
        for _ in pairs(kept) do count = count + 1 end
        return count"""
    )
    assert count == 500


def test_a_node_that_does_not_know_its_own_host_is_where_it_was_asked():
    reply = [
        [0, 10, [b"", 1, b"id", []], [b"two", 2, b"id", []]],
        [11, 16383, [b"?", 3, b"id", []]],
    ]
    assert list(read_slots(reply, "one")) == [
        SlotRange(0, 10, Endpoint("one", 1), (Endpoint("two", 2),)),
        SlotRange(11, 16383, Endpoint("one", 3), ()),
    ]
