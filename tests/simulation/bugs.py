"""Planted bugs: small patches over kew, each of which an oracle of the right kind must find.

A bug is a name, the oracles that may find it, and its patches. Run it as a module to see which seed finds what, and
to save these seeds as hints:

    python -m tests.simulation.bugs [--save] [--hinted] [NAME ...]

A hint is the seed that is tried first. It spares the search from 0 and may be out of date, since a change of kew
changes the runs: then the search is made. `--save --hinted` keeps the hints that still hold, and renews the others.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import itertools
import sys
import time
from bisect import insort
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import attrs

from kew import shutdown
from kew.adapters.memory import history as histories
from kew.adapters.memory import indexed_queue as indexed_queues
from kew.adapters.memory import key_logs, keyed
from kew.adapters.memory import namespace as namespaces
from kew.adapters.memory import unique as unique_keys
from kew.adapters.memory.dead import DeadIndex
from kew.adapters.memory.indexed_queue import IndexedQueue
from kew.adapters.memory.keyed import KeyedLines
from kew.adapters.memory.namespace import MemoryQueue
from kew.adapters.memory.queue_base import QueueBase
from kew.adapters.memory.store import MemoryStore
from kew.adapters.memory.unique import UniqueKeys
from kew.app.injection import Injection
from kew.app.maintainer import Maintainer
from kew.app.partitions import PartitionedStore
from kew.app.partitions.reserving import Reservations
from kew.app.ports import Peek, Tick
from kew.app.process import Process
from kew.app.resources import Resources
from kew.app.scheduling import ticker as tickers
from kew.app.steady import Steady
from kew.app.submitting import encoding
from kew.app.submitting.submit_future import SubmitFuture
from kew.app.submitting.taken import SubmittedTasks
from kew.app.working.checkpoints import Checkpoints
from kew.app.working.executor import Executor, Raised
from kew.app.working.keeper import Keeper
from kew.app.working.runner import Runner
from kew.app.working.runs import Run, Stop
from kew.app.working.settler import Settler
from kew.app.working.slots import Slots
from kew.domain import breaker as breakers
from kew.domain import (
    checkpoints,
    draining,
    emptying,
    extending,
    key_limits,
    key_rooms,
    overrides,
    reasons,
    task_commands,
)
from kew.domain import queue as rules
from kew.domain import rate as rates
from kew.domain import schedule as schedules
from kew.domain import situation as situations
from kew.domain.breaker import BreakerState
from kew.domain.config import Settings
from kew.domain.events import Claimed, Event, Failed, Lost, Replayed, Snoozed, Succeeded
from kew.domain.gates import GATES, sharing
from kew.domain.gates.limit import Limit
from kew.domain.gates.paused import Paused
from kew.domain.gates.rate import RateGate
from kew.domain.gates.snoozed import SnoozedQueue
from kew.domain.key_rooms import KeyRooms
from kew.domain.lifecycle import Effect, step
from kew.domain.partitions import reservation, reserved_for
from kew.domain.queue import NOTHING, Change
from kew.domain.requests import ClaimRequest, Grant, Group, GroupOutcome, SettleOutcome, Word
from kew.domain.task import Task, TaskStatus
from kew.domain.unique import unique_key
from kew.simulation.batch import Choice
from kew.simulation.faults import Fault
from kew.simulation.features import workloads
from kew.simulation.oracles import oracle_classes
from kew.simulation.partitions import PartitionedNetwork
from kew.simulation.processes import current_process
from kew.simulation.simulation import Outcome

Wrap = Callable[[Any], Any]
SEEDS = 200
HINTS = Path(__file__).with_name("hints.txt")
DEFAULT_MIX = Choice()
JUMPING = (Fault.STORE_LEAP, Fault.KILL)
ASLEEP = (Fault.STALL, Fault.SUSPENDED)
oracle_classes()  # now, not at the first run: a judge must not take a planted bug's function for the genuine one


@dataclasses.dataclass(frozen=True)
class Bug:
    """`wrap` gets what stands at `owner.name` and gives what is to stand there."""

    name: str
    oracles: frozenset[str]
    owner: Any
    attribute: str
    wrap: Wrap
    choice: Choice = DEFAULT_MIX

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


def bug(
    owner: Any, attribute: str, *oracles: str, choice: Choice = DEFAULT_MIX
) -> Callable[[Wrap], Wrap]:
    """Plant the decorated function around `owner.attribute`; its name is the bug's. `choice` says where it is found."""

    def add(wrap: Wrap) -> Wrap:
        name = wrap.__name__
        BUGS[name] = Bug(name, frozenset(oracles), owner, attribute, wrap, choice)
        return wrap

    return add


def changing(original: Any, kind: type[Event], changes: Callable[[Task, Task, int], Any]) -> Any:
    """The lifecycle's step, with other changes at one kind of event."""

    def changed(task, event, now, settings):
        after, effect = original(task, event, now, settings)
        return after.moved(**changes(task, after, now) if isinstance(event, kind) else {}), effect

    return changed


# --- queries


@bug(MemoryStore, "do", "queries")
def a_peek_clears_up(original: Any) -> Any:
    """It removes what has expired."""

    async def do(self, operation):
        known = self.namespace.queues.get(operation.queue)
        if isinstance(operation, Peek) and known is not None:
            for task in known.indexed.expired(self._now(), 10):
                known.indexed.remove(task)
        return await original(self, operation)

    return do


# --- explanations


@bug(Limit, "explain", "explaining")
def an_untrue_explanation(original: Any) -> Any:
    """It leaves out that all slots are taken."""
    return lambda _gate, _situation, _left: None


@bug(reasons, "_is_undisputed", "explaining")
def every_instant_is_exact(original: Any) -> Any:
    return lambda _situation: True


@bug(situations, "_recovered", "explaining")
def an_open_breaker_stays_open(original: Any) -> Any:
    """An explanation judges the breaker by what it was when it was last written."""
    return lambda state, _ended, _now: state


@bug(situations, "_is_before", "explaining")
def nothing_comes_first(original: Any) -> Any:
    return lambda _other, _task: False


# --- claims and leases


