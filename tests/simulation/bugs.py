"""Planted bugs: small patches over kew, each of which an oracle of the right kind must find.

A bug is a name, the oracles that may find it, and its patches. Run it as a module to see which seed finds what:

    python -m tests.simulation.bugs [NAME ...]
"""

import asyncio
import contextlib
import dataclasses
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from kew.adapters.memory.book import Book
from kew.adapters.memory.store import MemoryStore
from kew.adapters.simulation.oracles import oracle_classes
from kew.adapters.simulation.plan import draw_plan
from kew.adapters.simulation.processes import current_process
from kew.adapters.simulation.simulation import Outcome, simulate
from kew.app import caller
from kew.app.executor import Executor, Raised
from kew.app.keeper import Keeper
from kew.app.runs import Run, Stop
from kew.app.worker import Worker
from kew.domain import breaker as breakers
from kew.domain import lifecycle
from kew.domain import queue as rules
from kew.domain.breaker import BreakerState
from kew.domain.config import Settings
from kew.domain.events import Claimed, Failed, Succeeded
from kew.domain.queue import NOTHING, Change
from kew.domain.requests import ClaimRequest, Grant, Group, GroupOutcome, SettleOutcome, Word
from kew.domain.task import Task, TaskStatus

Wrap = Callable[[Any], Any]
SEEDS = 200
oracle_classes()  # now, not at the first run: a judge must not take a planted bug's function for the genuine one


@dataclasses.dataclass(frozen=True)
class Bug:
    """`wrap` gets what stands at `owner.name` and gives what is to stand there."""

    name: str
    oracles: frozenset[str]
    owner: Any
    attribute: str
    wrap: Wrap

    @contextlib.contextmanager
    def planted(self) -> Iterator[None]:
        """Kew with the bug in it."""
        with patched(self.owner, self.attribute, self.wrap):
            yield


@contextlib.contextmanager
def patched(owner: Any, attribute: str, wrap: Wrap) -> Iterator[None]:
    original = owner.__dict__[attribute]
    setattr(owner, attribute, wrap(original))
    try:
        yield
    finally:
        setattr(owner, attribute, original)


BUGS: dict[str, Bug] = {}


def bug(owner: Any, attribute: str, *oracles: str) -> Callable[[Wrap], Wrap]:
    """Plant the decorated function around `owner.attribute`; its name is the bug's."""

    def add(wrap: Wrap) -> Wrap:
        name = wrap.__name__
        BUGS[name] = Bug(name, frozenset(oracles), owner, attribute, wrap)
        return wrap

    return add


# --- claims and leases


@bug(MemoryStore, "_claim", "soundness", "keeping", "indexes")
def pop_without_a_lease(original: Any) -> Any:
    """What is granted leaves the store."""

    def claim(self, known, request, now):
        grant = original(self, known, request, now)
        if grant.word is Word.DONE:
            for task in grant.tasks:
                known.book._unindex(task)
                del self.namespace.records[task.id]
        return grant

    return claim


@bug(lifecycle, "_claimed", "leases")
def leases_never_end(original: Any) -> Any:
    def claimed(task: Task, event: Claimed, now: int) -> Any:
        return original(task, event, now).moved(lease_until=now + 1000 * event.lease_ms)

    return claimed


@bug(rules, "claim", "leases", "runs", "soundness")
def repeated_claims_grant_again(original: Any) -> Any:
    def claim(view, request, now):
        fresh = max(0, min(view.lane(request.lane_key), request.sequence - 1))
        with patched(Book, "lane", lambda _: lambda _self, _key: fresh):
            return original(view, request, now)

    return claim


@bug(rules, "_granted_before", "order")
def repeated_claims_get_nothing(original: Any) -> Any:
    return lambda view, _request, _now, _last: Grant(word=Word.SAME, version=view.state.version)


@bug(ClaimRequest, "lease", "leases", "soundness")
def a_counter_is_the_leases_identity(original: Any) -> Any:
    return lambda self, index: f"{self.incarnation}.{index}"


@bug(rules, "free_leases", "soundness")
def no_limit_over_all_processes(original: Any) -> Any:
    return lambda state, _held: original(state, 0)


@bug(rules, "part_of", "sharing")
def whoever_settles_keeps_the_limit(original: Any) -> Any:
    return lambda free, *_: (free, None)


@bug(rules, "part_of", "order")
def more_than_a_part_is_left(original: Any) -> Any:
    def part_of(free, hungry, incarnation, holds, now):
        part, rival = original(free, hungry, incarnation, holds, now)
        return part // 2, rival or next((who for who in hungry if who != incarnation), None)

    return part_of


