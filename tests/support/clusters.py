"""A Redis Cluster of a few primaries, each with a replica: processes on loopback, which a test owns."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from tests.support.redis_process import LOOPBACK, ProcessRedis, ServerFailed, connect, free_port

CALM_MS = 10_000  # until a node counts as lost: none does in a test, however busy the machine is
QUICK_MS = 1000
PATIENCE = 30.0
CONFIGURATION = "nodes.conf"
KEYS_AT_ONCE = 10
FAILOVER_TIMEOUT = 5.0  # seconds, Redis's own


@attrs.define(eq=False)
class Cluster:
    """`nodes`: the first `shards` of them were made primaries with equal shares of the slots."""

    binary: Path
    shards: int
    node_timeout_ms: int
    nodes: list[ProcessRedis] = attrs.field(factory=list)

    @classmethod
    def start(
        cls, binary: Path, *, shards: int = 3, replicas: int = 3, node_timeout_ms: int = CALM_MS
    ) -> "Cluster":
        """Each node finds in its configuration what gossip would tell it in many seconds."""
        started = cls(binary, shards, node_timeout_ms)
        count = shards + replicas
        try:
            started.nodes = [started._prepared() for _ in range(count)]
            lines = [started._line(number) for number in range(count)]
            for number, node in enumerate(started.nodes):
                own = lines[number].replace(" master", " myself,master", 1)
                own = own.replace(" slave", " myself,slave", 1)
                text = "\n".join([*lines[:number], own, *lines[number + 1 :]])
                assert node.directory is not None
                (node.directory / CONFIGURATION).write_text(
                    f"{text}\nvars currentEpoch {count} lastVoteEpoch 0\n"
                )
                node.start()
            started.wait_until_agreed()
            started.wait_until_replicated()
        except BaseException:
            started.stop()
            raise
        return started

    def _prepared(self) -> ProcessRedis:
        """A server that is not started yet."""
        options: dict[str, str | int] = {
            "cluster_enabled": "yes",
            "cluster_config_file": CONFIGURATION,
            "cluster_port": free_port(),
            "cluster_node_timeout": self.node_timeout_ms,
            "cluster_replica_validity_factor": 0,
            "repl_diskless_sync_delay": 0,
        }
        directory = Path(tempfile.mkdtemp(prefix="kew-cluster-"))
        return ProcessRedis(
            binary=self.binary, options=options, directory=directory, port=free_port()
        )

    def _line(self, number: int) -> str:
        """A node as the configuration of another one describes it."""
        node = self.nodes[number]
        is_replica = number >= self.shards
        of = name_of(number % self.shards) if is_replica else "-"
        share = -(-REDIS_CLUSTER_HASH_SLOTS // self.shards)
        last = min((number + 1) * share, REDIS_CLUSTER_HASH_SLOTS) - 1
        slots = "" if is_replica else f" {number * share}-{last}"
        return (
            f"{name_of(number)} {LOOPBACK}:{node.port}@{node.options['cluster_port']} "
            f"{'slave' if is_replica else 'master'} {of} 0 0 {number + 1} connected{slots}"
        )

    @property
    def url(self) -> str:
        hosts = ",".join(f"{LOOPBACK}:{node.port}" for node in self.nodes[:3])
        return f"redis+cluster://{hosts}/"

    def of_port(self, port: int) -> ProcessRedis:
        return next(node for node in self.nodes if node.port == port)

    def owner(self, key: str) -> ProcessRedis:
        """The primary of the key's slot, by what a node that runs says."""
        return self.owner_of(self.slot(key))

    def slot(self, key: str) -> int:
        """The slot that the key is in."""
        return key_slot(key.encode())

    def owner_of(self, slot: int) -> ProcessRedis:
        """The same for a slot."""
        return self.of_port(owner_by(self._running()[0], slot))

    def wait_until_left(self, slot: int, old: ProcessRedis) -> None:
        """Return once all nodes that run say that another one serves the slot."""
        once(
            lambda: all(owner_by(node, slot) != old.port for node in self._running()),
            "no other node takes over",
        )

    def replica_of(self, primary: ProcessRedis) -> ProcessRedis:
        """A replica that has the primary's data."""
        known = _ask(primary, "INFO", "replication")
        return self.of_port(int(known["slave0"]["port"]))

    def primaries(self) -> list[ProcessRedis]:
        """Those that run."""
        return [node for node in self._running() if is_primary(node)]

    def clear(self) -> None:
        """Forget everything that tests stored."""
        for node in self.primaries():
            _ask(node, "FLUSHALL")

    def fail_over(self, primary: ProcessRedis) -> None:
        """Let its replica take over while it lives, as all nodes see it.

        A replica that failed over a moment ago may take old votes for new ones, which no node believes; then again.
        """
        replica = self.replica_of(primary)
        again_at = 0.0

        def has_taken_over() -> bool:
            nonlocal again_at
            if all(primary.port not in _primaries_by(node) for node in self._running()):
                return True
            if time.monotonic() > again_at:
                again_at = time.monotonic() + FAILOVER_TIMEOUT
                _ask(replica, "CLUSTER", "FAILOVER")
            return False

        once(has_taken_over, "the replica doesn't take over")

    def move(self, slot: int, target: ProcessRedis, *, between: Callable[[], object] = int) -> None:
        """Migrate a slot as redis-cli does. `between` is called once half of its keys have moved."""
        source = self.owner_of(slot)
        source_id, target_id = node_id(source), node_id(target)
        _ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        _ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        half = int(_ask(source, "CLUSTER", "COUNTKEYSINSLOT", slot)) // 2
        while keys := _ask(source, "CLUSTER", "GETKEYSINSLOT", slot, KEYS_AT_ONCE):
            if half and int(_ask(source, "CLUSTER", "COUNTKEYSINSLOT", slot)) <= half:
                between()
                half = 0
            _ask(source, "MIGRATE", LOOPBACK, target.port, "", 0, 5000, "KEYS", *keys)
        for node in (target, source, *self._others(source, target)):
            _ask(node, "CLUSTER", "SETSLOT", slot, "NODE", target_id)

    def add_primary(self) -> ProcessRedis:
        """A primary more, which has no slots yet."""
        node = self._prepared().start()
        _ask(node, "CLUSTER", "SET-CONFIG-EPOCH", len(self.nodes) + 100)
        self.nodes.append(node)
        _meet(self.nodes[0], node)
        self.wait_until_agreed()
        return node

    def wait_until_agreed(self) -> None:
        """Return once all nodes that run know the same owners, and serve them."""

        def is_agreed() -> bool:
            running = self._running()
            views = {
                str(sorted((each[0], each[1], each[2][1]) for each in _slots(node)))
                for node in running
            }
            facts = [_ask(node, "CLUSTER INFO") for node in running]
            return len(views) == 1 and all(
                each["cluster_state"] == "ok"
                and int(each["cluster_known_nodes"]) == len(self.nodes)
                for each in facts
            )

        once(is_agreed, "the nodes don't agree")

    def wait_until_replicated(self) -> None:
        """Return once each replica that runs has its primary's data."""

        def is_replicated() -> bool:
            found = [_ask(node, "INFO", "replication") for node in self._running()]
            return all(
                each["role"] == "master" or each["master_link_status"] == "up" for each in found
            )

        once(is_replicated, "a replica is not linked")

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()  # nothing of it is wanted any more, and to shut down takes each a while
            if node.directory is not None:
                shutil.rmtree(node.directory, ignore_errors=True)

    def _running(self) -> list[ProcessRedis]:
        return [node for node in self.nodes if node.is_running]

    def _others(self, *nodes: ProcessRedis) -> Iterator[ProcessRedis]:
        return (node for node in self.primaries() if node not in nodes)