@bug(MemoryStore, "_claim", "soundness", "keeping", "indexes")
def pop_without_a_lease(original: Any) -> Any:
    """What is granted leaves the store."""

    def claim(self, known, request, now):
        grant = original(self, known, request, now)
        if grant.word is Word.DONE:
            for task in grant.tasks:
                known.indexed._unindex(task)
                del self.namespace.records[task.id]
        return grant

    return claim


@bug(rules, "step", "leases")
def leases_never_end(original: Any) -> Any:
    def step(task, event, now, settings):
        if isinstance(event, Claimed):
            event = attrs.evolve(event, lease_ms=1001 * event.lease_ms)
        return original(task, event, now, settings)

    return step


@bug(rules, "claim", "leases", "runs", "soundness", "sharing", "order")
def repeated_claims_grant_again(original: Any) -> Any:
    def claim(view, request, now):
        fresh = max(0, min(view.lane(request.lane_key), request.sequence - 1))
        with patched(QueueBase, "lane", lambda _: lambda _self, _key: fresh):
            return original(view, request, now)

    return claim


@bug(rules, "_granted_before", "order")
def repeated_claims_get_nothing(original: Any) -> Any:
    return lambda view, _request, _now, _last: Grant(word=Word.SAME, edition=view.state.edition)


@bug(ClaimRequest, "lease", "leases", "soundness")
def a_counter_is_the_leases_identity(original: Any) -> Any:
    return lambda self, index: f"{self.incarnation}.{index}"


@bug(Limit, "room", "soundness", "explaining")
def no_limit_over_all_processes(original: Any) -> Any:
    return lambda self, facts, left: original(self, attrs.evolve(facts, held=0), left)


@bug(Limit, "room", "soundness")
def a_limit_is_checked_in_one_step_and_taken_in_another(original: Any) -> Any:
    """A claim takes what was free when its process claimed the last time."""
    checked: dict[str, int] = {}

    def room(self, facts, left):
        if facts.request is not None:
            who, held = facts.request.incarnation, facts.held
            facts = attrs.evolve(facts, held=min(held, checked.get(who, held)))
            checked[who] = held
        return original(self, facts, left)

    return room


class ReleasedTwice(IndexedQueue):
    """Its count of leases is too small by those that a repeated settle released once more."""

    released: int

    def held(self) -> int:
        return max(0, super().held() - self.released)


@bug(rules, "settle", "soundness", "indexes", "explaining")
def a_repeated_settle_releases_its_slot_again(original: Any) -> Any:
    def settle(view, settlement, now):
        change, outcome = original(view, settlement, now)
        if outcome.word is Word.SAME:
            view.__class__, view.released = ReleasedTwice, getattr(view, "released", 0) + 1
        return change, outcome

    return settle


@bug(sharing, "part_of", "sharing")
def whoever_settles_keeps_the_limit(original: Any) -> Any:
    return lambda free, *_: (free, None)


@bug(sharing, "part_of", "order")
def more_than_a_part_is_left(original: Any) -> Any:
    def part_of(free, starved, incarnation, holds, now):
        part, next_in_turn = original(free, starved, incarnation, holds, now)
        return part // 2, next_in_turn or next((who for who in starved if who != incarnation), None)

    return part_of


@bug(rules, "Starved", "sharing")
def the_starved_are_forgotten(original: Any) -> Any:
    return lambda *_: None


@bug(IndexedQueue, "held", "soundness", "indexes", "explaining")
def retries_are_beyond_the_limit(original: Any) -> Any:
    """Tasks that failed before don't count."""
    return lambda self: sum(not task.failures for task in self.leased())


@bug(IndexedQueue, "ready", "order")
def a_deferred_head_blocks(original: Any) -> Any:
    """The first by priority and ticket decides whether anything is due."""

    def ready(self, incarnation, now, limit):
        waiting = [task for task in self._records.values() if task.is_waiting]
        mine = [task for task in waiting if task.queue == self.name]
        head = min(mine, key=lambda task: (task.call.priority, task.ticket), default=None)
        return [] if head and head.ready_at > now else original(self, incarnation, now, limit)

    return ready


@bug(IndexedQueue, "ready", "order")
def priorities_are_ignored(original: Any) -> Any:
    def ready(self, incarnation, now, limit):
        due = original(self, incarnation, now, 1000)
        return sorted(due, key=lambda task: task.ticket)[:limit]

    return ready


@bug(IndexedQueue, "ready", "order")
def closures_are_given_to_anybody(original: Any) -> Any:
    def ready(self, incarnation, now, limit):
        everybody = set().union(*self.functions.values())
        with _knowing(self, incarnation, everybody):
            return original(self, incarnation, now, limit)

    return ready


@contextlib.contextmanager
def _knowing(indexed: IndexedQueue, incarnation: str, names: set[str]) -> Iterator[None]:
    before = indexed.functions.get(incarnation, set())
    indexed.functions[incarnation] = names
    try:
        yield
    finally:
        indexed.functions[incarnation] = before


@bug(Paused, "room", "order")
def paused_queues_grant(original: Any) -> Any:
    return lambda _self, _facts, _left: None


@bug(rules, "_wait_ms", "order")
def workers_wait_too_long(original: Any) -> Any:
    """Told of their own leases alone, not of what is due."""

    def wait(view, facts, request, _taken, _next_in_turn):
        return request.lease_ms if facts.state.token > view.state.token else None

    return wait


@bug(MemoryStore, "_offer", "promptness", "liveness")
def nobody_is_woken(original: Any) -> Any:
    return lambda _self, *_: None


@bug(Process, "look", "promptness", choice=Choice(faults=(Fault.DEAF,)))
def a_process_without_notifications_does_not_look_for_work(original: Any) -> Any:
    return lambda _self: None


@bug(rules, "step", "leases", "soundness", "bounds")
def attempts_are_counted_at_failure(original: Any) -> Any:
    return changing(
        original, Claimed, lambda task, after, now: {"attempt": task.attempt + task.failures}
    )


# --- extending and losing


@bug(extending, "extend", "leases")
def a_heartbeat_revives_a_dead_lease(original: Any) -> Any:
    def extend(view, ref, lease_ms, now, report=None):
        task = view.find(ref.task_id)
        ended = task is not None and task.lease == ref.lease and task.lease_until <= now
        return original(view, ref, lease_ms, task.lease_until - 1 if ended else now, report)

    return extend