@bug(rules, "Hungry", "sharing")
def the_hungry_are_forgotten(original: Any) -> Any:
    return lambda *_: None


@bug(Book, "held", "soundness", "indexes")
def retries_are_beyond_the_limit(original: Any) -> Any:
    """Tasks that failed before don't count."""
    return lambda self: sum(not task.failures for task in self.leased())


@bug(Book, "ready", "order")
def a_deferred_head_blocks(original: Any) -> Any:
    """The first by priority and ticket decides whether anything is due."""

    def ready(self, incarnation, now, limit):
        waiting = [task for task in self._records.values() if task.is_waiting]
        mine = [task for task in waiting if task.queue == self.name]
        head = min(mine, key=lambda task: (task.call.priority, task.ticket), default=None)
        return [] if head and head.ready_at > now else original(self, incarnation, now, limit)

    return ready


@bug(Book, "ready", "order")
def priorities_are_ignored(original: Any) -> Any:
    def ready(self, incarnation, now, limit):
        due = original(self, incarnation, now, 1000)
        return sorted(due, key=lambda task: task.ticket)[:limit]

    return ready


@bug(Book, "ready", "order")
def closures_are_given_to_anybody(original: Any) -> Any:
    def ready(self, incarnation, now, limit):
        everybody = set().union(*self.functions.values())
        with _knowing(self, incarnation, everybody):
            return original(self, incarnation, now, limit)

    return ready


@contextlib.contextmanager
def _knowing(book: Book, incarnation: str, names: set[str]) -> Iterator[None]:
    before = book.functions.get(incarnation, set())
    book.functions[incarnation] = names
    try:
        yield
    finally:
        book.functions[incarnation] = before


@bug(rules, "free_leases", "order")
def paused_queues_grant(original: Any) -> Any:
    return lambda state, held: original(attrs.evolve(state, paused=False), held)


@bug(rules, "_wait_ms", "order")
def workers_wait_too_long(original: Any) -> Any:
    """Told of their own leases alone, not of what is due."""

    def wait(view, state, request, taken, now):
        return request.lease_ms if taken else None

    return wait


@bug(MemoryStore, "_tell", "promptness", "liveness")
def nobody_is_woken(original: Any) -> Any:
    return lambda _self, _known, _work: None


@bug(lifecycle, "_claimed", "leases", "soundness", "bounds")
def attempts_are_counted_at_failure(original: Any) -> Any:
    def claimed(task: Task, event: Claimed, now: int) -> Any:
        return original(task, event, now).moved(attempt=task.attempt + task.failures)

    return claimed


# --- extending and losing


@bug(rules, "extend", "leases")
def a_heartbeat_revives_a_dead_lease(original: Any) -> Any:
    def extend(view, ref, lease_ms, now):
        task = view.find(ref.task_id)
        ended = task is not None and task.lease == ref.lease and task.lease_until <= now
        return original(view, ref, lease_ms, task.lease_until - 1 if ended else now)

    return extend


@bug(rules, "extend", "leases", "calm")
def heartbeats_do_nothing(original: Any) -> Any:
    def extend(view, ref, lease_ms, now):
        _, word = original(view, ref, lease_ms, now)
        return NOTHING, word

    return extend


@bug(lifecycle, "_lost", "bounds")
def what_is_lost_is_failed(original: Any) -> Any:
    def lost(task: Task, now: int, settings: Settings) -> Any:
        return lifecycle._ended(task, TaskStatus.FAILED, now, settings)

    return lost


@bug(lifecycle, "_lost", "bounds")
def losses_are_not_counted(original: Any) -> Any:
    def lost(task: Task, now: int, settings: Settings) -> Any:
        after = original(task, now, settings)
        return after.moved(losses=task.losses)

    return lost


@bug(lifecycle, "_lost", "bounds", "once", "soundness")
def at_most_once_runs_again(original: Any) -> Any:
    def lost(task: Task, now: int, settings: Settings) -> Any:
        call = task.call
        plain = task.moved(call=attrs.evolve(call, at_most_once=False))
        return original(plain, now, settings).moved(call=call)

    return lost


@bug(lifecycle, "_lost", "bounds")
def what_is_lost_goes_to_the_end(original: Any) -> Any:
    def lost(task: Task, now: int, settings: Settings) -> Any:
        after = original(task, now, settings)
        return after.moved(ready_at=now) if after.is_waiting else after

    return lost


@bug(Run, "ask_to_stop", "fencing")
def a_worker_does_not_fence_itself(original: Any) -> Any:
    def ask_to_stop(self: Run, reason: Stop) -> None:
        if reason in (Stop.FENCED, Stop.LOST):
            self.stop = self.stop or reason
        else:
            original(self, reason)

    return ask_to_stop


