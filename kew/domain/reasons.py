"""The explanation of a task: a fold over the gates and what else can hold it back, from its situation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from kew.domain.draining import is_draining
from kew.domain.explaining import Code, Explanation, Reason, Situation, Sure
from kew.domain.gates import fold as gates
from kew.domain.gates.key_rate import key_opens_at, key_snoozed_until
from kew.domain.holding import DRAINING
from kew.domain.incarnations import place_of
from kew.domain.keys import key_of
from kew.domain.outcomes import has_snoozed
from kew.domain.requests import holder_of
from kew.domain.task import TaskStatus, unstarted_until
from kew.domain.transitions import expired_text
from kew.domain.words import (
    clock_text,
    in_parentheses,
    lasting,
    listed,
    since_text,
    tasks_text,
    until_text,
)


def explained(situation: Situation) -> Explanation:
    """Why the task isn't running, or that it is, or how it ended."""
    if situation.task.is_terminal:
        return _ended(situation)
    if situation.task.status is TaskStatus.PROCESSING:
        return _running(situation)
    reasons = reasons_of(situation)
    earliest_at, sure = _earliest(situation, reasons)
    text = "; ".join(reason.text for reason in reasons)
    is_next = sure is Sure.EXACT or not situation.starved
    free = "the next claim takes it" if is_next else "it starts when its process's turn comes"
    said = f"it waits: {text}" if text else f"nothing holds it back: {free}"
    return _explanation(
        situation,
        said + _expiry_text(situation) + _draining_text(situation),
        reasons=reasons,
        sure=sure,
        earliest_at=earliest_at,
    )


def _explanation(
    situation: Situation,
    text: str,
    *,
    sure: Sure,
    reasons: tuple[Reason, ...] = (),
    earliest_at: int | None = None,
) -> Explanation:
    return Explanation(
        task_id=situation.task.id,
        status=situation.task.status,
        now=situation.now,
        text=text,
        reasons=reasons,
        sure=sure,
        earliest_at=earliest_at,
    )


def _earliest(situation: Situation, reasons: Iterable[Reason]) -> tuple[int | None, Sure]:
    """When the task can start, and how sure that is: it waits for the last of its reasons."""
    kinds = {reason.sure for reason in reasons}
    if Sure.NEVER in kinds:
        return None, Sure.NEVER
    known = [reason.until_at for reason in reasons if reason.until_at is not None]
    if kinds <= {Sure.EXACT}:
        sure = Sure.EXACT if _is_undisputed(situation) else Sure.ESTIMATE
        return max(known, default=situation.now), sure
    return (max(known), Sure.ESTIMATE) if known else (None, Sure.UNKNOWN)


def _is_undisputed(situation: Situation) -> bool:
    """A slot is free, and no other task can take it until the horizon: this one comes first, or there is no other.

    And the gates and the key's rate are open then, too: a clock that was set back may reach starts that use them up.
    """
    has_room = any(each.has_room for each in situation.candidates)
    state, cost = situation.state, situation.task.call.cost
    is_open = gates.room_at(state, situation.horizon, situation.held, cost) > 0
    is_open = is_open and key_opens_at(situation, situation.horizon) <= situation.horizon
    is_paced = (
        key_opens_at(situation, situation.now) > situation.now
    )  # others of the queue may start before
    claimers = {each.incarnation for each in situation.candidates}
    # A starved process that is no longer present may still take its part.
    is_shared = situation.starved and (
        situation.processes > 1 or situation.starved.keys() - claimers
    )
    is_now = situation.horizon == situation.now
    is_whole_queue = is_now or (situation.horizon > situation.task.ready_at and not is_paced)
    is_first = is_whole_queue and situation.able == situation.processes
    return has_room and is_open and not is_shared and (is_first or not situation.due)


# --- what can hold a waiting task back, besides the gates


def _no_process(situation: Situation) -> Reason | None:
    if situation.processes:
        return None
    text = "no process works on its queue; start one that calls create_queue()"
    return Reason(code=Code.NO_PROCESS, text=text, sure=Sure.NEVER)


def _key_snoozed(situation: Situation) -> Reason | None:
    until_at = key_snoozed_until(situation, situation.now)
    if until_at <= situation.now:
        return None
    when = until_text(until_at, situation.now)
    text = f"a task snoozed its key {key_of(situation.task.call)!r} for another {when}"
    return Reason(code=Code.KEY_SNOOZED, text=text, sure=Sure.EXACT, until_at=until_at)


def _not_due(situation: Situation) -> Reason | None:
    task = situation.task
    if task.ready_at <= situation.now:
        return None
    when = until_text(task.ready_at, situation.now)
    if task.status is TaskStatus.RETRY:
        text = f"its last attempt failed{in_parentheses(task.error)}, and the next is due in {when}"
        return Reason(code=Code.RETRYING, text=text, sure=Sure.EXACT, until_at=task.ready_at)
    if has_snoozed(task):
        text = (
            f"its last attempt asked to come back{in_parentheses(task.error)}, and is due in {when}"
        )
        return Reason(code=Code.SNOOZED, text=text, sure=Sure.EXACT, until_at=task.ready_at)
    text = f"it is deferred, and due in {when}"
    return Reason(code=Code.DEFERRED, text=text, sure=Sure.EXACT, until_at=task.ready_at)


