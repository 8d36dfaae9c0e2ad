"""The Redis store: an operation is one Redis function, one round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, Final

from kew.adapters.redis import records
from kew.adapters.redis.announced import Announced, pieces
from kew.adapters.redis.arguments import (
    FunctionCall,
    FunctionCalls,
    claim_arguments,
    settle_arguments,
    submit_arguments,
)
from kew.adapters.redis.checks import check, load
from kew.adapters.redis.connection import Address, LibraryMissing, Lines, packed
from kew.adapters.redis.keys import Keys
from kew.adapters.redis.library import Argument, Library, genuine_library
from kew.adapters.redis.posting import Posted
from kew.adapters.redis.records import checked_incarnation
from kew.adapters.redis.replies import (
    read_dead_letters,
    read_grant,
    read_settled,
    read_status,
    read_submitted,
    read_tasks,
    word,
)
from kew.app.ports import (
    Bookmark,
    Command,
    DeadLetters,
    Declared,
    OnAnswer,
    QueueStatus,
    Settled,
    Submitted,
    Swept,
    TaskStore,
)
from kew.compat import override
from kew.domain.config import Settings
from kew.domain.lifecycle import ORPHANED
from kew.domain.requests import (
    ClaimRequest,
    Grant,
    Group,
    LeaseRef,
    Settlement,
    Word,
)
from kew.domain.task import Life, Task

LANES_KEPT_MS: Final = 3_600_000  # a late repeat of a claim must not meet a lane that was forgotten
STEP_BACK_MS: Final = 1_000  # the least step back of the store's clock that operations follow
PURGE_AT_ONCE: Final = 2_000
COMMAND_LINES, HEARTBEAT_LINES = 8, 1


class RedisStore(TaskStore):
    """A namespace of queues in one Redis. Heartbeats have a connection of their own, so that no load starves them.

    `library` is for tests with another clock, `checks` for stand-ins of Redis, which lack INFO.
    """

    def __init__(
        self,
        address: Address,
        namespace: str = "kew",
        *,
        library: Library | None = None,
        checks: bool = True,
    ) -> None:
        self._address = address
        self._keys = Keys(namespace)
        self._library = library or genuine_library()
        self._checks = checks
        self._lines = Lines(address, COMMAND_LINES)
        self._heartbeats = Lines(address, HEARTBEAT_LINES)
        self._calls = FunctionCalls(self._library, self._keys)
        self._announced = Announced()
        self._clock_ahead_ms = 0.0  # of the store's clock before this loop's: a hint for peek alone

    def __repr__(self) -> str:
        return f"RedisStore({self._address.where!r}, namespace={self._keys.namespace!r})"

    @override
    async def open(self) -> None:
        self._lines.open()
        self._heartbeats.open()
        if self._checks:
            await check(self._lines, self._address.where, self._library, self._keys)

    @override
    async def close(self) -> None:
        await self._lines.close()
        await self._heartbeats.close()

    # --- queues and workers

    @override
    async def declare(self, queue: str, settings: Settings) -> Declared:
        named: dict[str, Argument] = {"settings": records.write_settings(settings)}
        version, replaced = await self._run("declare", queue, named)
        while not version:
            await self._purge_on(queue, is_first=0)
            version, replaced = await self._run("declare", queue, named)
        return Declared(version, records.read_settings(replaced.decode()) if replaced else None)

    @override
    async def settings(self, queue: str) -> tuple[Settings, int] | None:
        key = self._keys.key("state", queue)
        text, counts = await self._lines.call(packed("HMGET", key, "settings", "counts"))
        return (
            (records.read_settings(text.decode()), records.read_counts(counts).version)
            if text
            else None
        )

    @override
    async def announce(
        self,
        queue: str,
        incarnation: str,
        functions: Sequence[str],
        ttl_ms: int,
        gone: Sequence[str] = (),
    ) -> Word:
        who = checked_incarnation(incarnation)
        self._announced.drop(queue, who, gone)
        news = self._announced.news(queue, who, functions)
        answer, is_new = await self._announce(queue, who, news, ttl_ms, gone)
        if is_new:  # the store may have forgotten this process: say all of it again
            everything = self._announced.everything(queue, who, functions)
            if len(everything) > len(news):
                answer, _ = await self._announce(queue, who, everything, ttl_ms, ())
        if answer is Word.DONE:
            self._announced.note(queue, who, functions)
        return answer

    async def _announce(
        self, queue: str, who: str, functions: Sequence[str], ttl_ms: int, gone: Sequence[str]
    ) -> tuple[Word, bool]:
        answer, was_new = b"", False
        for removed, names in pieces(functions, gone):
            named: dict[str, Argument] = {"incarnation": who, "ttl_ms": ttl_ms, "gone": removed}
            answer, is_new, now = await self._run("announce", queue, named, names)
            self._saw(now)
            was_new = was_new or bool(is_new)
        return word(answer), was_new

    @override
    async def depart(self, queue: str, incarnation: str) -> None:
        who = checked_incarnation(incarnation)
        self._saw(await self._run("depart", queue, {"incarnation": who}))
        self._announced.forget(queue, who)

    # --- what tasks go through

    @override
    async def submit(
        self, queue: str, groups: Collection[Group], claim: ClaimRequest | None = None
    ) -> Submitted:
        reply = await self._reply(self._submit_call(queue, groups, claim))
        return self._read_submitted(groups, claim, reply)

    @override
    def post(
        self, queue: str, groups: Collection[Group], claim: ClaimRequest | None, on_answer: OnAnswer
    ) -> asyncio.Future[Submitted]:
        line = self._lines.at_hand()
        if line is None:  # to have one takes waiting
            return super().post(queue, groups, claim, on_answer)
        try:
            call = self._submit_call(queue, groups, claim)
        except BaseException:
            self._lines.give_back(line)
            raise
        read = partial(self._read_submitted, groups, claim)
        posted = Posted(self._lines, line, read=read, on_answer=on_answer)
        posted.send(call.packed)
        return posted

    def _submit_call(
        self, queue: str, groups: Collection[Group], claim: ClaimRequest | None
    ) -> FunctionCall:
        rest = submit_arguments(groups)
        if claim is None:
            return self._calls.make("submit_alone", queue, {}, rest)
        return self._calls.make("submit", queue, claim_arguments(claim), rest)

    def _read_submitted(
        self, groups: Collection[Group], claim: ClaimRequest | None, reply: Any
    ) -> Submitted:
        self._saw(reply[0])
        return read_submitted(groups, claim, reply)

    @override
    async def claim(self, queue: str, request: ClaimRequest) -> Grant:
        now, answer = await self._run("claim", queue, claim_arguments(request))
        self._saw(now)
        return read_grant(answer) or Grant(word=Word.NO_QUEUE)

    @override
    async def settle(
        self, queue: str, settlements: Sequence[Settlement], claim: ClaimRequest | None = None
    ) -> Settled:
        rest = settle_arguments(settlements)
        if claim is None:
            reply = await self._run("settle_alone", queue, {}, rest)
        else:
            reply = await self._run("settle", queue, claim_arguments(claim), rest)
        self._saw(reply[0])
        return read_settled(settlements, claim, reply)

    @override
    async def extend(self, queue: str, refs: Sequence[LeaseRef], lease_ms: int) -> Sequence[Word]:
        rest: list[Argument] = []
        for ref in refs:
            rest += (ref.task_id, ref.lease)
        now, *words = await self._run(
            "extend", queue, {"lease_ms": lease_ms}, rest, lines=self._heartbeats
        )
        self._saw(now)
        return [word(answer) for answer in words]

    # --- maintenance

    @override
    async def sweep(self, queue: str, limit: int) -> Swept:
        *counts, more, now = await self._run(
            "sweep", queue, {"limit": limit, "kept_ms": LANES_KEPT_MS, "orphaned": ORPHANED}
        )
        self._saw(now)
        recovered, removed, orphaned, departed = counts
        return Swept(
            recovered=recovered,
            removed=removed,
            orphaned=orphaned,
            departed=departed,
            more=bool(more),
        )

    @override
    async def peek(self, queue: str) -> int | None:
        """The store's clock is estimated from the last reply that told it: this is a hint, and one command."""
        key = self._keys.key("state", queue)
        text = await self._lines.call(packed("HGET", key, "counts"))
        counts = records.read_counts(text) if text else None
        if counts is None or counts.wake_at is None:
            return None
        now = round(_loop_ms() + self._clock_ahead_ms)
        if now <= counts.clock - STEP_BACK_MS:  # what was due lies ahead again: look
            return 0
        return max(0, counts.wake_at - now)

    # --- what people ask

    @override
    async def find(self, task_ids: Sequence[str]) -> Sequence[Task | None]:
        if not task_ids:
            return []
        now, *raws = await self._run("find", "", {}, list(task_ids))
        self._saw(now)
        found: list[Task | None] = []
        running: dict[str, list[int]] = {}
        for n, (task_id, raw) in enumerate(zip(task_ids, raws, strict=True)):
            if raw is not None and records.is_running(raw):
                running.setdefault(records.queue_of(raw), []).append(n)
            task = records.read(task_id, raw, 0) if raw is not None else None
            found.append(None if task is None or 0 < task.expires_at <= now else task)
        for queue, places in running.items():  # the ends of their leases stand in the queue
            tasks = await self.watch(queue, [task_ids[n] for n in places], "")
            for n, task in zip(places, tasks, strict=True):
                found[n] = task
        return found

    @override
    async def running(self, queue: str) -> Sequence[Task]:
        return read_tasks(await self._run("running", queue, {}))

    @override
    async def failed(self, queue: str, after: Bookmark | None, limit: int) -> DeadLetters | None:
        place: dict[str, Argument] = {"expires_at": "", "id": ""}
        if after is not None:
            place = {"expires_at": str(after.expires_at), "id": after.task_id}
        reply = await self._run("failed", queue, {**place, "limit": limit})
        self._saw(reply[0])
        return read_dead_letters(reply)

    @override
    async def watch(
        self, queue: str, task_ids: Sequence[str], incarnation: str
    ) -> Sequence[Task | None]:
        who = checked_incarnation(incarnation) if incarnation else ""
        now, *pairs = await self._run("watch", queue, {"incarnation": who}, list(task_ids))
        self._saw(now)
        ends, raws = pairs[::2], pairs[1::2]
        return [
            None if raw is None else records.read(task_id, raw, int(end))
            for task_id, end, raw in zip(task_ids, ends, raws, strict=True)
        ]

    @override
    async def cancel(self, queue: str, task_id: str, life: Life | None) -> Word:
        answer, now = await self._run("cancel", queue, _named(task_id, life))
        self._saw(now)
        return word(answer)

    @override
    async def replay(self, queue: str, task_id: str, life: Life | None) -> Word:
        answer, now = await self._run("replay", queue, _named(task_id, life))
        self._saw(now)
        return word(answer)

    @override
    async def control(self, queue: str, command: Command, incarnation: str, sequence: int) -> Word:
        # A command makes a process known that sweep had forgotten: it has to say its functions again.
        self._announced.forget(queue, incarnation)
        answer, now = await self._run(
            "control",
            queue,
            {
                "incarnation": checked_incarnation(incarnation),
                "command": command.value,
                "sequence": sequence,
            },
        )
        self._saw(now)
        return word(answer)

    @override
    async def status(self, queue: str) -> QueueStatus | None:
        reply = await self._run("status", queue, {})
        self._saw(reply[0])
        return read_status(queue, reply)

    @override
    async def queues(self) -> Sequence[str]:
        names = await self._lines.call(packed("SMEMBERS", self._keys.key("queues")))
        return sorted(name.decode() for name in names)

    @override
    async def purge(self, queue: str) -> None:
        """The queue goes at once, its tasks in bounded steps. Interrupted, it is finished by who declares the queue."""
        self._announced.forget(queue)
        await self._purge_on(queue, is_first=1)

    async def _purge_on(self, queue: str, *, is_first: int) -> None:
        is_left = 1
        while is_left:
            is_left = await self._run(
                "purge", queue, {"limit": PURGE_AT_ONCE, "is_first": is_first}
            )
            is_first = 0

    # --- inside

    async def _run(
        self,
        name: str,
        queue: str,
        named: dict[str, Argument],
        rest: Sequence[Argument] = (),
        *,
        lines: Lines | None = None,
    ) -> Any:
        """An operation's reply."""
        return await self._reply(self._calls.make(name, queue, named, rest), lines)

    async def _reply(self, call: FunctionCall, lines: Lines | None = None) -> Any:
        """A server that lost the library is given it again; one too full for it is sent the operation as a script."""
        lines = lines or self._lines
        try:
            return await lines.call(call.packed)
        except LibraryMissing:
            if await load(lines, self._library):
                return await lines.call(call.packed)
            script = self._library.script(call.operation)
            return await lines.call(packed("EVAL", script, *call.arguments))

    def _saw(self, now_ms: int) -> None:
        self._clock_ahead_ms = now_ms - _loop_ms()


def _loop_ms() -> float:
    return asyncio.get_running_loop().time() * 1000


def _named(task_id: str, life: Life | None) -> dict[str, Argument]:
    if life is None:
        return {"id": task_id, "ticket": "", "replays": ""}
    return {"id": task_id, "ticket": str(life.ticket), "replays": str(life.replays)}