@bug(Worker, "_outcome_of", "runs", "once")
def runs_begin_after_a_stall(original: Any) -> Any:
    async def outcome_of(self, run):
        fence_at, run.fence_at = run.fence_at, float("inf")
        asyncio.get_running_loop().call_soon(setattr, run, "fence_at", fence_at)
        return await original(self, run)

    return outcome_of


@bug(Keeper, "watch", "fencing")
def time_limits_of_new_runs_are_forgotten(original: Any) -> Any:
    def watch(self, runs):
        for run in runs:
            run.fence_at = float("inf")

    return watch


@bug(Worker, "load", "slots", "runs")
def slots_are_not_counted(original: Any) -> Any:
    return lambda self: 0


# --- settling


@bug(rules, "settle", "leases", "outcomes")
def settling_is_not_fenced(original: Any) -> Any:
    def settle(view, settlement, now):
        task = view.find(settlement.task_id)
        lease = task.lease if task is not None and task.lease else settlement.lease
        return original(view, attrs.evolve(settlement, lease=lease), now)

    return settle


@bug(rules, "settle", "outcomes")
def a_repeated_settle_is_stale(original: Any) -> Any:
    def settle(view, settlement, now):
        change, outcome = original(view, settlement, now)
        return change, SettleOutcome(Word.STALE) if outcome.word is Word.SAME else outcome

    return settle


@bug(lifecycle, "_claimed", "outcomes")
def a_claim_forgets_the_last_outcome(original: Any) -> Any:
    def claimed(task: Task, event: Claimed, now: int) -> Any:
        return original(task, event, now).moved(settled="")

    return claimed


@bug(lifecycle, "_failed", "outcomes", "soundness")
def a_cancelled_task_is_retried(original: Any) -> Any:
    def failed(task: Task, event: Failed, now: int, settings: Settings):
        return original(task.moved(cancel_requested=False), event, now, settings)

    return failed


@bug(lifecycle, "_failed", "outcomes")
def retries_run_at_once(original: Any) -> Any:
    def failed(task: Task, event: Failed, now: int, settings: Settings):
        at_once = 0 if event.retry_after_ms else event.retry_after_ms
        return original(task, attrs.evolve(event, retry_after_ms=at_once), now, settings)

    return failed


@bug(Executor, "event_of", "outcomes")
def shutdown_reports_success(original: Any) -> Any:
    """What it stopped counts as done."""

    def event_of(self, run, outcome):
        if run.stop is Stop.SHUTDOWN and isinstance(outcome, Raised):
            return Succeeded(b"")
        return original(self, run, outcome)

    return event_of


@bug(Executor, "_policy", "outcomes")
def one_retry_too_few(original: Any) -> Any:
    def policy(self, task):
        wanted = original(self, task)
        return attrs.evolve(wanted, max_retries=max(0, wanted.max_retries - 1))

    return policy


@bug(Executor, "_policy", "bounds", "outcomes")
def retried_for_ever(original: Any) -> Any:
    return lambda self, task: attrs.evolve(original(self, task), max_retries=1000)


@bug(lifecycle, "_ended", "expiry", "keeping")
def records_expire_from_their_submission(original: Any) -> Any:
    def ended(task: Task, status: TaskStatus, now: int, *rest: Any, **changes: Any) -> Any:
        after = original(task, status, now, *rest, **changes)
        return after.moved(expires_at=after.expires_at - now + task.queued_at)

    return ended


# --- submitting


@bug(caller, "_due", "keeping")
def delays_are_by_the_clients_clock(original: Any) -> Any:
    def due(call):
        instant, delay_ms = original(call)
        process = current_process()
        if instant is None and delay_ms and process is not None:
            return round(process.wall_time() * 1000) + delay_ms, 0
        return instant, delay_ms

    return due


@bug(rules, "submit", "soundness", "keeping", "answers", "indexes")
def a_submit_overwrites(original: Any) -> Any:
    def submit(view, group, now):
        with patched(Book, "find", lambda _: lambda _self, _id: None):
            return original(view, group, now)

    return submit


@bug(rules, "submit", "answers")
def a_repeated_submit_is_a_duplicate(original: Any) -> Any:
    def submit(view, group, now):
        change, outcome = original(view, group, now)
        if outcome.word is Word.SAME:
            return change, GroupOutcome(Word.DUPLICATE, group.submissions[0].id)
        return change, outcome

    return submit


