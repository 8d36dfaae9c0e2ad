"""A claim takes the first due tasks, as many as it may, and no process waits without need."""

from __future__ import annotations

from collections.abc import Iterator

from kew.app.ports import Peek
from kew.compat import override
from kew.domain.breaker import BreakerState, judged
from kew.domain.gates import fold as gates
from kew.domain.gates.gate import Facts
from kew.domain.keys import key_of
from kew.domain.ordering import order_key
from kew.domain.requests import ClaimRequest, Grant, Word
from kew.domain.task import PINNED, Task, can_run, shelf_of
from kew.simulation.oracle import Oracle, Step
from kew.simulation.oracles.keys import is_kept_back


class Order(Oracle):
    """What claims bring, and what they leave."""

    name = "order"

    @override
    def judge(self, step: Step) -> Iterator[str]:
        if isinstance(step.operation, Peek):
            yield from self._peeked(step)
        if step.request is not None and step.grant is not None:
            yield from self._claimed(step, step.request, step.grant)

    def _claimed(self, step: Step, request: ClaimRequest, grant: Grant) -> Iterator[str]:
        if grant.word is Word.SAME:
            yield from self._repeated(step, request, grant)
        if grant.word is not Word.DONE:
            return
        assert step.after is not None
        assert step.indexed is not None
        known = step.indexed.functions.get(request.incarnation, set())
        left = [
            task
            for task in step.waiting.values()
            if can_run(request.incarnation, known, task.call.function)
            and not is_kept_back(step, task)
        ]
        due = [task for task in left if task.ready_at <= step.now]
        yield from self._brought(step, request, grant, known)
        yield from self._in_order(grant, due)
        if len(grant.tasks) < request.want:
            yield from self._left(step, request, grant, left)

    def _repeated(self, step: Step, request: ClaimRequest, grant: Grant) -> Iterator[str]:
        """The lane's last claim again: its leases that are still live, and no others."""
        prefix = f"{request.lane_key}.{request.sequence}."
        mine = [task for task in step.leased.values() if task.lease.startswith(prefix)]
        live = {task.lease for task in mine if task.lease_until > step.now}
        told = {task.lease for task in grant.tasks}
        assert step.indexed is not None
        if step.indexed.lane(request.lane_key) == request.sequence and told != live:
            yield f"a repeated claim brought {sorted(told)}, but its live leases are {sorted(live)}"

    def _brought(
        self, step: Step, request: ClaimRequest, grant: Grant, known: set[str]
    ) -> Iterator[str]:
        if not grant.tasks:
            return
        assert step.before is not None
        assert step.after is not None
        for task in grant.tasks:
            if task.ready_at > step.now:
                yield f"{task.id} was granted {task.ready_at - step.now} ms before it is due"
            if not can_run(request.incarnation, known, task.call.function):
                yield f"{task.id} was granted to a process that can't run {task.call.function}"
        if step.after.paused:
            yield f"{_ids(grant)} were granted while the queue is paused"
        breaker = judged(step.after.breaker, step.after.settings, step.now)
        if breaker.state is BreakerState.OPEN:
            yield f"{_ids(grant)} were granted while the breaker is open"

    def _in_order(self, grant: Grant, due: list[Task]) -> Iterator[str]:
        """Tasks of one key are in order; the oracle of keys judges the turns."""
        for key in {key_of(task.call) for task in grant.tasks}:
            order = [order_key(task) for task in grant.tasks if key_of(task.call) == key]
            if order != sorted(order):
                yield f"{_ids(grant)} were not granted in order"
            passed = [
                task.id for task in due if key_of(task.call) == key and order_key(task) < order[-1]
            ]
            if passed:
                yield f"{_ids(grant)} were granted before {passed}"
        lowest = max((task.call.priority for task in grant.tasks), default=0)
        higher = [task.id for task in due if task.call.priority < lowest]
        if higher:
            yield f"{_ids(grant)} were granted before {higher} of a higher priority"

    def _left(
        self, step: Step, request: ClaimRequest, grant: Grant, left: list[Task]
    ) -> Iterator[str]:
        """If a claim brought fewer tasks than wanted, no more may be due, or no place free but for starved ones.

        The wait until the next claim must not be too long.
        """
        assert step.after is not None
        possible = [_facts(step, cost) for cost in _next_costs(step, request, left)]
        free = min(gates.room(facts) for facts in possible)
        due = [task.id for task in left if task.ready_at <= step.now]
        if due and free and not _has_its_part(step, request, grant, free):
            yield (
                f"{len(grant.tasks)} of {request.want} granted, with {sorted(due)[:5]} due "
                f"and {free} places free"
            )
        later = [task.ready_at for task in left if task.ready_at > step.now] if free else []
        ends = [_first_instant(facts, later) for facts in possible]
        known = [instant for instant in ends if instant is not None]
        if len(known) == len(ends):
            yield from _judge_wait(grant.wait_ms, max(0, max(known) - step.now))

    def _peeked(self, step: Step) -> Iterator[str]:
        if step.indexed is None:
            return
        may_add = self.facts.peek_may_add_ms
        instants = _instants_that_matter(step)
        if instants:
            most = max(0, min(instants) - step.now)
            yield from _judge_wait(
                step.reply.wait_ms, max(most, may_add(step.queue) if may_add else 0)
            )


