"""Whether a store is fit for kew, and whether the queues in it are sound: what `kew doctor` prints."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

import attrs

from kew.app.ports import EXAMINED_PARTS, Examine, IndexFault, Queues, Status, TaskStore
from kew.app.repeat import ask
from kew.domain.words import lasting, tasks_text

AT_ONCE: Final = 100  # entries of an index, in one request
MOST_FAULTS: Final = 100  # of a queue, that are listed
CLOCK_MS: Final = 1000  # that a host's clock may differ
FULL_SHARE: Final = 0.9
NO_QUEUE: Final = "kew.doctor"  # a name that a look-up may ask for
PRIORITIES: Final = {"1": "high", "2": "medium", "3": "low"}
COUNTED: Final = {
    "count": "{counted} waiting tasks of {priority} priority are counted, and {there} are indexed",
    "lined": "{counted} tasks with keys of {priority} priority are counted, and {there} are in lines",
    "key": "{counted} waiting tasks of key {what} are counted, and {there} are in its line",
    "held": "{counted} leases of key {what} are counted, and {there} are held",
    "limits": "{counted} limits of keys are counted, and there are {there}",
}
NAMED: Final = {
    "keyed": "key {what} {found}",
    "moved": "task {what} is indexed for another time than it is due",
    "lease": "task {what} is among the leases, and there is {found}",
    "waiting": "task {what} is among the waiting tasks, and there is {found}",
    "dead": "task {what} is among the dead letters, and there is {found}",
}
MENDED_IN_PIECES: Final = frozenset({"lined", "key", "held", "limits", "keyed"})
SWEEPS: Final = (1, 10, 100, 1_000, 4_000)  # between two looks: a sweep corrects a hundred keys
Verdict = Literal["ok", "warning", "failed"]


@attrs.frozen
class Finding:
    """One thing that was looked at. `remedy`: what to do, or ""."""

    name: str
    verdict: Verdict
    text: str
    remedy: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return attrs.asdict(self)


@attrs.frozen
class Diagnosis:
    """What was found. `is_well`: nothing failed; there may be warnings."""

    findings: tuple[Finding, ...]

    @property
    def is_well(self) -> bool:
        """Whether nothing failed."""
        return all(finding.verdict != "failed" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "is_well": self.is_well,
            "findings": [finding.to_dict() for finding in self.findings],
        }


# --- the server


def preflight(facts: Mapping[str, str]) -> Iterator[Finding]:
    """What the server says of itself (INFO, by name); nothing is known of a store in memory."""
    if not facts:
        yield Finding("store", "ok", "the store is in this process's memory")
        return
    if "sqlite_version" in facts:
        yield _file(facts)
        return
    yield Finding(
        "version", "ok", f"Redis {facts.get('redis_version', '?')}; kew needs 7.0 or newer"
    )
    yield Finding("functions", "ok", "the library of kew's functions is loaded, or can be")
    yield from (_persistence(facts), _eviction(facts), _memory(facts), _role(facts))
    if facts.get("kew_unconfirmed"):
        yield _durability(facts)
    if "kew_sentinels" in facts:
        yield _sentinels(facts)
    yield _rights(facts)


def _file(facts: Mapping[str, str]) -> Finding:
    text = f"SQLite {facts['sqlite_version']}, in {facts['sqlite_file']}"
    if facts["sqlite_synchronous"] == "full":
        return Finding("store", "ok", f"{text}; a power failure loses nothing")
    return Finding("store", "ok", f"{text}; a power failure may lose the last transactions")


def _persistence(facts: Mapping[str, str]) -> Finding:
    if facts.get("aof_enabled") == "1":
        if facts.get("aof_last_write_status", "ok") != "ok":
            return Finding(
                "persistence", "failed", "the append-only file can't be written", "check the disk"
            )
        return Finding("persistence", "ok", "an append-only file is kept")
    if facts.get("rdb_last_bgsave_status", "ok") != "ok":
        return Finding("persistence", "failed", "the last snapshot failed", "check the disk")
    changes = int(facts.get("rdb_changes_since_last_save", "0"))
    text = (
        "there is no append-only file: a crash of Redis loses what it stored since its last snapshot, "
        f"{changes:,} changes so far"
    )
    return Finding("persistence", "warning", text, "CONFIG SET appendonly yes, and in redis.conf")


def _eviction(facts: Mapping[str, str]) -> Finding:
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy == "noeviction" or facts.get("maxmemory", "0") == "0":
        return Finding("eviction", "ok", "keys are never evicted")
    text = f"keys with a TTL are evicted when the memory is full ({policy}); kew's have none"
    return Finding("eviction", "warning", text, "CONFIG SET maxmemory-policy noeviction")


def _memory(facts: Mapping[str, str]) -> Finding:
    used, most = int(facts.get("used_memory", "0")), int(facts.get("maxmemory", "0"))
    if not most:
        return Finding("memory", "ok", f"{used // 2**20:,} MiB used, without a limit")
    text = f"{used // 2**20:,} of at most {most // 2**20:,} MiB used"
    if used < FULL_SHARE * most:
        return Finding("memory", "ok", text)
    remedy = "raise maxmemory, or purge dead letters: a full Redis refuses new tasks"
    return Finding("memory", "warning", text, remedy)


def _role(facts: Mapping[str, str]) -> Finding:
    replicas, level = facts.get("connected_slaves", "0"), facts.get("kew_durability", "default")
    is_confirmed = level != "default" and not facts.get("kew_unconfirmed")
    confirmed = "" if not is_confirmed else f", and confirms writes (durability={level})"
    if primaries := facts.get("kew_primaries"):
        return _cluster_role(int(primaries), int(replicas), confirmed)
    return Finding("role", "ok", f"it is a primary with {replicas} replicas{confirmed}")


def _durability(facts: Mapping[str, str]) -> Finding:
    text = (
        f"writes are not confirmed, as durability={facts['kew_durability']} needs "
        f"({facts['kew_unconfirmed']}): submits are uncertain, and nothing new starts"
    )
    remedy = "start the replicas that are missing (INFO replication), or choose durability=default"
    return Finding("durability", "failed", text, remedy)


def _sentinels(facts: Mapping[str, str]) -> Finding:
    count, amiss = facts["kew_sentinels"], facts.get("kew_sentinels_amiss", "")
    if not amiss:
        return Finding("sentinels", "ok", f"all {count} Sentinels name this primary")
    text = f"of {count} Sentinels, not all name this primary ({amiss})"
    return Finding(
        "sentinels", "warning", text, "start those that don't answer, or correct the URL"
    )


def _rights(facts: Mapping[str, str]) -> Finding:
    lacking = facts.get("kew_lacking", "")
    if not lacking:
        return Finding("rights", "ok", "this user may use all commands that kew needs")
    text = f"this user may not use {', '.join(lacking.split())} in this namespace"
    page = "docs/cluster.md" if "kew_primaries" in facts else "docs/redis.md"
    return Finding("rights", "failed", text, f"{page} has the ACL line")


def _cluster_role(primaries: int, fewest: int, confirmed: str) -> Finding:
    text = f"{primaries} primaries of a Redis Cluster serve the namespace"
    if fewest:
        return Finding("role", "ok", f"{text}, each with {fewest} replicas or more{confirmed}")
    text += ", and one of them has no replica: if it fails, its queues stand still"
    return Finding("role", "warning", text, "give each primary a replica")


def clock(store_ms: int, host_ms: int) -> Finding:
    """How far this host's clock is off the store's. Deferred tasks and rates go by the store's."""
    ahead = host_ms - store_ms
    if abs(ahead) <= CLOCK_MS:
        return Finding("clock", "ok", "this host's clock agrees with the store's")
    text = f"this host's clock is {lasting(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} the store's"
    return Finding(
        "clock", "warning", text, "synchronize both clocks (NTP); kew goes by the store's"
    )