@bug(rules, "submit", "keeping")
def half_a_batch_is_in(original: Any) -> Any:
    def submit(view, group: Group, now):
        change, outcome = original(view, group, now)
        if outcome.word is not Word.DUPLICATE:
            return change, outcome
        calls = itertools.takewhile(lambda call: call.id != outcome.task_id, group.submissions)
        half = Group(submissions=tuple(calls))
        return (original(view, half, now)[0] if half.submissions else NOTHING), outcome

    return submit


@bug(rules, "submit", "keeping")
def a_piece_goes_in_without_the_one_before_it(original: Any) -> Any:
    return lambda view, group, now: original(view, attrs.evolve(group, after=None), now)


@bug(rules, "submit", "keeping")
def max_size_is_ignored(original: Any) -> Any:
    def submit(view, group, now):
        with patched(Book, "waiting", lambda _: lambda _self: 0):
            return original(view, group, now)

    return submit


# --- the breaker


@bug(breakers, "allowance", "soundness", "order")
def two_probes_at_once(original: Any) -> Any:
    def allowance(breaker, settings):
        found = original(breaker, settings)
        return settings.breaker_probes + 1 if breaker.state is BreakerState.HALF_OPEN else found

    return allowance


@bug(breakers, "returned", "soundness")
def a_lost_probe_is_gone(original: Any) -> Any:
    return lambda breaker, *, epoch: breaker


@bug(breakers, "failed", "breaker", "soundness")
def stragglers_open_the_breaker(original: Any) -> Any:
    """Outcomes of earlier epochs count."""

    def failed(breaker, settings, now, *, epoch):
        return original(breaker, settings, now, epoch=breaker.epoch)

    return failed


@bug(breakers, "reopens_at", "breaker", "order")
def probes_come_too_early(original: Any) -> Any:
    return lambda breaker, settings: original(breaker, settings) - settings.breaker_reset_ms // 2


@bug(breakers, "succeeded", "breaker")
def a_success_is_not_counted(original: Any) -> Any:
    """Failures need not be in a row."""

    def succeeded(breaker, *, epoch):
        if breaker.state is BreakerState.CLOSED:
            return breaker
        return original(breaker, epoch=epoch)

    return succeeded


# --- people


@bug(rules, "cancel", "finality", "soundness")
def cancelling_forgets_to(original: Any) -> Any:
    def cancel(view, task_id, ticket, now):
        change, word = original(view, task_id, ticket, now)
        return (NOTHING if word is Word.DONE else change), word

    return cancel


@bug(rules, "replay", "finality", "soundness")
def a_success_can_be_replayed(original: Any) -> Any:
    def replay(view, task_id, ticket, now):
        change, word = original(view, task_id, ticket, now)
        task = view.find(task_id)
        if word is Word.ILLEGAL and task is not None:
            return Change((lifecycle._replayed(task, now),)), Word.DONE
        return change, word

    return replay


@bug(Book, "dead_letters", "answers")
def a_dead_letter_is_lost_between_two_pages(original: Any) -> Any:
    return lambda self, before, limit: original(self, before, limit)[bool(before) :]


@bug(rules, "_is_past", "finality")
def a_late_replay_puts_back_again(original: Any) -> Any:
    return lambda life, task: False


@bug(MemoryStore, "_orphans", "calm", "orphans")
def closures_of_the_living_are_failed(original: Any) -> Any:
    def orphans(self, known, now):
        with patched(type(known), "present", lambda _: lambda _self, _now: []):
            return original(self, known, now)

    return orphans


# --- finding them


def first_find(planted: Bug, seeds: int = SEEDS) -> Outcome | None:
    """The first run that the bug breaks; a seed that fails without it doesn't count."""
    for seed in range(seeds):
        with planted.planted():
            found = simulate(draw_plan(seed))
        if not found.is_good:
            clean = simulate(draw_plan(seed))
            assert clean.is_good, f"seed {seed} fails without any bug: {clean.violation}"
            return found
    return None


def table(finds: dict[str, Outcome | None]) -> Iterator[str]:
    """Which seed and which oracle found which bug."""
    for name, found in finds.items():
        told = (
            f"{found.plan.seed:>4}  {found.oracle:<11} {found.violation[:90]}" if found else "----"
        )
        yield f"{name:<40} {told}"


def main(names: list[str]) -> None:
    began = time.process_time()
    for name in names or list(BUGS):
        found = first_find(BUGS[name])
        right = found is not None and found.oracle in BUGS[name].oracles
        (line,) = table({name: found})
        sys.stdout.write(f"{'    ' if right else '!!! '}{line}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(names or BUGS)} bugs, {time.process_time() - began:.0f} s\n")


if __name__ == "__main__":
    main(sys.argv[1:])
