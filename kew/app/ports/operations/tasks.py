"""What is done to single tasks, and asked about them. All tasks that are read here are without payloads.

`ReadPayload` alone reads one.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from kew.app.ports.answers import Bookmark, DeadLetters, FailureGroups, WaitingTasks
from kew.app.ports.operation import Operation
from kew.domain.attempts import FailedAttempt
from kew.domain.explaining import Situation
from kew.domain.listing import Place, WaitingFilter
from kew.domain.requests import LifeRef, Word
from kew.domain.task import Found, Life, Task


@attrs.frozen
class Find(Operation[Sequence[Found]]):
    """The records, in order: None for one that is absent, `Unreadable` for one that can't be read."""

    name = "find"
    changes = False
    is_awaited = True
    is_shared = True

    task_ids: Sequence[str]


@attrs.frozen
class Watch(Operation[Sequence[Found]]):
    """Like `Find` within one queue; `incarnation` is notified when those end that have not ended."""

    name = "watch"
    is_awaited = True
    is_shared = True

    queue: str
    task_ids: Sequence[str]
    incarnation: str


@attrs.frozen
class Cancel(Operation[Word]):
    """Cancel a waiting task (DONE) or ask the holder of a running one to stop (CANCEL); SAME, ENDED or MISSING.

    ENDED also if it was replayed since that life; None: in any life.
    """

    name = "cancel"
    is_awaited = True

    queue: str
    task_id: str
    life: Life | None


@attrs.frozen
class CancelAll(Operation[Sequence[Word]]):
    """Cancel tasks that wait, each in the life that is named: one answer for each, in order.

    DONE, SAME (cancelled before), ENDED (also if it was replayed since), ILLEGAL (it runs, and goes on) or MISSING. At
    most 100 in one atomic step; a store takes several steps for more.
    """

    name = "cancel_all"
    is_awaited = True

    queue: str
    refs: Sequence[LifeRef]


@attrs.frozen
class Hasten(Operation[Word]):
    """Let a task that waits for its due time be due now: DONE, SAME (it is due, or runs), ENDED or MISSING.

    ENDED also if it was replayed since that life; None: in any life.
    """

    name = "hasten"
    is_awaited = True

    queue: str
    task_id: str
    life: Life | None


@attrs.frozen
class Replay(Operation[Word]):
    """Replay a FAILED or CANCELLED task: DONE, SAME (it has not ended), ILLEGAL (it completed) or MISSING.

    SAME also if it was replayed since that life; None: in any life. `payload`: other arguments; None: the same. `key`:
    the key that goes with these; None: the same.
    """

    name = "replay"
    is_awaited = True

    queue: str
    task_id: str
    life: Life | None
    payload: bytes | None = None
    key: str | None = None


@attrs.frozen
class Discard(Operation[Word]):
    """Remove a task whose record can't be read: DONE, or MISSING if it isn't one of those."""

    name = "discard"
    is_awaited = True

    queue: str
    task_id: str


@attrs.frozen
class Explain(Operation[Situation | None]):
    """What bears on a task, to say why it isn't running; None: the queue has no task of this id."""

    name = "explain"
    changes = False
    is_awaited = True

    queue: str
    task_id: str


@attrs.frozen
class Running(Operation[Sequence[Task]]):
    """The tasks under a current lease, over all processes."""

    name = "running"
    changes = False
    is_awaited = True

    queue: str


@attrs.frozen
class ListWaiting(Operation[WaitingTasks | None]):
    """The next waiting tasks that fit, at most `limit` (1 or more); None: there is no such queue.

    By priority; what order those of one priority have is up to the store. A task that waits all the time is on one
    page, and on no other, unless keys begin or cease to have waiting tasks meanwhile: then it may be on two. A request
    looks at no more than `LOOKED_AT_ONCE` entries, so a page may be shorter than `limit`, even empty, and not the last.
    Those are stuck that are known to have met only processes which can't run them, and that none which is present can.
    """

    name = "waiting"
    changes = False
    is_awaited = True

    queue: str
    wanted: WaitingFilter
    after: Place | None
    limit: int


@attrs.frozen
class ListFailed(Operation[DeadLetters | None]):
    """The next dead letters, at most `limit` (1 or more); None: there is no such queue. `group`: only those of one.

    First those whose records end last: the newest ends, while `dead_letter_ttl` stays as it is. Of one instant,
    those submitted last. What doesn't change meanwhile is on one page, and on no other. A page may be shorter than
    `limit`, even empty, and not the last.
    """

    name = "failed"
    changes = False
    is_awaited = True

    queue: str
    after: Bookmark | None
    limit: int
    group: str | None = None


@attrs.frozen
class ListGroups(Operation[FailureGroups | None]):
    """The groups of the queue's dead letters, at most `limit` (1 or more), after one of this name ("": from the first).

    None: there is no such queue. A group that has no dead letters left is not listed, so a page may be shorter than
    `limit` and not the last.
    """

    name = "groups"
    changes = False
    is_awaited = True

    queue: str
    after: str
    limit: int


@attrs.frozen
class ReadAttempts(Operation[Sequence[Sequence[FailedAttempt]]]):
    """The failed attempts of tasks that have not completed, oldest first, the last 10 of each, over all its lives."""

    name = "attempts"
    changes = False
    is_awaited = True

    queue: str
    refs: Sequence[LifeRef]


@attrs.frozen
class ReadPayload(Operation[bytes | None]):
    """The payload of a task; None if it is absent, can't be read or has completed (its payload isn't needed then)."""

    name = "payload"
    changes = False
    is_awaited = True

    task_id: str


@attrs.frozen
class ReplayAll(Operation[Sequence[Word]]):
    """Replay tasks as `Replay` does, each in the life that is named: one answer for each, in order.

    The first is due after `first_ms`, each of the others `every_ms` after the one before. At most 100 in one atomic
    step; a store takes several steps for more.
    """

    name = "replay_all"
    is_awaited = True

    queue: str
    refs: Sequence[LifeRef]
    first_ms: int = 0
    every_ms: int = 0


@attrs.frozen
class Forget(Operation[Sequence[Word]]):
    """Remove the records of ended tasks, each in the life that is named: DONE, SAME (replayed since), ILLEGAL (it has
    not ended) or MISSING, in order. At most 100 in one atomic step.
    """

    name = "forget"
    is_awaited = True

    queue: str
    refs: Sequence[LifeRef]


@attrs.frozen
class ListUnreadable(Operation[Sequence[str]]):
    """The ids of tasks whose records can't be read, at most `limit`, those found first come first.

    No such task runs, waits or expires; its id stays in use.
    """

    name = "unreadable"
    changes = False
    is_awaited = True

    queue: str
    limit: int
