"""The memory store: `TaskStore` over a `Namespace` of queues. Each operation runs without a pause, so it is atomic."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final, TypeVar

import attrs

from kew.adapters.memory import processes, queues, runs, schedules, tasks
from kew.adapters.memory.namespace import MemoryQueue, Namespace
from kew.app.notices import TaskEnded, Woken
from kew.app.ports import Clock, Operation, Settled, Submitted, TaskStore
from kew.compat import override
from kew.domain import queue as rules
from kew.domain import waking
from kew.domain.expiring import expire
from kew.domain.queue import EXPIRED_AT_ONCE, Change
from kew.domain.requests import (
    ALONE,
    Along,
    ClaimRequest,
    Grant,
    Group,
    GroupOutcome,
    Settlement,
    SettleOutcome,
    Word,
    holder_of,
)
from kew.domain.waking import UNFINISHED, Offer, concerned

A = TypeVar("A")


class MemoryStore(TaskStore):
    """A store inside the process; what it holds is gone with the process."""

    def __init__(self, clock: Clock, namespace: Namespace | None = None) -> None:
        self._clock = clock
        self.namespace = namespace or Namespace()

    @override
    async def open(self) -> None:
        """Nothing to connect to."""

    @override
    async def close(self) -> None:
        """There is no connection to close."""

    @override
    async def do(self, operation: Operation[A]) -> A:
        answer: A = await HANDLERS[type(operation)](self, operation)
        return answer

    # --- what every task goes through

    @override
    async def submit(
        self, queue: str, groups: Collection[Group], along: Along = ALONE
    ) -> Submitted:
        return self._submit(queue, groups, along)

    @override
    async def claim(self, queue: str, request: ClaimRequest) -> Grant:
        known = self.namespace.queues.get(queue)
        if known is None:
            return Grant(word=Word.NO_QUEUE)
        return self._claim(known, request, self._now())

    @override
    async def settle(
        self, queue: str, settlements: Sequence[Settlement], claim: ClaimRequest | None = None
    ) -> Settled:
        done = self._submit(queue, (), Along(claim=claim, settlements=settlements))
        return Settled(outcomes=done.settled, now_ms=done.now_ms, grant=done.grant)

    def _submit(self, queue: str, groups: Collection[Group], along: Along) -> Submitted:
        now, known = self._now(), self.namespace.queues.get(queue)
        if known is None:
            return Submitted(
                outcomes=[GroupOutcome(Word.NO_QUEUE) for _ in groups],
                now_ms=now,
                grant=Grant(word=Word.NO_QUEUE) if along.claim else None,
                settled=[SettleOutcome(Word.STALE) for _ in along.settlements],
            )
        before, freed, stored, has_work = known.indexed.state, 0, 0, False
        settled, outcomes = [], []
        for settlement in along.settlements:
            change, ended = rules.settle(known.indexed, settlement, now)
            self._apply(known, change, now, sender=holder_of(settlement.lease))
            settled.append(ended)
            freed += len(change.tasks)
        for group in groups:
            change, outcome = rules.submit(known.indexed, group, now)
            self._apply(known, change, now)
            outcomes.append(outcome)
            stored += len(change.tasks)
        grant = self._claim(known, along.claim, now) if along.claim else None
        left = max(freed, stored) - (len(grant.tasks) if grant else 0)
        if along.settlements and waking.is_held_differently(before, known.indexed.state):
            left = known.indexed.waiting()
        if left > 0 and known.idle:
            has_work = self._offer_waiting(
                known, left, claimer=_claimer(along.claim, grant), submitter=along.submitter
            )
        return Submitted(
            outcomes=outcomes, now_ms=now, grant=grant, settled=settled, has_work=has_work
        )

    def _claim(self, known: MemoryQueue, request: ClaimRequest, now: int) -> Grant:
        indexed = known.indexed
        if known.presence.get(request.incarnation, 0) <= now:
            if request.sequence <= indexed.lane(
                request.lane_key
            ):  # a repeat: it asks for nothing new
                return rules.claim(indexed, request, now)[1]
            return Grant(word=Word.NO_WORKER, edition=indexed.state.edition)
        lost = rules.recover(indexed, now)
        self._apply(known, lost, now)
        ended = expire(indexed, now, EXPIRED_AT_ONCE)
        self._apply(known, ended, now)
        if indexed.own_limits:
            indexed.end_limits(now)
        change, grant = rules.claim(indexed, request, now)
        if lost.lost or ended.tasks:
            grant = attrs.evolve(
                grant, lost=tuple(lost.lost), expired=tuple(task.id for task in ended.tasks)
            )
        self._apply(known, change, now)
        if change.next_in_turn and not self._notify_of_work(known, change.next_in_turn):
            indexed.forget_starved(change.next_in_turn)
        if known.idle:
            self._offer(known, waking.invite(indexed, known.idle, request.incarnation, now))
        if len(grant.tasks) < request.want:
            known.idle[request.incarnation] = None
            return grant
        # Notified, it could take nothing, and an idle process would be passed over.
        if not request.has_room:
            known.idle.pop(request.incarnation, None)
        left = len(lost.tasks) - len(grant.tasks)
        if left > 0:
            self._offer_waiting(known, left, claimer=request.incarnation)
        return grant

    # --- inside

    def _now(self) -> int:
        return self.namespace.instant(self._clock.now_ms())

    def _apply(self, known: MemoryQueue, change: Change, now: int, *, sender: str = "") -> None:
        """Write a change, and notify the watchers of ended tasks, except for the process that reported the end."""
        known.indexed.apply(change, now)
        for task in change.tasks:
            if task.watchers or task.status in UNFINISHED:
                for incarnation in concerned(task):
                    if incarnation != sender:
                        self.namespace.hub.notify(incarnation, TaskEnded(task.id))

    def _offer_waiting(
        self, known: MemoryQueue, limit: int, *, claimer: str = "", submitter: str = ""
    ) -> bool:
        """Notify idle processes of up to `limit` tasks that can start, and no claim of this call has taken.

        True: `submitter` is among them, and reads that in its answer.
        """
        now = self.namespace.last_ms
        offer = waking.offer_waiting(known.indexed, known.idle, limit, now, claimer=claimer)
        return self._offer(known, offer, submitter)

    def _offer_all(self, known: MemoryQueue) -> None:
        """Notify idle processes, since whatever waits may be able to start."""
        self._offer(known, waking.offer_all(known.indexed, known.idle, self.namespace.last_ms))

    def _offer(self, known: MemoryQueue, offer: Offer, submitter: str = "") -> bool:
        left, has_work = offer.count, False
        for incarnation in offer.processes:
            if left <= 0:
                break
            del known.idle[incarnation]
            if incarnation == submitter:
                has_work, left = True, left - 1
            else:
                left -= self._notify_of_work(known, incarnation)
        return has_work

    def _notify_of_work(self, known: MemoryQueue, incarnation: str) -> bool:
        return self.namespace.hub.notify(incarnation, Woken(known.indexed.name))


def _claimer(request: ClaimRequest | None, grant: Grant | None) -> str:
    """The process whose claim has seen all that it could take; "": none, or it has room for more."""
    if request is None or grant is None:
        return ""
    has_seen_all = len(grant.tasks) < request.want or not request.has_room
    return request.incarnation if has_seen_all else ""


HANDLERS: Final[Mapping[type[Operation[Any]], Callable[[MemoryStore, Any], Awaitable[Any]]]] = {
    **queues.HANDLERS,
    **processes.HANDLERS,
    **runs.HANDLERS,
    **schedules.HANDLERS,
    **tasks.HANDLERS,
}
"""How the memory store carries each operation out."""
