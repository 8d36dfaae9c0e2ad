"""Laws of the pure queue that hold of every sequence of operations, each of them sent twice."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st

from kew.domain import queue as rules
from kew.domain import task_commands
from kew.domain.breaker import Breaker, BreakerState
from kew.domain.config import Settings
from kew.domain.events import Failed, Released, SettleEvent, Succeeded
from kew.domain.invariants import between, violations
from kew.domain.queue import NOTHING
from kew.domain.requests import GroupOutcome, Settlement, SettleOutcome, Word
from tests.support.tasks import NOW, call, group, queue, request, settlement

OPEN = Breaker(state=BreakerState.OPEN, opened_at=NOW, epoch=1)
AGAIN, FINAL = Failed(error="E", retry_after_ms=40), Failed(error="E", retry_after_ms=None)
SUCCESS = Succeeded(b"r")


SMALL = Settings(
    max_workers=2, max_size=4, breaker_failures=2, breaker_reset_ms=30, max_deliveries=1
)
workers = st.sampled_from("ab")
numbers = st.integers(0, 5)
operations = st.one_of(
    st.tuples(st.just("submit"), numbers, st.sampled_from([0, 25])),
    st.tuples(st.just("claim"), workers, st.integers(1, 3)),
    st.tuples(
        st.just("settle"), numbers, st.sampled_from([SUCCESS, AGAIN, FINAL, Released(started=True)])
    ),
    st.tuples(st.just("cancel"), numbers, st.none()),
    st.tuples(st.just("replay"), numbers, st.none()),
    st.tuples(st.just("pass"), st.integers(1, 60), st.none()),
)


class Run:
    """Applies operations one by one, each sent twice, and checks every look."""

    def __init__(self) -> None:
        self.queue = queue(settings=SMALL)
        self.now = NOW
        self.leases: list[Settlement] = []

    def apply(self, change: rules.Change) -> None:
        after = self.queue.after(change)
        assert violations(after) == []
        assert between(self.queue, after) == []
        self.queue = after

    def submit(self, number: int, delay: int) -> None:
        wanted = group(call(f"t{number}", delay_ms=delay, priority=1 + number % 3))
        change, outcome = rules.submit(self.queue, wanted, self.now)
        self.apply(change)
        assert (outcome.word is Word.DONE) == bool(change.tasks)
        if outcome.word is Word.DONE:
            assert rules.submit(self.queue, wanted, self.now) == (NOTHING, GroupOutcome(Word.SAME))

    def claim(self, worker: str, want: int) -> None:
        self.apply(rules.recover(self.queue, self.now))
        assert rules.recover(self.queue, self.now) is NOTHING
        wanted = request(worker, self.queue.lane(f"{worker}.0") + 1, want, lease_ms=40)
        change, grant = rules.claim(self.queue, wanted, self.now)
        self.apply(change)
        again = rules.claim(self.queue, wanted, self.now)
        assert (again[0], again[1].tasks) == (NOTHING, grant.tasks)
        self.leases += [
            settlement(Released(started=True), one.id, one.lease) for one in grant.tasks
        ]

    def settle(self, number: int, event: SettleEvent) -> None:
        if not self.leases:
            return
        one = attrs.evolve(self.leases[number % len(self.leases)], event=event)
        current = self.queue.tasks[one.task_id].lease == one.lease
        change, outcome = rules.settle(self.queue, one, self.now)
        assert (outcome.word is Word.DONE) == current == bool(change.tasks)
        self.apply(change)
        if current:
            again = rules.settle(self.queue, one, self.now)
            assert again == (NOTHING, SettleOutcome(Word.SAME, outcome.status))

    def cancel(self, number: int, _: None) -> None:
        self.apply(task_commands.cancel(self.queue, f"t{number}", None, self.now)[0])

    def replay(self, number: int, _: None) -> None:
        self.apply(task_commands.replay(self.queue, f"t{number}", None, self.now)[0])


@given(st.lists(operations, max_size=40))
def test_no_sequence_of_operations_breaks_a_promise(
    sequence: list[tuple[str, object, object]],
) -> None:
    run = Run()
    for name, first, second in sequence:
        if name == "pass":
            run.now += first  # type: ignore[operator]
        else:
            getattr(run, name)(first, second)