def _host_busy(situation: Situation) -> Reason | None:
    """No process that can run it has a free slot."""
    candidates = situation.candidates
    is_whole = 0 < situation.able == len(candidates)
    if not is_whole or any(each.has_room is not False for each in candidates):
        return None
    named = [f"{place_of(each.incarnation)} runs {each.holds}" for each in candidates]
    busy = listed(named, len(named))
    text = f"all slots of the processes that can run it are taken (max_workers_per_process, max_concurrency): {busy}"
    return Reason(code=Code.HOST_BUSY, text=text)


def _behind(situation: Situation) -> Reason | None:
    if situation.takes_turns:
        return _in_turn(situation)
    if not situation.ahead and situation.is_counted:
        return None
    least = "" if situation.is_counted else "at least "
    text = f"{least}{tasks_text(situation.ahead)} of its queue {'comes' if situation.ahead == 1 else 'come'} first"
    return Reason(code=Code.BEHIND, text=text, position=situation.ahead)


def _expires_before(situation: Situation, reasons: Sequence[Reason]) -> Reason | None:
    """It expires before it can start, as far as is known."""
    until = unstarted_until(situation.task)
    known = (reason.until_at for reason in reasons if reason.until_at is not None)
    if until is None or until > max((situation.now, *known)):
        return None
    text = f"it expires at {clock_text(until)} (expires_in), before it can start"
    if until <= situation.now:
        text = f"it expired at {clock_text(until)} (expires_in), and is about to be cancelled"
    return Reason(code=Code.EXPIRED, text=text, sure=Sure.NEVER)


def _in_turn(situation: Situation) -> Reason | None:
    """Keys take turns: any other task may come first."""
    if not situation.due:
        return None
    text = f"it takes turns with {tasks_text(situation.due)} of its queue, by key"
    return Reason(code=Code.BEHIND, text=text)


ORDER: Final = (Sure.NEVER, Sure.EXACT, Sure.ESTIMATE, Sure.UNKNOWN)


def reasons_of(situation: Situation) -> tuple[Reason, ...]:
    """All that holds a waiting task back, what lasts longest first."""
    found = (
        _no_process(situation),
        *gates.explain(situation),
        _key_snoozed(situation),
        _not_due(situation),
        _host_busy(situation),
        _behind(situation),
    )
    found = (*found, _expires_before(situation, [each for each in found if each is not None]))
    reasons = (reason for reason in found if reason is not None)
    return tuple(sorted(reasons, key=lambda reason: ORDER.index(reason.sure)))


# --- a task that doesn't wait


def _running(situation: Situation) -> Explanation:
    task = situation.task
    place, since = place_of(holder_of(task.lease)), lasting(situation.now - task.started_at)
    if task.lease_until <= situation.now:
        text = f"its worker in {place} no longer extends its lease, so the task is about to be recovered"
    else:
        text = f"attempt {task.attempt} has been running for {since} in {place}"
    if task.cancel_requested:
        text += "; it was asked to stop"
    return _explanation(situation, text, sure=Sure.EXACT, earliest_at=task.started_at)


def _ended(situation: Situation) -> Explanation:
    task = situation.task
    when = f"{lasting(situation.now - task.ended_at)} ago, at {clock_text(task.ended_at)}"
    text = {
        TaskStatus.COMPLETED: f"it completed {when}",
        TaskStatus.FAILED: f"it failed for good {when}{in_parentheses(task.error)}; replay_task() lets it run again",
        TaskStatus.CANCELLED: f"it was cancelled {when}; replay_task() lets it run again",
    }[task.status]
    code = Code.ENDED
    if (
        task.status is TaskStatus.CANCELLED
        and task.call.start_by_ms
        and task.error == expired_text(task)
    ):
        code, text = Code.EXPIRED, f"{task.error}, {when}; replay_task() lets it run again"
    reasons = [Reason(code=code, text=text, sure=Sure.NEVER)]
    if task.status is not TaskStatus.COMPLETED and is_draining(situation.state.settings):
        reasons.append(_no_replay(situation))
    text = "; ".join(reason.text for reason in reasons)
    return _explanation(situation, text, sure=Sure.NEVER, reasons=tuple(reasons))


def _no_replay(situation: Situation) -> Reason:
    since = since_text(situation.state.holds.get(DRAINING))
    text = f"its queue is draining{since}, and accepts it again only after resume_queue()"
    return Reason(code=Code.DRAINING, text=text, sure=Sure.NEVER)


def _expiry_text(situation: Situation) -> str:
    until, now = unstarted_until(situation.task), situation.now
    if until is None or until <= now:
        return ""
    return f"; unless it starts before, it expires in {until_text(until, now)}"


def _draining_text(situation: Situation) -> str:
    """For a waiting task, which draining doesn't hold back."""
    if not is_draining(situation.state.settings):
        return ""
    since = since_text(situation.state.holds.get(DRAINING))
    return f"; its queue is draining{since}: it runs what it has and accepts no other tasks"