@bug(extending, "extend", "leases", "calm")
def heartbeats_do_nothing(original: Any) -> Any:
    def extend(view, ref, lease_ms, now, report=None):
        _, word = original(view, ref, lease_ms, now, report)
        return NOTHING, word

    return extend


@bug(rules, "step", "bounds")
def what_is_lost_is_failed(original: Any) -> Any:
    def step(task, event, now, settings):
        if isinstance(event, Lost):
            settings = attrs.evolve(settings, max_deliveries=0)
        return original(task, event, now, settings)

    return step


@bug(rules, "step", "bounds")
def losses_are_not_counted(original: Any) -> Any:
    return changing(original, Lost, lambda task, after, now: {"losses": task.losses})


@bug(rules, "step", "bounds", "once", "soundness", choice=Choice(workload="limits"))
def at_most_once_runs_again(original: Any) -> Any:
    def step(task, event, now, settings):
        if not isinstance(event, Lost):
            return original(task, event, now, settings)
        plain = task.moved(call=attrs.evolve(task.call, at_most_once=False))
        after, effect = original(plain, event, now, settings)
        return after.moved(call=task.call), effect

    return step


@bug(rules, "step", "bounds")
def what_is_lost_goes_to_the_end(original: Any) -> Any:
    return changing(
        original, Lost, lambda task, after, now: {"ready_at": now} if after.is_waiting else {}
    )


@bug(Run, "ask_to_stop", "fencing")
def a_worker_does_not_fence_itself(original: Any) -> Any:
    def ask_to_stop(self: Run, reason: Stop) -> None:
        if reason in (Stop.FENCED, Stop.LOST):
            self.stop = self.stop or reason
        else:
            original(self, reason)

    return ask_to_stop


@bug(Runner, "_outcome_of", "runs", "once", choice=Choice(faults=ASLEEP))
def runs_begin_after_a_stall(original: Any) -> Any:
    async def outcome_of(self, run):
        fence_at, run.fence_at = run.fence_at, float("inf")
        asyncio.get_running_loop().call_soon(setattr, run, "fence_at", fence_at)
        return await original(self, run)

    return outcome_of


@bug(Runner, "_could_not_start", "liveness", "starting", "promptness")
def what_could_not_be_started_keeps_its_slot(original: Any) -> Any:
    return lambda self, runs, error: None


@bug(Keeper, "watch_one", "fencing")
def time_limits_of_new_runs_are_forgotten(original: Any) -> Any:
    def watch_one(self, run):
        run.fence_at = float("inf")

    return watch_one


@bug(Keeper, "__init__", "runs", "fencing", choice=Choice(faults=(Fault.SUSPENDED,)))
def leases_are_judged_by_a_clock_that_sleeps(original: Any) -> Any:
    def init(self, runs, store, config, uptime):
        original(self, runs, store, config, None)

    return init


@bug(Slots, "load", "slots", "runs")
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


@bug(MemoryStore, "_submit", "outcomes")
def a_refused_submit_settles_nothing(original: Any) -> Any:
    """It answers all the same that it did. (Refused is what is in already, too.)"""

    def submit(self, queue, groups, along):
        calls = [call for group in groups for call in group.submissions]
        if not any(call.id in self.namespace.records for call in calls):
            return original(self, queue, groups, along)
        settled = [SettleOutcome(Word.DONE, TaskStatus.COMPLETED) for _ in along.settlements]
        refused = original(self, queue, groups, attrs.evolve(along, settlements=()))
        return attrs.evolve(refused, settled=settled)

    return submit


REFUSED = Choice(workload="sequences", faults=(Fault.REFUSED,))


@bug(Settler, "go_on", "liveness", choice=REFUSED)
def an_outcome_is_lost_with_the_submit_that_carried_it(original: Any) -> Any:
    """If that submit gives up, only the claim goes on by itself."""
    return lambda self, ride: self._claims.pursue(ride.claim)


@bug(rules, "step", "outcomes")
def a_claim_forgets_the_last_outcome(original: Any) -> Any:
    return changing(original, Claimed, lambda task, after, now: {"settled": ""})


@bug(rules, "step", "outcomes", "soundness")
def a_cancelled_task_is_retried(original: Any) -> Any:
    def step(task, event, now, settings):
        if isinstance(event, Failed):
            task = task.moved(cancel_requested=False)
        return original(task, event, now, settings)

    return step


@bug(rules, "step", "outcomes")
def retries_run_at_once(original: Any) -> Any:
    def step(task, event, now, settings):
        if isinstance(event, Failed) and event.retry_after_ms:
            event = attrs.evolve(event, retry_after_ms=0)
        return original(task, event, now, settings)

    return step


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


@bug(rules, "step", "expiry", "keeping")
def records_expire_from_their_submission(original: Any) -> Any:
    def step(task, event, now, settings):
        after, effect = original(task, event, now, settings)
        early = after.expires_at - now + task.queued_at if after.is_terminal else 0
        return after.moved(expires_at=early), effect

    return step


# --- submitting


@bug(encoding, "_due", "keeping")
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
        with patched(IndexedQueue, "find", lambda _: lambda _self, _id: None):
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


@bug(rules, "submit", "keeping", choice=Choice(workload="batches"))
def a_piece_goes_in_without_the_one_before_it(original: Any) -> Any:
    return lambda view, group, now: original(view, attrs.evolve(group, after=None), now)


@bug(rules, "submit", "keeping")
def max_size_is_ignored(original: Any) -> Any:
    def submit(view, group, now):
        with patched(IndexedQueue, "waiting", lambda _: lambda _self: 0):
            return original(view, group, now)

    return submit


@bug(SubmittedTasks, "add", "answers", choice=Choice(workload="batches"))
def a_batch_does_not_report_what_it_skipped(original: Any) -> Any:
    def add(self, piece, existing, queue, now):
        original(self, piece, existing, queue, now)
        self.existing = ()

    return add


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