def _next_costs(step: Step, request: ClaimRequest, left: list[Task]) -> set[int]:
    """What the next task may cost that this process starts: the first one that is due, of whatever key's turn it is.

    A claim that is left no place doesn't look at tasks, and waits as for one of cost 1.
    """
    due = sorted((task for task in left if task.ready_at <= step.now), key=order_key)
    highest = [task for task in due if task.call.priority == due[0].call.priority]
    firsts = {key_of(task.call): task for task in reversed(highest)}
    has_rivals = any(who != request.incarnation for who in step.starved_before)
    has_not_looked = has_rivals or not due or not gates.room(_facts(step))
    return {task.call.cost for task in firsts.values()} | ({1} if has_not_looked else set())


def _first_instant(facts: Facts, later: list[int]) -> int | None:
    """When a gate opens or a task is due; None: unknown."""
    opens_at = gates.opens_at(facts)
    return min(later if opens_at is None else [*later, opens_at], default=None)


def _instants_that_matter(step: Step) -> list[int]:
    """When a lease ends or, as far as one may be granted, a task is due that some process can run."""
    instants = [task.lease_until for task in step.leased.values()]
    opens_at = gates.opening(_facts(step))
    if opens_at is None:
        return instants
    return [*instants, *(max(task.ready_at, opens_at) for task in _runnable(step))]


def _runnable(step: Step) -> list[Task]:
    """The waiting tasks that some process can run that announced itself."""
    assert step.indexed is not None
    known = step.indexed.functions
    shelves = set[str]().union(*known.values(), (PINNED + who for who in known))
    return [
        task
        for task in step.waiting.values()
        if shelf_of(task.call.function) in shelves and not is_kept_back(step, task)
    ]


def _judge_wait(told: int | None, most: int) -> Iterator[str]:
    if told is None or told > most:
        yield f"the answer says to wait {told} ms, but a task may need a worker in {most} ms"


def _facts(step: Step, cost: int = 1) -> Facts:
    assert step.after is not None
    ends = (task.lease_until for task in step.leased.values())
    state = gates.judged(step.after, step.now)
    return Facts(
        state=state,
        now=step.now,
        held=len(step.leased),
        lease_end=min(ends, default=None),
        cost=cost,
    )


def _has_its_part(step: Step, request: ClaimRequest, grant: Grant, free: int) -> bool:
    """Others are starved, and it holds at least an equal part, or one of them at most that."""
    others = [each.holds for who, each in step.starved_before.items() if who != request.incarnation]
    mine = request.holds + len(grant.tasks)
    equal = (mine + free + sum(others)) // (len(others) + 1)
    return bool(others) and (mine >= equal or min(others) <= equal)


def _ids(grant: Grant) -> list[str]:
    return [task.id for task in grant.tasks]


ORACLE = Order
