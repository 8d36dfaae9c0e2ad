"""The Redis adapter with its real library in the simulated world: a second opinion, and what it has none on.

Beside the oracles, an audit that shares no code with the adapter reads every raw key now and then.
"""

import builtins
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import attrs
import pytest

from kew.adapters.redis import library
from kew.app.ports import Operation
from kew.domain.invariants import violations
from kew.simulation.batch import Choice, Summary
from kew.simulation.errors import SimulationError
from kew.simulation.facts import Facts
from kew.simulation.lua import LuaServer
from kew.simulation.lua import redis as lua_redis
from kew.simulation.lua.redis import RedisInProcess
from kew.simulation.world import World
from tests.support.fake_redis import DIFFERENT, SAME, Probe
from tests.support.raw_redis import read_namespace

PAGE = Path(__file__).parents[2] / "docs" / "simulation.md"
MIXED = Choice(store="lua")
LOSSY = Choice(store="lua", lossy=True)
SEEDS = int(os.environ.get("KEW_LUA_SEEDS", "16"))
PIECES = [range(first, first + 4) for first in range(0, SEEDS, 4)]
CLEAN = range(1000, 1040)
AUDIT_EVERY = 40


class RawClient:
    """As much of a client as the raw reader wants, on a Redis in this process."""

    def __init__(self, redis: RedisInProcess) -> None:
        self._redis = redis
        self._replies: list[Any] = []

    async def keys(self, pattern: str) -> Any:
        return self._redis.command("KEYS", pattern)

    def pipeline(self, *, transaction: bool) -> Self:
        self._replies = []
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def execute(self) -> list[Any]:
        return self._replies

    def hgetall(self, key: str) -> None:
        flat = self._redis.command("HGETALL", key)
        self._replies.append(dict(zip(flat[::2], flat[1::2], strict=True)))

    def lrange(self, key: str, start: int, end: int) -> None:
        self._replies.append(self._redis.command("LRANGE", key, start, end))

    def zrange(self, key: str, start: int, end: int, *, withscores: bool) -> None:
        assert withscores
        flat = self._redis.command("ZRANGE", key, start, end, "WITHSCORES")
        scores = map(float, flat[1::2])
        self._replies.append(list(zip(flat[::2], scores, strict=True)))

    def smembers(self, key: str) -> None:
        self._replies.append(set(self._redis.command("SMEMBERS", key)))

    def get(self, key: str) -> None:
        self._replies.append(self._redis.command("GET", key))

    def pttl(self, key: str) -> None:
        self._replies.append(self._redis.command("PTTL", key))


def audit(server: LuaServer, facts: Facts) -> None:
    """Everything below the namespace, from its raw keys."""
    reading = read_namespace(RawClient(server.redis))
    with pytest.raises(StopIteration) as done:
        reading.send(None)
    raw = done.value.value
    faults = [*raw.faults, *(fault for queue in raw.queues.values() for fault in queue.faults)]
    faults += [fault for queue in raw.queues.values() for fault in violations(queue.snapshot)]
    if faults:
        facts.fail("raw keys", "; ".join(faults))


