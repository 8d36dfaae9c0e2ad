"""Who is next, and that nobody waits who needn't: a claim takes the first due tasks, as many as it may."""

from __future__ import annotations

from collections.abc import Iterator

from kew.adapters.simulation.oracle import Oracle, Step
from kew.compat import override
from kew.domain.breaker import BreakerState, judged, reopens_at
from kew.domain.ordering import order_key
from kew.domain.queue import QueueState, free_leases
from kew.domain.requests import ClaimRequest, Grant
from kew.domain.task import Task


class Order(Oracle):
    """What claims bring, and what they leave."""

    name = "order"

    @override
    def judge(self, step: Step) -> Iterator[str]:
        if step.operation == "peek":
            yield from self._peeked(step)
        if step.request is None or step.grant is None or not step.is_fresh_claim:
            return
        assert step.after is not None
        assert step.book is not None
        known = step.book.functions.get(step.request.incarnation, set())
        left = [task for task in step.waiting.values() if task.call.function in known]
        due = [task for task in left if task.ready_at <= step.now]
        yield from self._brought(step, step.grant, known)
        yield from self._in_order(step.grant, due)
        if len(step.grant.tasks) < step.request.want:
            yield from self._left(step, step.request, step.grant, left)

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
        """Fewer than wanted: then no more may be due, or no place be free; and the wait must not be too long."""
        assert step.after is not None
        free = _free(step.after, step)
        due = [task.id for task in left if task.ready_at <= step.now]
        if due and free:
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
        if instants:
            yield from _judge_wait(step.reply, max(0, min(instants) - step.now))


def _judge_wait(told: int | None, most: int) -> Iterator[str]:
    if told is None or told > most:
        yield f"told to wait {told} ms, and something can happen in {most}"


def _free(state: QueueState, step: Step) -> int:
    return free_leases(state, len(step.leased))


def _ids(grant: Grant) -> list[str]:
    return [task.id for task in grant.tasks]


ORACLE = Order