# --- the queues


async def examine(store: TaskStore, queue: str) -> list[IndexFault]:
    """What a queue's indexes say wrongly, in bounded requests; the first of them, if there are many."""
    faults: list[IndexFault] = []
    pieces: deque[tuple[str, int]] = deque((part, 0) for part in EXAMINED_PARTS)
    while pieces and len(faults) < MOST_FAULTS:
        part, first = pieces.popleft()
        found = await ask(store, Examine(queue, part, first, AT_ONCE))
        if found is None:
            return []
        faults += found.faults
        if found.next is not None:
            pieces.appendleft((part, found.next))
        pieces += found.longer
    return faults


async def mended(
    store: TaskStore, queue: str, repair: Callable[[str], Awaitable[None]]
) -> list[IndexFault]:
    """Let maintenance clear a queue up; what is left. A sweep corrects a bounded piece of what is known of keys."""
    left: list[IndexFault] = []
    for sweeps in SWEEPS:
        for _ in range(sweeps):
            await repair(queue)
        left = await examine(store, queue)
        if not any(fault.kind in MENDED_IN_PIECES for fault in left):
            break
    return left


async def queue_check(
    store: TaskStore, queue: str, repair: Callable[[str], Awaitable[None]] | None
) -> Finding:
    """A queue's indexes against its records; `repair` clears a queue up."""
    faults = await examine(store, queue)
    if not faults:
        return Finding(f"queue {queue}", "ok", "its indexes agree with its records")
    if repair is None:
        return Finding(
            f"queue {queue}",
            "failed",
            words(faults),
            "run kew doctor --repair",
        )
    left = await mended(store, queue, repair)
    if not left and (lost := sum(map(_in_no_index, faults))):
        text = f"the counts were repaired, but {tasks_text(lost)} seem to be in no index, and never run"
        return Finding(f"queue {queue}", "warning", text, "submit them again, under other ids")
    if not left:
        return Finding(f"queue {queue}", "ok", f"mended: {words(faults)}")
    remedy = (
        "leases end by themselves, and claims drop entries that they meet: look again in a minute"
    )
    return Finding(f"queue {queue}", "failed", f"still wrong: {words(left)}", remedy)


