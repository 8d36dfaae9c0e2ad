"""What the services need of the world, in the words of the domain.

The store port is the heart. Each of its operations is atomic, is judged by the store's own clock,
and may be repeated with the same arguments: its identity makes that safe. An operation that doesn't
answer raises one of two errors: `Refused` (surely not done) or `Ambiguous` (perhaps done); both are
`StoreError`. Durations cross the port, instants don't, but for a due time that a person gave and
for what records tell. All times are integer milliseconds.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import attrs

from kew.app.spawning import spawn
from kew.domain.config import Settings
from kew.domain.queue import QueueState
from kew.domain.requests import (
    ClaimRequest,
    Grant,
    Group,
    GroupOutcome,
    LeaseRef,
    Settlement,
    SettleOutcome,
    Word,
)
from kew.domain.task import Life, Task


class StoreError(Exception):
    """The store did not answer an operation."""


class Refused(StoreError):
    """The operation was surely not carried out."""


class Ambiguous(StoreError):
    """The operation may have been carried out, or may yet be."""


class CodecError(Exception):
    """Something can't be encoded or decoded. `where` names the argument ("argument 'order'", "result")."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason


# --- what the store answers


@attrs.frozen
class Declared:
    """The version of the settings now in force, and those that this declaration replaced (None: same or first)."""

    version: int
    replaced: Settings | None


@attrs.frozen(kw_only=True)
class Submitted:
    """One outcome per group, in order; the store's instant; what the claim sent along brought."""

    outcomes: Sequence[GroupOutcome]
    now_ms: int
    grant: Grant | None = None


@attrs.frozen(kw_only=True)
class Settled:
    """One outcome per settlement, in order; the store's instant; what the claim sent along brought."""

    outcomes: Sequence[SettleOutcome]
    now_ms: int
    grant: Grant | None = None


@attrs.frozen(kw_only=True)
class Swept:
    """What one bounded round of maintenance did. `more`: a limit was reached, call again soon."""

    recovered: int = 0
    removed: int = 0
    orphaned: int = 0
    departed: int = 0
    more: bool = False


@attrs.frozen(kw_only=True)
class QueueStatus:
    """One queue at one moment; the breaker is judged at `now_ms`.

    `waiting` counts QUEUED and RETRY by priority, due or not; `stuck` counts, by function, waiting
    tasks known to have met only workers that can't run them; `workers` are the incarnations whose presence lasts.
    """

    name: str
    now_ms: int
    state: QueueState
    waiting: Mapping[int, int]
    held: int
    workers: Sequence[str]
    stuck: Mapping[str, int]


@attrs.frozen
class Bookmark:
    """How far a queue's dead letters were read: down to the one of this id, whose record ends at this instant."""

    expires_at: int
    task_id: str


@attrs.frozen(kw_only=True)
class DeadLetters:
    """A page of FAILED tasks, without their payloads. `after`: where the next page begins; None: this is the last."""

    tasks: Sequence[Task]
    after: Bookmark | None


class Command(enum.StrEnum):
    """What people do to a queue as a whole."""

    PAUSE = "pause"
    RESUME = "resume"
    RECORD_FAILURE = "record_failure"
    RESET_BREAKER = "reset_breaker"


OnAnswer = Callable[["asyncio.Future[Submitted]"], object]


