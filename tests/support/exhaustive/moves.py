"""What can happen next, and its doing: every operation of the pure queue, each sent twice, and out of time too."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from kew.domain import commands, extending, task_commands
from kew.domain import queue as rules
from kew.domain.events import (
    CancelRequested,
    Claimed,
    Event,
    Failed,
    Lost,
    NotStarted,
    Released,
    Replayed,
    SettleEvent,
    Snoozed,
    Succeeded,
)
from kew.domain.holding import Hold
from kew.domain.lifecycle import Row
from kew.domain.outcomes import outcome_word
from kew.domain.queue import NOTHING, Change
from kew.domain.requests import ClaimRequest, Group, LeaseRef, Settlement, SubmitRef, Word
from kew.domain.snapshot import Snapshot
from kew.domain.task import Task, TaskStatus, is_absent
from tests.support.exhaustive.bounds import RETRY_MS, SNOOZE_MS, Bound
from tests.support.exhaustive.canonical import owner_of
from tests.support.exhaustive.oracles import (
    check,
    check_breaker,
    check_grant,
    insist,
    status_after,
)

Move = tuple[str, ...]

OUTCOMES: dict[str, SettleEvent] = {
    "succeed": Succeeded(b""),
    "retry": Failed(error="", retry_after_ms=RETRY_MS),
    "fail": Failed(error="", retry_after_ms=None),
    "answer": Failed(error="", retry_after_ms=None, counts=False),
    "ask for a retry": Failed(error="", retry_after_ms=RETRY_MS, counts=False),
    "snooze": Snoozed(error="", after_ms=RETRY_MS),
    "snooze the queue": Snoozed(error="", after_ms=SNOOZE_MS, scope="queue"),
    "release": Released(started=True),
    "release unstarted": Released(started=False),
    "not started": NotStarted(""),
}
SNOOZES = ("snooze", "snooze the queue")


@attrs.define
class World:
    """A queue at an instant, and the moves that are possible there."""

    bound: Bound
    queue: Snapshot
    now: int
    taken: set[Row] = attrs.field(factory=set)

    # --- which

    def moves(self) -> Iterator[Move]:
        """All that can happen now."""
        may, tasks = self.bound.may, self.queue.tasks.values()
        yield ("pass",)
        if self.queue.overdue(self.now, 1):
            yield ("recover",)
        for who in "ab":
            yield from (("claim", who, str(want)) for want in self.bound.wants)
            if "crash" in may and any(
                owner_of(self.queue, task.lease) == who for task in tasks if task.lease
            ):
                yield ("crash", who)
        for task in tasks:
            yield from self._moves_of(task)
        if "submit" in may:
            yield from (("submit", call.id) for call in self.bound.tasks if self._is_new(call.id))
        yield from ((name,) for name in ("pause", "reset", "configure") if name in may)

    def _moves_of(self, task: Task) -> Iterator[Move]:
        may = self.bound.may
        if task.lease:
            yield ("settle", task.id, "succeed")
            yield ("settle", task.id, "fail")
            if task.failures < self.bound.retries and not task.call.at_most_once:
                yield ("settle", task.id, "retry")
                if "ask for a retry" in may:
                    yield ("settle", task.id, "ask for a retry")
            if "answer" in may:
                yield ("settle", task.id, "answer")
            yield from (("settle", task.id, one) for one in SNOOZES if one in may)
            if "release" in may:
                yield ("settle", task.id, "release")
                yield ("settle", task.id, "not started")
                if task.call.at_most_once:
                    yield ("settle", task.id, "release unstarted")
            if "extend" in may:
                yield ("extend", task.id)
        if "cancel" in may and not task.is_terminal and not task.cancel_requested:
            yield ("cancel", task.id)
        is_here = not is_absent(task, self.now)
        if "replay" in may and is_here and task.status in (TaskStatus.FAILED, TaskStatus.CANCELLED):
            yield ("replay", task.id)

    def _is_new(self, task_id: str) -> bool:
        known = self.queue.find(task_id)
        return known is None or is_absent(known, self.now)

    # --- doing

    def do(self, move: Move) -> World:
        """The world after a move; raises `Violation` where it breaks a promise."""
        name, *arguments = move
        done: Snapshot = getattr(self, f"_{name}")(*arguments)
        return World(self.bound, done, self.now + (name == "pass"), self.taken)

    def _apply(self, change: Change, **events: Event) -> Snapshot:
        return check(self.queue, change, events, self.taken)

    def _pass(self) -> Snapshot:
        return self.queue

    def _recover(self, limit: int = 1) -> Snapshot:
        """One at a time here, so that a bounded recovery's halves are seen; a claim brings them all back."""
        change = rules.recover(self.queue, self.now, limit)
        ended = [task.id for task in self.queue.overdue(self.now, limit)]
        insist([task.id for task in change.tasks] == ended, "recovery takes what has ended", ended)
        return self._apply(change, **{task_id: Lost() for task_id in ended})

    def _claim(self, who: str, want: str) -> Snapshot:
        recovered = World(self.bound, self._recover(limit=9), self.now, self.taken)
        again = rules.recover(recovered.queue, self.now)
        insist(again is NOTHING, "recovering twice is recovering once")
        return recovered._granted(who, int(want))

    def _granted(self, who: str, want: int) -> Snapshot:
        request = ClaimRequest(
            incarnation=who,
            lane=0,
            sequence=self.queue.lane(f"{who}.0") + 1,
            want=want,
            lease_ms=self.bound.lease_ms,
        )
        change, grant = rules.claim(self.queue, request, self.now)
        claimed: dict[str, Event] = {
            task.id: Claimed(lease=task.lease, lease_ms=1, token=task.token, epoch=task.epoch)
            for task in grant.tasks
        }
        after = self._apply(change, **claimed)
        check_grant(self.queue, after, request, grant, self.now)
        self._check_repeats(after, request, grant.tasks)
        return after

    def _check_repeats(
        self, after: Snapshot, request: ClaimRequest, granted: tuple[Task, ...]
    ) -> None:
        again = rules.claim(after, request, self.now)
        insist(again[0] is NOTHING, "a repeated claim grants nothing new", again)
        insist(again[1].tasks == granted, "a repeated claim gets its own leases", again[1].tasks)
        if request.sequence > 1:
            late = attrs.evolve(request, sequence=request.sequence - 1)
            change, grant = rules.claim(after, late, self.now)
            insist(change is NOTHING and not grant.tasks, "a claim that comes late gets nothing")

    def _crash(self, who: str) -> Snapshot:
        """The process forgets all, and its leases have no master; the next of that name is another incarnation."""
        gone = [task for task in self.queue.tasks.values() if task.lease.startswith(f"{who}.")]
        orphans = {task.id: task.moved(lease=f"z.0.1.{task.token}") for task in gone}
        lanes = {key: last for key, last in self.queue.lanes.items() if key != f"{who}.0"}
        return attrs.evolve(self.queue, tasks={**self.queue.tasks, **orphans}, lanes=lanes)

    def _settle(self, task_id: str, outcome: str) -> Snapshot:
        """By whoever holds it, or held it when its process died: the message was on its way."""
        task, event = self.queue.tasks[task_id], OUTCOMES[outcome]
        settlement = Settlement(task_id=task_id, lease=task.lease, event=event)
        change, answer = rules.settle(self.queue, settlement, self.now)
        after = self._apply(change, **{task_id: event})
        check_breaker(self.queue, task, after, self.now)
        status = after.tasks[task_id].status
        insist(
            status is status_after(task, event, self.queue.state.settings),
            "a settle takes a task to its place",
            status,
        )
        insist((answer.word, answer.status) == (Word.DONE, status), "a settle is told", answer)
        again = rules.settle(after, settlement, self.now)
        insist(again[0] is NOTHING, "settling twice is settling once")
        insist((again[1].word, again[1].status) == (Word.SAME, status), "its answer again", again)
        return after

    def _extend(self, task_id: str) -> Snapshot:
        task = self.queue.tasks[task_id]
        ref = LeaseRef(task_id, task.lease)
        change, word = extending.extend(self.queue, ref, self.bound.lease_ms, self.now)
        if task.lease_until <= self.now:
            insist(change is NOTHING and word is Word.STALE, "an ended lease is not revived", word)
            return self.queue
        insist(word is (Word.CANCEL if task.cancel_requested else Word.DONE), "extend's word", word)
        (extended,) = change.tasks
        until = self.now + self.bound.lease_ms
        insist(extended == task.moved(lease_until=until), "extend prolongs and nothing else")
        return check(self.queue, Change(), {}, self.taken).after(change)

    def _cancel(self, task_id: str) -> Snapshot:
        task = self.queue.tasks[task_id]
        change, word = task_commands.cancel(self.queue, task_id, None, self.now)
        after = self._apply(change, **{task_id: CancelRequested()})
        told = after.tasks[task_id]
        if task.lease:
            insist(told == task.moved(cancel_requested=True), "a running task is told to stop")
        else:
            insist(told.status is TaskStatus.CANCELLED, "a waiting task is cancelled", told.status)
        insist(word is (Word.CANCEL if task.lease else Word.DONE), "cancel's word", word)
        again = after.after(task_commands.cancel(after, task_id, None, self.now)[0])
        insist(again == after, "cancelling twice is cancelling once")
        return after

    def _replay(self, task_id: str) -> Snapshot:
        seen = self.queue.tasks[task_id].life
        change, word = task_commands.replay(self.queue, task_id, seen, self.now)
        after = self._apply(change, **{task_id: Replayed()})
        told = after.tasks[task_id]
        insist(word is Word.DONE and told.status is TaskStatus.QUEUED, "a replay puts it back")
        insist((told.failures, told.losses) == (0, 0), "a replay forgets failures and losses")
        again, word = task_commands.replay(after, task_id, seen, self.now)
        insist(again is NOTHING and word is Word.SAME, "replaying twice is replaying once")
        again, word = task_commands.cancel(after, task_id, seen, self.now)
        insist(again is NOTHING and word is Word.ENDED, "a late cancel leaves what was put back")
        return after

    def _submit(self, task_id: str) -> Snapshot:
        (call,) = (call for call in self.bound.tasks if call.id == task_id)
        early = Group(submissions=(call,), after=SubmitRef(call.id, call.nonce))
        change, outcome = rules.submit(self.queue, early, self.now)
        insist(change is NOTHING and outcome.word is Word.EARLY, "what comes after it waits for it")
        group = Group(submissions=(call,))
        change, outcome = rules.submit(self.queue, group, self.now)
        if self.queue.waiting() >= self.queue.state.settings.max_size:
            insist(change is NOTHING and outcome.word is Word.FULL, "full is an answer", outcome)
            return self.queue
        insist(outcome.word is Word.DONE, "what has room is accepted", outcome)
        after = self._apply(change)
        insist(task_id in after.tasks, "accepted is kept")
        again, outcome = rules.submit(after, group, self.now)
        insist(again is NOTHING and outcome.word is Word.SAME, "submitting twice is once", outcome)
        stranger = Group(submissions=(attrs.evolve(call, nonce="m"),))
        change, outcome = rules.submit(after, stranger, self.now)
        insist(change is NOTHING and outcome.word is Word.DUPLICATE, "an id is used once", outcome)
        return after

    def _pause(self) -> Snapshot:
        if self.queue.state.paused:
            return self._apply(commands.resume(self.queue, "resumed"))
        return self._apply(commands.pause(self.queue, Hold(self.now)))

    def _reset(self) -> Snapshot:
        return self._apply(commands.reset_breaker(self.queue, self.now))

    def _configure(self) -> Snapshot:
        """The breaker is turned off, or on again."""
        settings, declared = self.queue.state.settings, self.bound.settings
        off = attrs.evolve(declared, breaker_failures=0)
        return self._apply(
            commands.configure(self.queue, declared if settings == off else off, "changed")
        )

    # --- what must change nothing

    def check_strays(self) -> None:
        """Messages under leases that are not this task's, late and repeated: each is refused, none changes anything."""
        leases = [task.lease for task in self.queue.tasks.values() if task.lease]
        for task in self.queue.tasks.values():
            for lease in ("x.0.1.1", *leases):
                if lease != task.lease:
                    self._check_stray(task, lease)

    def _check_stray(self, task: Task, lease: str) -> None:
        told = extending.extend(self.queue, LeaseRef(task.id, lease), self.bound.lease_ms, self.now)
        insist(told == (NOTHING, Word.STALE), "a lease is extended by its holder alone", told)
        for event in OUTCOMES.values():
            settlement = Settlement(task_id=task.id, lease=lease, event=event)
            change, outcome = rules.settle(self.queue, settlement, self.now)
            remembered = task.settled == f"{lease}:{outcome_word(settlement.event)}"
            expected = Word.SAME if remembered and not is_absent(task, self.now) else Word.STALE
            insist(change is NOTHING, "a task is settled by its holder alone", task.id, lease)
            insist(outcome.word is expected, "a stray settle is told so", outcome)