def words(faults: Sequence[IndexFault]) -> str:
    """All of them in one sentence."""
    return "; ".join(map(_words, faults))


def _in_no_index(fault: IndexFault) -> int:
    """How many waiting tasks are counted, and not indexed."""
    if fault.kind not in ("count", "lined"):
        return 0
    counted, indexed = map(int, fault.found.split())
    return max(0, counted - indexed)


def _words(fault: IndexFault) -> str:
    if fault.kind in NAMED:
        return NAMED[fault.kind].format(what=fault.what, found=fault.found)
    counted, there = fault.found.split()
    priority = PRIORITIES.get(fault.what, fault.what)
    return COUNTED[fault.kind].format(
        what=fault.what, priority=priority, counted=counted, there=there
    )


async def diagnosed(store: TaskStore, repair: Callable[[str], Awaitable[None]] | None) -> Diagnosis:
    """The server, the clocks, and each queue."""
    facts = await store.facts()
    host_ms = round(datetime.now(UTC).timestamp() * 1000)
    findings = list(preflight(facts))
    if "server_time_usec" in facts:
        findings.append(clock(int(facts["server_time_usec"]) // 1000, host_ms))
    if any(finding.name == "rights" and finding.verdict == "failed" for finding in findings):
        return Diagnosis(tuple(findings))
    await ask(store, Status(NO_QUEUE))  # raises if this user may not call kew's functions
    names = await ask(store, Queues())
    findings += [await queue_check(store, queue, repair) for queue in names]
    return Diagnosis(tuple(findings))
