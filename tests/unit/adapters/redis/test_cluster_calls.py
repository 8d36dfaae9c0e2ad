"""Calls of a partition follow what the nodes of a Cluster say: which node serves it, or that it has to wait."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import attrs
import pytest

from kew.adapters.redis.address import address
from kew.adapters.redis.cluster import calls, topology
from kew.adapters.redis.cluster.calls import SlotConnections, slot_pools
from kew.adapters.redis.cluster.topology import Cluster
from kew.adapters.redis.connections import LibraryMissing
from kew.adapters.redis.endpoint import Endpoint
from kew.adapters.redis.wire import ReplyError, packed
from kew.app.ports import Ambiguous, Refused
from tests.support.scripted import LOOPBACK, Scripted, serving

SLOT = 4385
GET = packed("GET", "x")
OK = b"+OK\r\n"
TRY_AGAIN = b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n"
HALF_MOVED = b"-ERR Script attempted to access a non local key in a cluster node script: f\r\n"
NO_FUNCTION = b"-ERR Function not found\r\n"
Say = Callable[["Node", bytes], bytes | None]


@attrs.define(eq=False)
class Node:
    """A node that says who serves all slots, and answers GET as the test wants; None: not at all."""

    say: Say
    owner: "Node | None" = None
    server: Scripted = attrs.field(init=False)
    is_asking: bool = False
    maps: int = 0
    gets: list[str] = attrs.field(factory=list)

    async def answer(self, command: list[bytes], writer: asyncio.StreamWriter) -> None:
        if command[0] == b"PING":
            writer.write(b"+PONG\r\n")
        elif command[0] == b"CLUSTER":
            self.maps += 1
            port = (self.owner or self).server.port
            writer.write(b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n" % port)
        elif command[0] == b"ASKING":
            self.is_asking = True
            writer.write(OK)
        else:
            self.gets.append("asking" if self.is_asking else "")
            self.is_asking = False
            said = self.say(self, command[0])
            if said == b"":
                writer.close()
            elif said is not None:
                writer.write(said)

    def refers(self, code: bytes) -> bytes:
        """The reply that refers a call to this node."""
        return b"-%b %d %b:%d\r\n" % (code, SLOT, LOOPBACK.encode(), self.server.port)


@attrs.define(eq=False)
class Pair:
    """Two nodes; the first is where the map leads."""

    one: Node
    other: Node
    cluster: Cluster
    connections: SlotConnections


@contextlib.asynccontextmanager
async def pair(one: Say, other: Say = lambda node, _: OK) -> AsyncIterator[Pair]:
    nodes = [Node(one), Node(other)]
    async with serving(nodes[0].answer) as first, serving(nodes[1].answer) as second:
        nodes[0].server, nodes[1].server = first, second
        nodes[1].owner = nodes[0]
        seeds = [Endpoint(LOOPBACK, node.server.port) for node in nodes]
        cluster = Cluster(address(f"redis://{LOOPBACK}", timeout=5.0), seeds)
        pools = slot_pools(cluster, SLOT, "x")
        cluster.open()
        try:
            assert isinstance(pools.work, SlotConnections)
            yield Pair(nodes[0], nodes[1], cluster, pools.work)
        finally:
            await cluster.close()


async def test_a_call_that_was_moved_goes_where_it_is_referred_and_so_do_the_next():
    async with pair(lambda _, __: made.other.refers(b"MOVED")) as made:
        for _ in range(3):
            assert await made.connections.call(GET) == b"OK"
        assert (len(made.one.gets), len(made.other.gets)) == (1, 3)
        assert made.one.server.connections == made.one.maps + 1  # the connection is kept


async def test_a_node_that_is_asked_gets_the_call_once_and_after_a_warning():
    async with pair(lambda _, __: made.other.refers(b"ASK")) as made:
        for _ in range(2):
            assert await made.connections.call(GET) == b"OK"
        assert made.one.gets == ["", ""]
        assert made.other.gets == ["asking", "asking"]


@pytest.mark.parametrize(
    "refusal", [TRY_AGAIN, HALF_MOVED, b"-CLUSTERDOWN The cluster is down\r\n"]
)
async def test_a_call_that_was_not_carried_out_is_sent_again(refusal: bytes):
    replies = [refusal, refusal, OK]
    async with pair(lambda _, __: replies.pop(0)) as made:
        assert await made.connections.call(GET) == b"OK"
        assert (len(made.one.gets), made.other.gets) == (3, [])


async def test_after_a_node_that_was_asked_in_vain_the_owner_is_asked_again():
    async with pair(
        lambda _, __: OK if made.other.gets else made.other.refers(b"ASK"), lambda _, __: TRY_AGAIN
    ) as made:
        assert await made.connections.call(GET) == b"OK"
        assert (made.one.gets, made.other.gets) == (["", ""], ["asking"])


async def test_nodes_that_refer_to_each_other_are_left_in_the_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(calls, "PATIENCE", 0.2)
    async with pair(
        lambda _, __: made.other.refers(b"MOVED"), lambda _, __: made.one.refers(b"MOVED")
    ) as made:
        with pytest.raises(Refused, match="MOVED"):
            await made.connections.call(GET)
        assert len(made.one.gets) + len(made.other.gets) <= 20


@pytest.mark.parametrize("code", ["TRYAGAIN", "ASK"])
async def test_a_migration_that_does_not_end_is_reported_with_advice(
    monkeypatch: pytest.MonkeyPatch, code: str
):
    monkeypatch.setattr(calls, "PATIENCE", 0.2)
    async with pair(
        lambda _, __: TRY_AGAIN if code == "TRYAGAIN" else made.other.refers(b"ASK"),
        lambda _, __: TRY_AGAIN,
    ) as made:
        with pytest.raises(Refused, match=f"migrating slot {SLOT} .*--cluster fix") as caught:
            await made.connections.call(GET)
        assert not caught.value.is_logged


async def test_a_lost_reply_is_for_the_caller_to_judge_and_lets_the_map_be_read_again():
    async with pair(lambda _, __: b"") as made:
        await made.cluster.refresh(0)
        with pytest.raises(Ambiguous):
            await made.connections.call(GET)
        assert made.one.gets == [""]
        await made.cluster.refresh(made.cluster.version)
        assert made.cluster.version == 2


async def test_a_missing_library_is_for_the_caller_to_load():
    async with pair(lambda _, __: NO_FUNCTION) as made:
        with pytest.raises(LibraryMissing):
            await made.connections.call(GET)
        assert made.one.gets == [""]


async def test_a_node_that_is_asked_and_lacks_the_library_will_have_it_once_it_is_the_owner():
    async with pair(
        lambda _, __: OK if made.other.gets else made.other.refers(b"ASK"),
        lambda _, __: NO_FUNCTION,
    ) as made:
        assert await made.connections.call(GET) == b"OK"


async def test_a_call_to_a_node_that_is_gone_finds_the_one_that_took_over():
    async with pair(lambda _, __: OK) as made:
        await made.cluster.refresh(0)
        made.other.owner = made.other
        await stopped(made.one)
        assert await made.connections.call(GET) == b"OK"
        assert made.other.gets == [""]


async def test_a_silent_node_is_left_once_the_others_have_left_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(topology, "SILENT", 0.1)
    monkeypatch.setattr(topology, "LOOK_EVERY", 0.02)
    async with pair(lambda _, __: None) as made:
        await made.cluster.refresh(0)
        made.one.owner = made.other.owner = made.other
        async with asyncio.timeout(3):  # and not the 5 s that a call may wait
            with pytest.raises(Ambiguous):
                await made.connections.call(GET)
        assert await made.connections.call(GET) == b"OK"
        assert made.other.gets == [""]


async def test_a_posted_call_that_was_moved_is_refused_and_the_next_one_goes_there():
    async with pair(lambda _, __: OK) as made:
        await made.cluster.refresh(0)
        moved = made.other.refers(b"MOVED").decode().strip("-\r\n")
        error = made.connections.store_error_of(ReplyError(moved))
        assert isinstance(error, Refused)
        assert error.is_logged
        assert await made.connections.call(GET) == b"OK"
        assert (made.one.gets, made.other.gets) == ([], [""])


async def test_a_call_that_waits_for_the_map_is_refused_once_the_connections_are_closed(
    monkeypatch: pytest.MonkeyPatch,
):
    async def never(*arguments: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(topology, "read_map", never)
    cluster = Cluster(address("redis://127.0.0.1"), [Endpoint(LOOPBACK, 1)])
    cluster.open()
    waiting = asyncio.create_task(SlotConnections(cluster, SLOT, "work").call(GET))
    await asyncio.sleep(0.01)
    await cluster.close()
    with pytest.raises(Refused, match="were closed"):
        await waiting


async def test_a_node_that_is_in_no_map_any_more_is_let_go():
    async with pair(lambda _, __: OK) as made:
        assert await made.connections.call(GET) == b"OK"
        made.one.owner = made.other
        made.other.owner = made.other
        left = made.cluster.owners[SLOT]
        for nodes in (2, 1):  # calls may be on their way to one that has just gone
            await made.cluster.refresh(made.cluster.version)
            assert len(made.cluster._nodes) == nodes
        await asyncio.sleep(0)
        assert left.pools.work.at_hand() is None
        assert await made.connections.call(GET) == b"OK"
        assert made.other.gets == [""]


async def stopped(node: Node) -> None:
    """Let nothing listen there any more."""
    node.say = lambda _, __: b""
    node.server.is_full = True
    for writer in node.server.writers:
        writer.close()