def become_whole_cluster(node: ProcessRedis) -> None:
    """Let it serve all slots."""
    _ask(node, "CLUSTER", "ADDSLOTSRANGE", 0, REDIS_CLUSTER_HASH_SLOTS - 1)
    once(lambda: _ask(node, "CLUSTER INFO")["cluster_state"] == "ok", "it serves nothing")


def owner_by(node: ProcessRedis, slot: int) -> int:
    """The port of the slot's primary, by this node."""
    return next(
        int(port) for first, last, (_, port, *_), *_ in _slots(node) if first <= slot <= last
    )


def _primaries_by(node: ProcessRedis) -> set[int]:
    """The ports of the primaries that have slots, by this node."""
    return {int(each[2][1]) for each in _slots(node)}


def name_of(number: int) -> str:
    """The id of a node that was there from the start."""
    return f"{number + 1:040x}"


def node_id(node: ProcessRedis) -> str:
    return str(_ask(node, "CLUSTER", "MYID").decode())


def is_primary(node: ProcessRedis) -> bool:
    return bool(_ask(node, "ROLE")[0] == b"master")


def _slots(node: ProcessRedis) -> Any:
    with contextlib.closing(connect(node.url)) as client:
        client.response_callbacks.clear()
        return client.execute_command("CLUSTER SLOTS")


def _meet(one: ProcessRedis, other: ProcessRedis) -> None:
    bus = other.options["cluster_port"]
    _ask(one, "CLUSTER", "MEET", LOOPBACK, other.port, bus)


def _ask(node: ProcessRedis, *command: Any) -> Any:
    with contextlib.closing(connect(node.url)) as client:
        return client.execute_command(*command)


def once(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(redis.RedisError, KeyError, StopIteration, ServerFailed):
            if is_so():
                return
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
