"""Who is next, and that nobody waits who needn't: a claim takes the first due tasks, as many as it may."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from kew.adapters.simulation.oracle import Oracle, Step
from kew.compat import override
from kew.domain.breaker import Breaker, BreakerState, judged, reopens_at
from kew.domain.ordering import order_key
from kew.domain.queue import QueueState, free_leases
from kew.domain.requests import ClaimRequest, Grant, Word
from kew.domain.task import Task


class Order(Oracle):
    """What claims bring, and what they leave."""

    name = "order"

    @override
    def judge(self, step: Step) -> Iterator[str]:
        if step.operation == "peek":
            yield from self._peeked(step)
        if step.request is not None and step.grant is not None:
            yield from self._claimed(step, step.request, step.grant)

    def _claimed(self, step: Step, request: ClaimRequest, grant: Grant) -> Iterator[str]:
        if grant.word is Word.SAME:
            yield from self._repeated(step, request, grant)
        if grant.word is not Word.DONE:
            return
        assert step.after is not None
        assert step.book is not None
        known = step.book.functions.get(request.incarnation, set())
        left = [task for task in step.waiting.values() if task.call.function in known]
        due = [task for task in left if task.ready_at <= step.now]
        yield from self._brought(step, grant, known)
        yield from self._in_order(grant, due)
        if len(grant.tasks) < request.want:
            yield from self._left(step, request, grant, left)

    def _repeated(self, step: Step, request: ClaimRequest, grant: Grant) -> Iterator[str]:
        """The lane's last claim again: its leases that are still live, and no others."""
        prefix = f"{request.lane_key}.{request.sequence}."
        mine = [task for task in step.leased.values() if task.lease.startswith(prefix)]
        live = {task.lease for task in mine if task.lease_until > step.now}
        told = {task.lease for task in grant.tasks}
        assert step.book is not None
        if step.book.lane(request.lane_key) == request.sequence and told != live:
            yield f"a repeated claim brought {sorted(told)}, and holds {sorted(live)}"

    def _brought(self, step: Step, grant: Grant, known: set[str]) -> Iterator[str]:
        if not grant.tasks:
            return
        assert step.before is not None
        assert step.after is not None
        for task in grant.tasks:
            if task.ready_at > step.now:
                yield f"{task.id} was granted {task.ready_at - step.now} ms before it is due"
            if task.call.function not in known:
                yield f"{task.id} was granted to a process that can't run {task.call.function}"
        if step.after.paused:
            yield f"{_ids(grant)} were granted while the queue is paused"
        breaker = judged(step.after.breaker, step.after.settings, step.now)
        if breaker.state is BreakerState.OPEN:
            yield f"{_ids(grant)} were granted while the breaker is open"

    def _in_order(self, grant: Grant, due: list[Task]) -> Iterator[str]:
        keys = [order_key(task) for task in grant.tasks]
        if keys != sorted(keys):
            yield f"{_ids(grant)} were not granted in order"
        if keys:
            passed = [task.id for task in due if order_key(task) < keys[-1]]
            if passed:
                yield f"{_ids(grant)} were granted before {passed}"

    def _left(
        self, step: Step, request: ClaimRequest, grant: Grant, left: list[Task]
    ) -> Iterator[str]:
        """Fewer than wanted: then no more may be due, or no place be free but for others that were hungry; and the wait
        must not be too long.
        """
        assert step.after is not None
        free = _free(step.after, step)
        due = [task.id for task in left if task.ready_at <= step.now]
        if due and free and not _has_its_part(step, request, grant, free):
            yield (
                f"{len(grant.tasks)} of {request.want} granted, with {sorted(due)[:5]} due "
                f"and {free} places free"
            )
        later = [task.ready_at for task in left if task.ready_at > step.now] if free else []
        instants = [*later, *(task.lease_until for task in step.leased.values())]
        state = judged(step.after.breaker, step.after.settings, step.now)
        if state.state is BreakerState.OPEN:
            instants.append(reopens_at(state, step.after.settings))
        if instants:
            yield from _judge_wait(grant.wait_ms, max(0, min(instants) - step.now))

    def _peeked(self, step: Step) -> Iterator[str]:
        if step.book is None:
            return
        queue = step.book.functions
        known = set().union(*queue.values()) if queue else set()
        instants = [task.ready_at for task in step.waiting.values() if task.call.function in known]
        instants += [task.lease_until for task in step.leased.values()]
        may_add = self.facts.peek_may_add_ms
        if may_add is not None:
            instants = self._instants_that_matter(step)
        if instants:
            most = max(0, min(instants) - step.now)
            yield from _judge_wait(step.reply, max(most, may_add(step.queue) if may_add else 0))

    def _instants_that_matter(self, step: Step) -> list[int]:
        """When a lease ends or, as far as one may be granted, a task is due that some process can run."""
        assert step.after is not None
        assert step.book is not None
        instants = [task.lease_until for task in step.leased.values()]
        if not _free(_allowing(step.after, step.now), step):
            return instants
        opens_at = step.now
        if step.after.breaker.state is BreakerState.OPEN:
            opens_at = reopens_at(step.after.breaker, step.after.settings)
        known = set().union(*step.book.functions.values())
        due = [task.ready_at for task in step.waiting.values() if task.call.function in known]
        return [*instants, *(max(instant, opens_at) for instant in due)]


def _judge_wait(told: int | None, most: int) -> Iterator[str]:
    if told is None or told > most:
        yield f"told to wait {told} ms, and something can happen in {most}"


def _free(state: QueueState, step: Step) -> int:
    return free_leases(state, len(step.leased))


def _allowing(state: QueueState, now: int) -> QueueState:
    """The state once its breaker lets probes through, which it may do in time by itself."""
    breaker = judged(state.breaker, state.settings, now)
    if breaker.state is BreakerState.OPEN:
        breaker = Breaker(state=BreakerState.HALF_OPEN)
    return attrs.evolve(state, breaker=breaker)


def _has_its_part(step: Step, request: ClaimRequest, grant: Grant, free: int) -> bool:
    """Others were hungry, and it holds as much as an equal part for each would be, or one of them no more than that."""
    others = [each.holds for who, each in step.hungry_before.items() if who != request.incarnation]
    mine = request.holds + len(grant.tasks)
    equal = (mine + free + sum(others)) // (len(others) + 1)
    return bool(others) and (mine >= equal or min(others) <= equal)


def _ids(grant: Grant) -> list[str]:
    return [task.id for task in grant.tasks]


ORACLE = Order