@bug(rules, "step", "breaker")
def answers_open_the_breaker(original: Any) -> Any:
    """A deliberate `Retry` or `GiveUp` counts as a failure."""

    def step(task, event, now, settings):
        after, effect = original(task, event, now, settings)
        is_counted = isinstance(event, Failed) and not task.cancel_requested
        return after, Effect.COUNT_FAILURE if is_counted else effect

    return step


# --- people


@bug(task_commands, "cancel", "finality", "soundness")
def cancelling_forgets_to(original: Any) -> Any:
    def cancel(view, task_id, ticket, now):
        change, word = original(view, task_id, ticket, now)
        return (NOTHING if word is Word.DONE else change), word

    return cancel


def _back(task: Task, now: int) -> Task:
    failed = task.moved(status=TaskStatus.FAILED)
    return step(failed, Replayed(), now, Settings())[0]


@bug(task_commands, "replay", "finality", "soundness")
def a_success_can_be_replayed(original: Any) -> Any:
    def replay(view, task_id, life, now, **more):
        change, word = original(view, task_id, life, now, **more)
        task = view.find(task_id)
        if word is Word.ILLEGAL and task is not None:
            return Change((_back(task, now),)), Word.DONE
        return change, word

    return replay


@bug(DeadIndex, "page", "answers")
def a_dead_letter_is_lost_between_two_pages(original: Any) -> Any:
    return lambda self, group, before, limit: original(self, group, before, limit)[bool(before) :]


@bug(task_commands, "_is_past", "finality", choice=Choice(workload="replaying"))
def a_late_replay_puts_back_again(original: Any) -> Any:
    return lambda life, task: False


@bug(MemoryQueue, "orphans", "calm", "orphans")
def closures_of_the_living_are_failed(original: Any) -> Any:
    def orphans(self, gone_by, now):
        with patched(MemoryQueue, "present", lambda _: lambda _self, _now: []):
            return original(self, now, now)

    return orphans


# --- keys


@bug(KeyRooms, "start", "keys", "key_rate", choice=Choice(workload="keys"))
def a_claim_counts_no_tasks_of_its_own(original: Any) -> Any:
    """One claim takes more tasks of a key than may run: only those of earlier claims count."""
    return lambda self, key, cost: None


@bug(key_rooms, "opens_at", "key_rate", choice=Choice(workload="keys"))
def a_key_starts_beyond_its_rate(original: Any) -> Any:
    """The start before the last one of a window is forgotten."""
    return lambda paced, cost, now: original(paced[:-1], cost, now)


@bug(key_logs, "forgotten_at", "key_rate", choice=Choice(workload="keys"))
def what_a_key_started_is_forgotten_too_early(original: Any) -> Any:
    """Other keys' starts push out what its window still holds."""
    return lambda numbers, rates, now: now + 100


@bug(key_rooms, "snoozed_until", "snoozing", choice=Choice(workload="keys"))
def a_snooze_holds_its_task_alone(original: Any) -> Any:
    """Others of its key run into the same limit."""
    return lambda numbers, now: now


@bug(KeyRooms, "opens_at", "key_rate", choice=Choice(workload="keys"))
def a_key_is_charged_one_whatever_a_task_costs(original: Any) -> Any:
    """A task may start once a single unit is left."""
    return lambda self, key, cost: original(self, key, 1)


@bug(key_rooms, "rates_of", "key_rate", choice=Choice(workload="keys"))
def a_keys_own_rate_is_ignored(original: Any) -> Any:
    """Only what per_key declares counts."""
    return lambda settings, own: settings.key_rate


@bug(
    KeyedLines,
    "_pace",
    *("order", "promptness", "liveness", "sharing", "explaining"),
    choice=Choice(workload="keys"),
)
def a_key_that_waits_for_its_rate_is_forgotten(original: Any) -> Any:
    """Nothing says when its rate lets the next task start."""
    return lambda self, priority, key, at: None


@bug(KeyedLines, "is_full", "keys", choice=Choice(workload="keys"))
def a_key_is_limited_in_each_claim_alone(original: Any) -> Any:
    """The holders of a key aren't counted when it is looked for."""

    def is_full(self, key, now):
        self.held = type(self.held)()
        return False

    return is_full


@bug(
    KeyedLines,
    "_reopen",
    *("order", "promptness", "liveness", "sharing", "explaining"),
    choice=Choice(workload="keys"),
)
def a_freed_key_is_forgotten(original: Any) -> Any:
    """The end of a lease doesn't let the key's next task start."""
    return lambda self, key: None


@bug(keyed, "move", "keys", choice=Choice(workload="keys"))
def a_key_keeps_its_turn(original: Any) -> Any:
    """A key that was served is served again before the others."""

    def move(turns, before, after, *, others_wait):
        kept = dict(turns)
        original(turns, before, after, others_wait=others_wait)
        if after.status is TaskStatus.PROCESSING:
            turns.update({place: kept[place] for place in turns if place in kept})

    return move


@bug(KeyedLines, "limit_key", "key limits", choice=Choice(workload="keys"))
def a_keys_limit_outlives_its_end(original: Any) -> Any:
    """It lasts until it is removed, though it was set for a while."""
    return lambda self, key, own: original(self, key, own and attrs.evolve(own, ends_at=0))


@bug(
    KeyedLines,
    "limit_key",
    *("order", "promptness", "liveness", "sharing", "explaining"),
    choice=Choice(workload="keys"),
)
def a_key_stays_set_aside_when_its_limits_are_removed(original: Any) -> Any:
    """Its tasks don't return to the ring."""

    def limit_key(self, key, own):
        with patched(KeyedLines, "_reopen", lambda _: lambda _self, _key: None):
            original(self, key, own)

    return limit_key


@bug(IndexedQueue, "apply", "indexes", choice=Choice(workload="keys"))
def what_is_cancelled_stays_in_its_keys_count(original: Any) -> Any:
    """A purge or a cancel of what waits leaves it counted for its key."""

    def apply(self, change, now):
        is_cancelled = any(task.status is TaskStatus.CANCELLED for task in change.tasks)
        wrap = (lambda _: lambda _self, _task: None) if is_cancelled else (lambda left: left)
        with patched(KeyedLines, "left", wrap):
            original(self, change, now)

    return apply