class TaskStore(Protocol):
    """Whatever remembers tasks: one namespace of queues."""

    async def open(self) -> None:
        """Connect and check the store. Raises `StoreUnavailableError` or `StoreUnsuitableError`, with advice."""

    async def close(self) -> None:
        """Let go of every connection; the store forgets nothing."""

    async def declare(self, queue: str, settings: Settings) -> Declared:
        """Create the queue or make these its settings; the latest declaration wins."""
        ...

    async def settings(self, queue: str) -> tuple[Settings, int] | None:
        """The settings in force and their version; None: nobody declared the queue."""
        ...

    async def announce(
        self,
        queue: str,
        incarnation: str,
        functions: Sequence[str],
        ttl_ms: int,
        gone: Sequence[str] = (),
    ) -> Word:
        """This process serves the queue for `ttl_ms` from now, and can run these functions too: DONE or NO_QUEUE.

        Functions add up over calls; a process that the store has forgotten says all of them again. `gone`: pins that
        it will never be given a task of again.
        """
        ...

    async def depart(self, queue: str, incarnation: str) -> None:
        """End the presence of a process that stops; its lanes and functions are forgotten by maintenance."""

    async def submit(
        self, queue: str, groups: Collection[Group], claim: ClaimRequest | None = None
    ) -> Submitted:
        """Store groups in order, each whole or not at all, later ones seeing earlier ones; then the ordinary claim.

        A group whose `after` isn't in is refused as EARLY.
        """
        ...

    def post(
        self, queue: str, groups: Collection[Group], claim: ClaimRequest | None, on_answer: OnAnswer
    ) -> asyncio.Future[Submitted]:
        """`submit`, begun now, for whoever doesn't want to wait: a future with its answer, or the error that it raises.

        `on_answer` is called with it, once and never before this returns: in the call that brings the answer where the
        store can do so, at the latest in the loop's next turn. Cancelled, it is called too, and the submit is in doubt.
        """
        posted = spawn(self.submit(queue, groups, claim))
        posted.add_done_callback(on_answer)
        return posted

    async def claim(self, queue: str, request: ClaimRequest) -> Grant:
        """Recover a bounded number of ended leases, then grant.

        An answer may be cut where tasks are large: fewer than there are, and `wait_ms` 0.
        """
        ...

    async def settle(
        self, queue: str, settlements: Sequence[Settlement], claim: ClaimRequest | None = None
    ) -> Settled:
        """Apply outcomes in order, each under its lease's identity; then the ordinary claim."""
        ...

    async def extend(self, queue: str, refs: Sequence[LeaseRef], lease_ms: int) -> Sequence[Word]:
        """Prolong live leases to `lease_ms` from now: DONE, CANCEL (live, and it is to stop) or STALE, in order."""
        ...

    async def sweep(self, queue: str, limit: int) -> Swept:
        """Bounded maintenance: recover, remove expired records, forget dead workers, fail their pinned tasks."""
        ...

    async def peek(self, queue: str) -> int | None:
        """How long, at least, until something may need a worker (a task due, a lease ended), ms; None: nobody knows.

        A hint that costs one plain command; 0: now.
        """
        ...

    async def find(self, task_ids: Sequence[str]) -> Sequence[Task | None]:
        """The records, in order; None for one that is absent."""
        ...

    async def running(self, queue: str) -> Sequence[Task]:
        """The tasks under a current lease, over all processes."""
        ...

    async def failed(self, queue: str, after: Bookmark | None, limit: int) -> DeadLetters | None:
        """The next dead letters, of at most `limit` (1 or more) ended tasks looked at; None: nobody declared the queue.

        First those whose records end last: the newest ends, while `dead_letter_ttl` stays as it is. Of one instant,
        those whose ids are greatest in UTF-8. What doesn't change meanwhile is on one page, and on no other. A page may
        be empty and not the last.
        """
        ...

    async def watch(
        self, queue: str, task_ids: Sequence[str], incarnation: str
    ) -> Sequence[Task | None]:
        """Like `find` within one queue; `incarnation` will be told of the end of those that have not ended."""
        ...

    async def cancel(self, queue: str, task_id: str, life: Life | None) -> Word:
        """Cancel a waiting task (DONE) or ask the holder of a running one to stop (CANCEL); SAME, ENDED or MISSING.

        ENDED also where it was put back since that life; None: whichever life it is in.
        """
        ...

    async def replay(self, queue: str, task_id: str, life: Life | None) -> Word:
        """Put a FAILED or CANCELLED task back: DONE, SAME (it has not ended), ILLEGAL (it completed) or MISSING.

        SAME also where it was put back since that life; None: whichever life it is in.
        """
        ...

    async def control(self, queue: str, command: Command, incarnation: str, sequence: int) -> Word:
        """Carry a command out once per (incarnation, increasing sequence): DONE, SAME or NO_QUEUE."""
        ...

    async def status(self, queue: str) -> QueueStatus | None:
        """The queue at this moment; None: nobody declared it."""
        ...

    async def queues(self) -> Sequence[str]:
        """The names of the declared queues, sorted."""
        ...

    async def purge(self, queue: str) -> None:
        """Remove a queue with all its tasks, settings and workers, and nothing else."""


# --- being told


@attrs.frozen
class Woken:
    """A queue may have something for this process."""

    queue: str


@attrs.frozen
class StopAsked:
    """Somebody asked a task that this process runs to stop."""

    queue: str
    task_id: str


@attrs.frozen
class TaskEnded:
    """A task that this process watches has ended."""

    task_id: str


@attrs.frozen
class Resumed:
    """The subscription was interrupted: anything may have been missed."""


Notice = Woken | StopAsked | TaskEnded | Resumed


class Wakeup(Protocol):
    """Notifications from the store: quick and unreliable; a slow poll stands behind them."""

    async def listen(self, incarnation: str, deliver: Callable[[Notice], None]) -> None:
        """Deliver what is meant for `incarnation` until `close`; reconnects by itself."""

    async def close(self) -> None:
        """Deliver no more."""


# --- the rest of the world


class Clock(Protocol):
    """A store's clock."""

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        ...


class Entropy(Protocol):
    """Chance, so that a simulation can decide it."""

    def draw(self) -> float:
        """Uniform in [0, 1)."""
        ...

    def identity(self) -> str:
        """Text of 16 letters and digits that is unique for ever."""
        ...


Arguments = tuple[Sequence[Any], Mapping[str, Any]]


class Codec(Protocol):
    """Turns calls and results into bytes and back. Raises `CodecError`, and nothing else, for what it can't."""

    carries_functions: bool  # True: a function may be an argument, so closures need no pin

    def encode_call(
        self, function: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object]
    ) -> bytes:
        """The payload of a call."""
        ...

    def decode_call(self, payload: bytes, function: Callable[..., object]) -> Arguments:
        """The arguments, converted to what `function` annotates."""
        ...

    def encode_result(self, value: object) -> bytes:
        """A result's bytes."""
        ...

    def decode_result(self, result: bytes, annotation: object = None) -> Any:
        """The plain value, or one of the annotated type."""
        ...


class Threads(Protocol):
    """Where plain functions run."""

    def run(self, call: Callable[[], object]) -> Awaitable[object]:
        """Run it off the event loop; cancelling the awaitable doesn't stop it. Contextvars are the caller's."""
        ...


class Watchdog(Protocol):
    """Tells who blocks the event loop."""

    def start(self) -> None:
        """Watch the running loop from now on."""

    def close(self) -> None:
        """Watch no more."""
