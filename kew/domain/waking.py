"""Who is notified: when there may be something to do for a process, and when a task has ended.

A process that is notified claims. So no more *idle* processes (those whose last claim got less than it wanted) are
notified than there are tasks that may start, and only those that can run what waits, the longest idle first. The
claimer of the same call has looked by itself. In Redis, `lua/include/waking.lua` has the same functions, which look at
a bounded number of tasks and processes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

import attrs

from kew.domain.gates import fold as gates
from kew.domain.gates.functions import opens
from kew.domain.gates.gate import Facts, facts_of
from kew.domain.gates.snoozed import snoozed_until
from kew.domain.task import Task, TaskStatus
from kew.domain.view import QueueState, View

UNFINISHED: Final = frozenset(
    {TaskStatus.FAILED, TaskStatus.CANCELLED}
)  # a replay may begin them again


@attrs.frozen
class Offer:
    """Notify these processes, in this order, until `count` have received it. Those notified are idle no more."""

    count: int = 0
    processes: Sequence[str] = ()


NO_OFFER: Final = Offer()


def offer_waiting(
    view: View, idle: Collection[str], limit: int, now: int, *, claimer: str = ""
) -> Offer:
    """Up to `limit` tasks arrived, or slots were freed, that no claim of this call has taken.

    `claimer`: a process that needs no notification, since it looked itself; "": none.
    """
    if limit <= 0 or not idle or not view.waiting():
        return NO_OFFER
    count = wakes(view, limit, now)
    others = [who for who in idle if who != claimer]
    return Offer(count, helpers(view, others, now)) if count else NO_OFFER


def is_held_differently(before: QueueState, after: QueueState) -> bool:
    """Outcomes opened or closed the breaker, or snoozed the queue: every idle process may start tasks, or none.

    If none, one has to set a timer, whatever the others wait for.
    """
    snoozes = [snoozed_until(state) for state in (before, after)]
    return before.breaker.epoch != after.breaker.epoch or snoozes[0] != snoozes[1]


def offer_all(view: View, idle: Collection[str], now: int) -> Offer:
    """A reason opened, such as a pause, or the settings changed: whatever waits may start."""
    most = min(view.waiting(), view.state.settings.max_workers)
    return offer_waiting(view, idle, most, now)


def invite(view: View, idle: Iterable[str], claimer: str, now: int) -> Offer:
    """A claim reached the limit: one idle process that could start a task, too, so that it becomes known as starved."""
    if gates.room(facts_of(view, view.state, None, now)):
        return NO_OFFER
    strangers = (who for who in idle if who != claimer and who not in view.starved)
    return Offer(1, [who for who in strangers if view.ready(who, now, 1)])


def wakes(view: View, limit: int, now: int) -> int:
    """How many idle processes to wake for what waits: at most `limit`, and no more than may be granted a lease.

    One, if nothing is due, or if time alone brings room, ends of leases left out: it sets a timer.
    """
    facts = Facts(state=gates.judged(view.state, now), now=now, held=view.held())
    free = gates.room(facts)
    if not free:
        is_new = view.waiting() <= limit  # else a process has set the timer before
        return int(is_new and gates.latest_opening(facts) > now)
    return len(view.waiting_by(now, min(limit, free))) or 1


def helpers(view: View, idle: Iterable[str], now: int) -> list[str]:
    """The idle processes that can run what waits: first, for each function, one for which a task is due; then the
    others for which one is due; then those for which one will be. Each of them the longest idle first.
    """
    due, covered = view.due_reasons(now), set[str]()
    ranks: tuple[list[str], list[str], list[str]] = ([], [], [])
    for who in idle:
        known = view.functions_of(who)
        mine = {reason for reason in due if opens(reason, who, known)}
        if not mine <= covered:
            ranks[0].append(who)
            covered |= mine
        elif mine:
            ranks[1].append(who)
        elif view.next_due(who, now) is not None:
            ranks[2].append(who)
    return [who for rank in ranks for who in rank]


def concerned(task: Task) -> Iterable[str]:
    """Whom to notify of a task's end: its watchers, and the process that keeps a closure which did not complete."""
    if not task.is_terminal:
        return ()
    owner = task.call.pinned_to if task.status in UNFINISHED else ""
    return dict.fromkeys((*task.watchers, owner)) if owner else task.watchers