# --- rates


@bug(rates, "room", "rate", "explaining", "order", choice=Choice(workload="rates"))
def a_window_overruns(original: Any) -> Any:
    """As a count that begins anew with each window of the clock: twice as many start around its beginning."""

    def room(log, setting, now):
        count, per, _ = setting
        used = sum(starts for when, starts in log.starts if when > now // per * per)
        return max(0, count - used)

    return room


@bug(rates, "rounded", "rate", choice=Choice(workload="boundary", faults=()))
def a_part_of_each_window_is_wasted(original: Any) -> Any:
    """Starts count for up to a tenth of the window longer than they have to."""

    def rounded(log, now):
        tenth = log.per // 10
        return -(-now // tenth) * tenth

    return rounded


@bug(RateGate, "granted", "rate", "explaining", "order", choice=Choice(workload="rates"))
def a_start_is_not_counted(original: Any) -> Any:
    return lambda self, state, tasks, now: original(self, state, tasks[1:], now)


@bug(RateGate, "opens_at", "order", "promptness", "liveness", choice=Choice(workload="rates"))
def a_window_never_opens(original: Any) -> Any:
    return lambda self, facts: None


@bug(RateGate, "is_used", "rate", choice=Choice(workload="rates"))
def the_rate_is_skipped(original: Any) -> Any:
    return lambda self, state: False


@bug(RateGate, "granted", "rate", "explaining", "order", choice=Choice(workload="rates"))
def a_cost_is_counted_as_one(original: Any) -> Any:
    """A start uses one unit of the rate, whatever the task costs."""

    def granted(self, state, tasks, now):
        cheap = [task.moved(call=attrs.evolve(task.call, cost=1)) for task in tasks]
        return original(self, state, cheap, now)

    return granted


@bug(rules, "_after_grant", "rate", "explaining", "order", choice=Choice(workload="rates"))
def a_refused_start_uses_the_rate_up(original: Any) -> Any:
    """A claim whose next task costs more than is left takes what is left, for nothing."""

    def after_grant(facts, granted, lease_ms, next_cost):
        facts = original(facts, granted, lease_ms, next_cost)
        if next_cost == 1 or not facts.state.settings.rates:
            return facts
        logs = rates.read_logs(facts.state.gates.get("rate", ()), facts.state.settings.rates)
        spent = [
            rates.granted(log, rate, facts.now, rates.room(log, rate, facts.now))
            for log, rate in zip(logs, facts.state.settings.rates, strict=True)
        ]
        gates = {**facts.state.gates, "rate": rates.write_logs(spent)}
        return attrs.evolve(facts, state=attrs.evolve(facts.state, gates=gates))

    return after_grant


@bug(RateGate, "affords", "rate", choice=Choice(workload="rates"))
def a_claim_affords_whatever_it_finds(original: Any) -> Any:
    """It takes as many tasks as there are units, though some cost more than one."""
    return lambda self, facts, tasks: None


# --- steering


@bug(overrides, "redeclared", "steering", choice=Choice(workload="steering"))
def a_declaration_undoes_overrides(original: Any) -> Any:
    def redeclared(state, settings, edition):
        after = original(attrs.evolve(state, declared={}), settings, edition)
        return attrs.evolve(after, declared=state.declared)

    return redeclared


@bug(overrides, "with_overrides", "steering", choice=Choice(workload="steering"))
def an_override_replaces_the_others(original: Any) -> Any:
    def with_overrides(state, values, *, without=(), edition, signature=None):
        without = set(overrides.overridden(state)) - {"max_size"} if values else without
        return original(state, values, without=without, edition=edition, signature=signature)

    return with_overrides


@bug(draining, "drained", "steering", choice=Choice(workload="steering"))
def a_draining_queue_accepts(original: Any) -> Any:
    return lambda state, hold, edition: attrs.evolve(state, holds={"draining": hold})


@bug(task_commands, "is_draining", "steering", choice=Choice(workload="steering"))
def a_draining_queue_accepts_replays(original: Any) -> Any:
    return lambda settings: False


@bug(emptying, "empty", "steering", choice=Choice(workload="steering"))
def a_purge_cancels_what_comes_later(original: Any) -> Any:
    def empty(view, upto, skip, limit, now):
        return original(view, view.state.ticket, skip, limit, now)

    return empty


@bug(emptying, "empty", "steering", choice=Choice(workload="key steering"))
def a_purge_leaves_tasks_of_keys(original: Any) -> Any:
    def empty(view, upto, skip, limit, now):
        change, emptied = original(view, upto, skip, limit, now)
        kept = [task for task in change.tasks if not task.call.key]
        return attrs.evolve(change, tasks=kept), emptied

    return empty


@bug(Limit, "room", "explaining", "promptness", choice=Choice(workload="key steering"))
def an_override_leaves_tasks_parked(original: Any) -> Any:
    """It raises the limit, but no more tasks start than the code declares."""

    def room(self, facts, left):
        declared = facts.state.declared.get("max_workers", facts.state.settings.max_workers)
        return min(original(self, facts, left), max(0, declared - facts.held))

    return room


@bug(emptying, "empty", "steering", choice=Choice(workload="steering"))
def a_purge_leaves_deferred_tasks(original: Any) -> Any:
    def empty(view, upto, skip, limit, now):
        change, emptied = original(view, upto, skip, limit, now)
        kept = [task for task in change.tasks if view.find(task.id).ready_at <= now]
        return attrs.evolve(change, tasks=kept), emptied

    return empty


# --- expiring


@bug(IndexedQueue, "unstarted", "expiring", choice=Choice(workload="expiring"))
def an_expired_task_starts(original: Any) -> Any:
    return lambda self, now, limit: []


@bug(indexed_queues, "unstarted_until", "expiring", choice=Choice(workload="expiring"))
def a_task_expires_when_it_is_due(original: Any) -> Any:
    def unstarted_until(task):
        until = original(task)
        return until and min(until, task.ready_at + 100)

    return unstarted_until


# --- unique


@bug(UniqueKeys, "holder", "unique", choice=Choice(workload="unique"))
def a_unique_key_is_never_held(original: Any) -> Any:
    return lambda self, key, now: None


@bug(unique_keys, "holds", "unique", choice=Choice(workload="unique"))
def a_unique_key_is_held_by_what_has_ended(original: Any) -> Any:
    return lambda task, now: bool(task.call.unique)


@bug(task_commands, "_is_held_by_another", "unique", choice=Choice(workload="unique"))
def a_replay_takes_a_unique_key_from_its_holder(original: Any) -> Any:
    return lambda view, task, now: False


@bug(rules, "meeting", "unique", choice=Choice(workload="unique"))
def a_debounced_task_is_postponed_for_ever(original: Any) -> Any:
    def meeting(calls, **more):
        met = original(calls, **more)
        later = [
            task.moved(ready_at=more["now"] + calls[-1].delay_ms) if calls[-1].delay_ms else task
            for task in met.replaced
        ]
        return attrs.evolve(met, replaced=later)

    return meeting


@bug(UniqueKeys, "holder", "unique", choice=Choice(workload="unique"))
def a_unique_key_outlives_the_record_of_its_task(original: Any) -> Any:
    """A task that was forgotten or purged, or has expired, goes on to hold its key."""
    removed: dict[str, Task] = {}

    def holder(self, key, now):
        task_id, _ = self._taken.get(key, ("", 0))
        task = self._records.get(task_id)
        if task is not None:
            removed[task_id] = task
        return original(self, key, now) if task is not None else removed.get(task_id)

    return holder


@bug(unique_keys, "holds", "unique", choice=Choice(workload="unique"))
def a_unique_key_is_held_beyond_its_time(original: Any) -> Any:
    """What is to come every few seconds comes once."""
    return lambda task, now: original(task, task.queued_at)


@bug(unique_keys, "holds", "unique", choice=Choice(workload="unique"))
def a_debounced_task_keeps_its_key_while_it_runs(original: Any) -> Any:
    """A call that comes then is refused, although it may have newer arguments."""

    def holds(task, now):
        at_most_ms = unique_key(task.call.unique).at_most_ms if task.call.unique else 0
        return original(task, now) or bool(at_most_ms and task.lease)

    return holds


@bug(rules, "is_superseded", "unique", choice=Choice(workload="unique"))
def a_superseded_run_waits_again(original: Any) -> Any:
    return lambda view, task, event, now: False


@bug(key_limits, "LATEST", "unique", choice=Choice(workload="unique"))
def two_of_latest_run(original: Any) -> Any:
    return f"{original}not "


# --- history


@bug(histories, "plus", "history")
def an_hour_keeps_its_last_minute_alone(original: Any) -> Any:
    return lambda one, later: later


@bug(histories, "counted", "history")
def a_task_that_fails_for_good_is_not_counted(original: Any) -> Any:
    return lambda before, after: [name for name in original(before, after) if name != "failed"]


# --- snoozes


@bug(rules, "step", "snoozing", choice=Choice(workload="snoozing"))
def a_snooze_counts_as_a_failure(original: Any) -> Any:
    def changes(before, after, now):
        return {"failures": before.failures + 1}

    return changing(original, Snoozed, changes)


@bug(rules, "step", "snoozing", choice=Choice(workload="snoozing"))
def a_snoozed_task_keeps_its_old_place(original: Any) -> Any:
    """As if it had been released: it runs again at once."""

    def changes(before, after, now):
        return {"ready_at": before.ready_at}

    return changing(original, Snoozed, changes)


@bug(Executor, "max_snoozes_of", "snoozing", "liveness", choice=Choice(workload="snoozing"))
def a_task_may_snooze_for_ever(original: Any) -> Any:
    return lambda self, task: 1 << 30


@bug(SnoozedQueue, "room", "snoozing", "order", choice=Choice(workload="snoozing"))
def a_snoozed_queue_goes_on(original: Any) -> Any:
    return lambda self, facts, left: None


@bug(SnoozedQueue, "snoozed", "snoozing", choice=Choice(workload="snoozing"))
def a_snooze_of_the_queue_is_cut_short(original: Any) -> Any:
    """The latest request holds, rather than the latest instant."""

    def snoozed(self, state, task, event, now):
        return original(self, self.resumed(state), task, event, now)

    return snoozed


# --- checkpoints and progress


@bug(checkpoints, "holds", "checkpoints", choice=Choice(workload="saving"))
def a_stale_lease_may_save(original: Any) -> Any:
    """Another attempt of the task may run, or wait."""
    return lambda view, task, ref, now: True


@bug(checkpoints, "save", "checkpoints", choice=Choice(workload="saving"))
def an_earlier_checkpoint_replaces_a_later_one(original: Any) -> Any:
    """A request that arrives late, or twice."""

    def save(view, ref, number, data, now):
        change, word = original(view, ref, number, data, now)
        if word is not Word.SAME:
            return change, word
        task = view.find(ref.task_id)
        late = attrs.evolve(task.checkpoint, number=number, data=data)
        return Change((task.moved(checkpoint=late),)), Word.DONE

    return save


@bug(rules, "step", "checkpoints", "runs", choice=Choice(workload="saving"))
def a_lost_worker_takes_the_checkpoint_along(original: Any) -> Any:
    return changing(original, Lost, lambda before, after, now: {"checkpoint": None})


@bug(Checkpoints, "save", "runs", choice=Choice(workload="saving"))
def a_checkpoint_is_acknowledged_before_it_is_sent(original: Any) -> Any:
    async def save(self, run, value):
        asyncio.get_running_loop().create_task(original(self, run, value))

    return save


@bug(extending, "progress_after", "checkpoints", choice=Choice(workload="saving"))
def progress_is_counted_for_the_next_attempt(original: Any) -> Any:
    return lambda task, report, now: original(task.moved(attempt=task.attempt + 1), report, now)


# --- settings


@bug(Maintainer, "compare", "settings", choice=Choice(faults=()))
def a_claims_answer_is_not_compared(original: Any) -> Any:
    """A process keeps the settings that it declared, whatever others declared since."""
    return lambda self, grant: original(self, attrs.evolve(grant, edition=self._edition))


# --- patience


@bug(SubmitFuture, "__init__", "patience")
def patience_begins_long_after_the_call(original: Any) -> Any:
    def init(self, submitter, queue, call, convert, give_up_at):
        original(self, submitter, queue, call, convert, give_up_at + 30)

    return init


# --- a clock that jumps


@bug(
    namespaces, "shortened", "clocks", "liveness", choice=Choice(workload="limits", faults=JUMPING)
)
def a_lease_lasts_as_long_as_the_clock_jumped(original: Any) -> Any:
    return lambda _view, _now, _limit: NOTHING


@bug(MemoryQueue, "shorten", "clocks")
def a_presence_lasts_as_long_as_the_clock_jumped(original: Any) -> Any:
    return lambda self, now, limit, _presence_ms: original(self, now, limit, 1 << 50)


@bug(breakers, "judged", "clocks", "order")
def a_breaker_is_open_for_as_long_as_the_clock_jumped(original: Any) -> Any:
    """The time when it opened may lie ahead."""

    def judged(breaker, settings, now):
        is_ahead = breaker.state is BreakerState.OPEN and breaker.opened_at > now
        return (
            breaker if is_ahead and settings.breaker_failures else original(breaker, settings, now)
        )

    return judged


@bug(SnoozedQueue, "judged", "clocks", choice=Choice(workload="snoozing", faults=JUMPING))
def a_snooze_lasts_as_long_as_the_clock_jumped(original: Any) -> Any:
    def judged(self, state, now):
        until_at, _ = state.gates[self.name]
        return state if until_at > now else original(self, state, now)

    return judged


@bug(Steady, "gone_by", "orphans", choice=Choice(workload="closures", faults=JUMPING))
def the_gone_are_judged_right_after_a_jump(original: Any) -> Any:
    return property(lambda self: self._instant)


# --- dead letters

VAIN = Choice(workload="dead letters")


@bug(rules, "attempts_of", "dead letters", choice=VAIN)
def lost_attempts_are_forgotten(original: Any) -> Any:
    def attempts_of(before, event, after, now):
        return () if isinstance(event, Lost) else original(before, event, after, now)

    return attempts_of


@bug(DeadIndex, "remove", "dead letters", choice=VAIN)
def what_is_replayed_stays_in_its_group(original: Any) -> Any:
    def remove(self, entry):
        group = self._group_of.get(entry[1:])
        original(self, entry)
        if group is not None:
            insort(self._by_group.setdefault(group, []), entry)

    return remove


@bug(DeadIndex, "add", "dead letters", choice=VAIN)
def the_first_attempt_names_the_group(original: Any) -> Any:
    def add(self, task):
        kept = self.attempts.get((task.ticket, task.id), ())
        self.attempts[task.ticket, task.id] = kept[:1]
        original(self, task)
        self.attempts[task.ticket, task.id] = kept

    return add


@bug(task_commands, "replay", "finality", choice=VAIN)
def a_replay_is_of_any_life(original: Any) -> Any:
    def replay(view, task_id, life, now, after_ms=0, **more):
        return original(view, task_id, None, now, after_ms, **more)

    return replay


# --- what tasks share

SHARING = Choice(workload="sharing")


@bug(Resources, "get", "resources", choice=SHARING)
def each_that_waits_opens_the_resource(original: Any) -> Any:
    """It is not known before it is open."""

    async def get(self, key, name, factory):
        held = self._held.get(key)
        if held is not None and not held._value.done():
            del self._held[key]
        return await original(self, key, name, factory)

    return get


@bug(Resources, "_ended", "resources", "liveness", "ends", "answers", choice=SHARING)
def a_resource_that_failed_is_not_opened_again(original: Any) -> Any:
    """Its error is kept instead."""
    return lambda self, key: None


@bug(shutdown, "_shut_down", "resources", choice=SHARING)
def resources_are_closed_before_the_runs_have_ended(original: Any) -> Any:
    """They are closed first."""

    async def shut_down(process, parts, served, **options):
        await process.resources.close()
        await original(process, parts, served, **options)

    return shut_down


@bug(Resources, "close", "resources", choice=SHARING)
def resources_stay_open_at_shutdown(original: Any) -> Any:
    """The end of the program is to close them."""

    async def close(self, timeout=0.0):
        self._is_closed = True

    return close


@bug(Injection, "scope", "resources", choice=SHARING)
def runs_share_their_dependencies(original: Any) -> Any:
    """The first run's are kept for the next ones."""
    scopes: dict[Any, Any] = {}

    def scope(self, args, kwargs):
        return scopes.setdefault((current_process(), self.function), original(self, args, kwargs))

    return scope


@bug(Runner, "_clean_up", "outcomes", choice=SHARING)
def a_clean_up_that_fails_fails_the_run(original: Any) -> Any:
    """Its error is the outcome."""

    async def clean_up(self, run, outcome):
        try:
            await run.scope.close(getattr(outcome, "error", None))
        except OSError as error:
            self.finished(run, Raised(error))
            return False
        return True

    return clean_up


# --- schedules

SCHEDULES = Choice(workload="schedules")


@bug(schedules, "judge", "schedules", choice=SCHEDULES)
def a_tick_is_submitted_early(original: Any) -> Any:
    return lambda known, commit, before, now: original(known, commit, before, now + 500)


@bug(schedules, "committed", "schedules", choice=SCHEDULES)
def a_tick_takes_the_next_one_along(original: Any) -> Any:
    def committed(known, commit, word):
        after = original(known, commit, word)
        return attrs.evolve(after, after=after.after + known.schedule.every_ms)

    return committed


@bug(tickers, "plan", "schedules", choice=SCHEDULES)
def a_catch_up_skips_a_tick(original: Any) -> Any:
    """Of all that were missed, the last one is made up for."""

    def plan(known, times, now):
        schedule = attrs.evolve(known.schedule, missed=schedules.Missed.ONE)
        return original(attrs.evolve(known, schedule=schedule), times, now)

    return plan


@bug(MemoryStore, "do", "schedules", choice=SCHEDULES)
def a_handover_submits_a_tick_again(original: Any) -> Any:
    """A process that comes second takes the tick for another one, which has an id of its own."""

    async def do(self, operation):
        answer = await original(self, operation)
        commit = operation.commit if isinstance(operation, Tick) else None
        if commit is not None and commit.call is not None and answer.word is Word.STALE:
            own = schedules.tick_id(commit.name, commit.upto + 1)
            again = Group(submissions=(attrs.evolve(commit.call, id=own),))
            await self.submit(operation.queue, (again,))
        return answer

    return do


@bug(schedules, "pause", "schedules", choice=SCHEDULES)
def a_paused_schedule_goes_on(original: Any) -> Any:
    return lambda known, note, now: (
        attrs.evolve(original(known, note, now)[0], paused_at=0),
        Word.DONE,
    )


# --- partitions

PARTITIONED = Choice(workload="partitions", store="partitions")


@bug(Reservations, "tend", "partitions", choice=PARTITIONED)
def a_reservation_is_never_given_back(original: Any) -> Any:
    async def tend(self, partition):
        pass

    return tend


@bug(Reservations, "give_back", "partitions", choice=PARTITIONED)
def a_reservation_is_given_back_too_early(original: Any) -> Any:
    """Its partition has no task of the id yet, and one may be on its way."""

    async def give_back(self, record, home):
        found = await self._find(record.id, reserved_for(record))
        if found is not None:
            return False
        await self._remove(record.id, record.life, home)
        return True

    return give_back


@bug(Reservations, "_reserve_at", "partitions", choice=PARTITIONED)
def a_reservation_is_followed_twice(original: Any) -> Any:
    """A submit to another partition takes it for its own."""

    async def reserve_at(self, home, ids, partition):
        await self._store(home, [reservation(task_id, partition) for task_id in ids])
        return ()

    return reserve_at


@bug(PartitionedNetwork, "store_on", "partitions", choice=PARTITIONED)
def a_queue_that_two_processes_place_differently(original: Any) -> Any:
    """Some have the partitions in another order, and none looks at what they say of themselves."""

    class Unchecked(PartitionedStore):
        async def open(self):
            pass

    def store_on(self, host):
        stores = original(self, host).stores
        return Unchecked(stores if host.knows_all else stores[::-1])

    return store_on


# --- gates that are skipped


def skipped_gates() -> Iterator[Bug]:
    """For each gate that limits a queue and that no bug above patches: it allows everything.

    The oracle of its name, or that of order, has to find it, in the workload of its name if there is one.
    """
    patched_above = {one.owner for one in BUGS.values()}
    for gate in GATES:
        if "room" in vars(type(gate)) and type(gate) not in patched_above:
            choice = Choice(workload=gate.name) if gate.name in workloads() else DEFAULT_MIX
            name = f"the_gate_{gate.name}_is_skipped"
            yield Bug(
                name, frozenset({gate.name, "order"}), type(gate), "room", _no_opinion, choice
            )


def _no_opinion(original: Any) -> Any:
    return lambda self, facts, left: None


BUGS |= {one.name: one for one in skipped_gates()}


# --- finding them


def first_find(planted: Bug, seeds: Iterable[int]) -> Outcome | None:
    """The first run in which an oracle of the right kind sees the bug, or else any oracle does.

    A seed that fails without the bug is an error, and so is a bug that isn't one: a patch that raises.
    """
    by_another = None
    for seed in seeds:
        with planted.planted():
            found = planted.choice.run(seed)
        if not found.is_good:
            violation = _violation_without_a_bug(planted.choice, seed)
            assert not violation, f"seed {seed} fails without any bug: {violation}"
            if found.oracle in planted.oracles or found.oracle.endswith("Error"):
                return found
            by_another = by_another or found
    return by_another


@cache
def _violation_without_a_bug(choice: Choice, seed: int) -> str:
    """Many bugs are found on the same seeds."""
    outcome = choice.run(seed)
    return "" if outcome.is_good else f"{outcome.oracle}: {outcome.violation}"


def hinted(name: str, hints: dict[str, int]) -> Iterator[int]:
    """The seeds among which a bug must be found: the one that found it last, if that is known, and then all."""
    hint = hints.get(name, SEEDS)
    if hint < SEEDS:
        yield hint
    yield from range(SEEDS)


def read_hints() -> dict[str, int]:
    """The seed that found each bug when the hints were saved."""
    lines = (line.split() for line in HINTS.read_text().splitlines())
    return {name: int(seed) for name, seed in lines}


def save_hints(found: dict[str, int]) -> None:
    """Save these seeds beside those of other bugs."""
    hints = {name: seed for name, seed in (read_hints() | found).items() if name in BUGS}
    HINTS.write_text("".join(f"{name} {hints[name]}\n" for name in sorted(hints)))


def table(finds: dict[str, Outcome | None]) -> Iterator[str]:
    """Which seed and which oracle found which bug."""
    for name, found in finds.items():
        told = (
            f"{found.plan.seed:>4}  {found.oracle:<11} {found.violation[:90]}" if found else "----"
        )
        yield f"{name:<40} {told}"


def options_of(arguments: list[str]) -> argparse.Namespace:
    """Which bugs are looked for, and how; an unknown one ends the program with a message."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation.bugs",
        description="Look for the seeds that find planted bugs, and print them with the oracle.",
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="a bug; by default, all of them")
    parser.add_argument("--save", action="store_true", help="save the seeds as hints")
    parser.add_argument("--hinted", action="store_true", help="try the hints first")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in BUGS]:
        parser.error(f"there is no bug {', '.join(unknown)}")
    return options


def main(arguments: list[str]) -> None:
    options = options_of(arguments)
    began = time.process_time()
    names = options.names or list(BUGS)
    hints = read_hints() if options.hinted else {}
    seeds: dict[str, int] = {}
    for name in names:
        found = first_find(BUGS[name], hinted(name, hints))
        right = found is not None and found.oracle in BUGS[name].oracles
        if found is not None and right:
            seeds[name] = found.plan.seed
        (line,) = table({name: found})
        sys.stdout.write(f"{'    ' if right else '!!! '}{line}\n")
        sys.stdout.flush()
    if options.save:
        save_hints(seeds)
    sys.stdout.write(f"{len(names)} bugs, {time.process_time() - began:.0f} s\n")


if __name__ == "__main__":
    main(sys.argv[1:])