@pytest.fixture
def audited(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every simulated Redis is audited; how often, in the end."""
    audits = [0]
    make = World._make_server

    def made(world: World, namespace: Any) -> Any:
        server = make(world, namespace)
        assert isinstance(server, LuaServer)
        execute = server.execute

        def executed(operation: Operation[Any], caller: str) -> object:
            reply: object = execute(operation, caller)
            if server.operations.total() % AUDIT_EVERY == 0:
                audits[0] += 1
                audit(server, world.facts)
            return reply

        monkeypatch.setattr(server, "execute", executed)
        return server

    monkeypatch.setattr(World, "_make_server", made)
    return audits


@pytest.mark.no_cover
@pytest.mark.parametrize("seeds", PIECES, ids=str)
def test_the_real_library_keeps_every_promise(seeds: range, audited: list[int]) -> None:
    summary = Summary()
    for seed in seeds:
        summary.add(MIXED.run(seed))
    assert not summary.violations, summary.violations
    assert sum(summary.operations.values()) > 300 * len(seeds)
    assert summary.tally.total > 5 * len(seeds)
    assert audited[0] > 5 * len(seeds)


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", range(8))
def test_they_keep_every_promise_when_redis_forgets_its_last_writes(
    seed: int, audited: list[int]
) -> None:
    outcome = LOSSY.run(seed)
    assert outcome.is_good, outcome
    assert audited[0]


def test_the_same_seed_gives_the_same_trace_with_another_hash_seed() -> None:
    program = (
        "from kew.simulation.batch import Choice\n"
        "print(*[Choice(store='lua', lossy=True).run(seed).trace_hash for seed in (2, 3)])"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(hashes) == 1


# --- that it sees


@attrs.frozen
class Bug:
    """A piece of its text, what it is replaced by, and the oracles that may find that."""

    name: str
    file: str
    text: str
    planted: str
    oracles: frozenset[str]


BUGS = (
    Bug(
        "settle is not fenced",
        "include/settle.lua",
        "if t.lease ~= lease then",
        "if t.lease == '-' then",
        frozenset({"leases", "outcomes"}),
    ),
    Bug(
        "extend revives an ended lease",
        "extend.lua",
        "if not lease_until or tonumber(lease_until) <= now then",
        "if not lease_until then",
        frozenset({"leases"}),
    ),
    Bug(
        "a repeated claim is another claim",
        "include/claim.lua",
        "if sequence <= last then",
        "if sequence < last then",
        frozenset({"leases", "order"}),
    ),
    Bug(
        "there is no limit",
        "include/gates/limit.lua",
        "setting('max_workers') - held",
        "setting('max_workers')",
        frozenset({"soundness", "order", "bounds", "sharing", "explaining"}),
    ),
    Bug(
        "a lease that was given up stays in its index",
        "include/moves.lua",
        "  unindex(LEASES, member)\n",
        "",
        frozenset({"indexes", "raw keys", "order"}),
    ),
)


@pytest.mark.no_cover
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_in_the_library_is_found(
    bug: Bug, monkeypatch: pytest.MonkeyPatch, audited: list[int]
) -> None:
    read, planted = library._read, []

    def read_with_the_bug(path: str) -> str:
        text = read(path)
        if path != bug.file:
            return text
        assert text.count(bug.text) == 1, "the library has changed: plant the bug again"
        planted.append(path)
        return text.replace(bug.text, bug.planted)

    monkeypatch.setattr(library, "_read", read_with_the_bug)
    found = next((one for one in map(MIXED.run, CLEAN) if not one.is_good), None)
    assert planted, "the library has no such file: plant the bug again"
    assert found is not None
    assert found.oracle in bug.oracles, found
    monkeypatch.undo()
    assert MIXED.run(found.plan.seed).is_good


# --- what the fake can't do


def _name(probe: Probe) -> str:
    return probe.name


@pytest.mark.parametrize("probe", SAME, ids=_name)
def test_the_fake_does_as_redis_does(probe: Probe) -> None:
    assert probe.holds(RedisInProcess(lambda: 0).command)


@pytest.mark.parametrize("probe", DIFFERENT, ids=_name)
def test_the_fake_still_differs_and_the_docs_say_so(probe: Probe) -> None:
    assert not probe.holds(RedisInProcess(lambda: 0).command), "no longer a difference: say so"
    assert f"| {probe.name} |" in PAGE.read_text(encoding="utf-8").replace("`", "")


def test_without_fakeredis_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name.startswith("fakeredis"):
            raise ImportError(name)
        return load(name, *more)

    lua_redis._fakeredis.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SimulationError, match=r"kew\[sim\]"):
        RedisInProcess(lambda: 0)
