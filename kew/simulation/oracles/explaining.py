"""An explanation is true: what it names holds the task back, all that does is named, and the instant is right.

Each claim is preceded by an explanation of some waiting task, and users ask for others. What the claim then does to the
task is judged by conditions that are written here a second time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

import attrs

from kew.app.ports import Claim, Explain, Extend, Sweep, Watch
from kew.compat import override
from kew.domain import reasons
from kew.domain.breaker import Breaker, allowance, judged, returned
from kew.domain.errors import EXPIRED
from kew.domain.explaining import Code, Explanation, Situation, Sure
from kew.domain.key_limits import next_end
from kew.domain.keys import key_of
from kew.domain.ordering import order_key
from kew.domain.rate import judged as judged_log
from kew.domain.rate import read_logs, room, units_of
from kew.domain.requests import ClaimRequest, Grant, holder_of
from kew.domain.sharing import Starved
from kew.domain.situation import COUNTED_AT_MOST
from kew.domain.task import Task, TaskStatus, can_run, unstarted_until
from kew.simulation.facts import Facts
from kew.simulation.oracle import Oracle, Step
from kew.simulation.oracles import holds
from kew.simulation.oracles.keys import is_kept_back, is_paced, is_snoozed, limit_of

KEPT: Final = 5  # explanations per queue
OF_TASKS: Final = (
    Code.BREAKER_OPEN,
    Code.RATE,
    Code.DEFERRED,
    Code.RETRYING,
    Code.SNOOZED,
    Code.SLOTS_FULL,
    Code.KEY_FULL,
    Code.KEY_RATE,
    Code.KEY_SNOOZED,
    Code.NO_PROCESS,
    Code.FUNCTION_UNKNOWN,
)
"""With what holds the whole queue back: those that are so, or not, whatever the next claim is."""
OF_KEYS: Final = frozenset({Code.KEY_FULL, Code.KEY_RATE, Code.KEY_SNOOZED})


@attrs.frozen
class Said:
    """What was said of a waiting task, which processes were starved then, and when a key's own limits end (ms)."""

    task: Task
    explanation: Explanation
    starved: Mapping[str, Starved]
    limits_end: int | None

    def codes_at(self, now: int) -> set[Code]:
        """The reasons that have not ended by `now`."""
        return {
            reason.code
            for reason in self.explanation.reasons
            if reason.until_at is None or reason.until_at > now
        }


@cache
def checked() -> frozenset[Code]:
    """The codes that are compared with what holds a task back."""
    return frozenset((*OF_TASKS, *holds()))


class Explaining(Oracle):
    """Compares explanations with what holds at that instant, and with the claims that follow."""

    name = "explaining"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._said: dict[str, list[Said]] = defaultdict(list)
        self._latest = 0

    @override
    def forgot(self) -> None:
        self._said.clear()

    @override
    def judge(self, step: Step) -> Iterator[str]:
        if step.now < self._latest:  # the clock stepped back, for which no explanation allows
            self._said.clear()
        self._latest = step.now
        if isinstance(step.operation, Explain):
            yield from self._explained(step, step.operation.task_id)
        elif step.operation.changes and self._said[step.queue]:
            yield from self._followed(step)

    # --- at the instant itself

    def _explained(self, step: Step, task_id: str) -> Iterator[str]:
        situation: Situation | None = step.reply
        task = step.waiting.get(task_id)
        if situation is None or task is None:
            return
        explanation = reasons.explained(situation)
        found = {reason.code for reason in explanation.reasons}
        expected = set(_held_by(step, task))
        for code in sorted(checked()):
            if (code in found) != (code in expected):
                not_named = "not " if code in expected else ""
                yield f"{task.id}: {code} is {not_named}among {sorted(found)}, against {sorted(expected)}"
        yield from _judge_expiry(step, task, explanation)
        if not situation.takes_turns:
            yield from _judge_position(step, task, explanation, is_counted=situation.is_counted)
        if explanation.sure is Sure.NEVER and not found & {
            Code.PAUSED,
            Code.NO_PROCESS,
            Code.FUNCTION_UNKNOWN,
            Code.EXPIRED,
        }:
            yield f"{task.id} never runs, it is said, for {sorted(found)}"
        assert step.indexed is not None
        ends = next_end(step.indexed.key_limits, step.now)
        self._said[step.queue].append(Said(task, explanation, dict(step.indexed.starved), ends))
        del self._said[step.queue][:-KEPT]

    # --- what the next operations do

    def _followed(self, step: Step) -> Iterator[str]:
        said = self._said.pop(step.queue)
        if _is_harmless(step):
            self._said[step.queue] = said
        if not (isinstance(step.operation, Claim) and step.is_fresh_claim) or _has_recovered(step):
            return
        assert step.grant is not None
        assert step.request is not None
        for one in said:
            if one.limits_end is not None and one.limits_end <= step.now:
                continue  # what a key may do is something else now
            granted = next((task for task in step.grant.tasks if task.id == one.task.id), None)
            if granted is not None:
                yield from _judge_start(step, one)
            elif step.waiting.get(one.task.id) is one.task:
                yield from _judge_wait(step, one, step.request, step.grant)
                if _still_holds(step, one) and not _was_overtaken(one, step.grant):
                    self._said[step.queue].append(one)


def _has_recovered(step: Step) -> bool:
    """Leases ended or tasks expired: something else happened."""
    ended = (task.lease_until <= step.now for task in step.leased_before.values())
    gone = (one.new is not None and one.new.error.startswith(EXPIRED) for one in step.alterations)
    return any(ended) or any(gone)


def _is_harmless(step: Step) -> bool:
    """It changes nothing that an explanation depends on."""
    match step.operation:
        case Extend() | Watch():
            return True
        case Sweep():
            return not step.alterations and step.after is step.before
        case _:
            return False


def _still_holds(step: Step, said: Said) -> bool:
    """After a claim: it took nothing, or what was said of that instant allows for all that may start before."""
    assert step.indexed is not None
    is_expected = not step.alterations or said.explanation.sure is Sure.EXACT
    return is_expected and dict(step.indexed.starved) == said.starved


def _judge_start(step: Step, said: Said) -> Iterator[str]:
    """It has just started."""
    held = said.codes_at(step.now) & checked()
    if held:
        yield f"{said.task.id} started, but {said.explanation} ({sorted(held)})"
    earliest_at = said.explanation.earliest_at
    if earliest_at is not None and step.now < earliest_at:
        yield f"{said.task.id} started {earliest_at - step.now} ms before the earliest instant"


def _judge_wait(step: Step, said: Said, request: ClaimRequest, grant: Grant) -> Iterator[str]:
    """A claim left it where it is."""
    assert step.indexed is not None
    known = step.indexed.functions.get(request.incarnation, ())
    if not can_run(request.incarnation, known, said.task.call.function):
        return
    codes = said.codes_at(step.now)
    has_ended = len(codes) < len(said.explanation.reasons)
    if has_ended and said.explanation.sure is not Sure.EXACT:
        return  # other tasks may have come first meanwhile
    if not codes:
        if said.starved and said.explanation.sure is not Sure.EXACT:
            return  # free slots go by turns, and time alone passes the turn on
        if _was_overtaken(said, grant):
            return
        yield (
            f"{said.task.id} was left by a claim of {request.incarnation} that can run it, "
            f"but {said.explanation} ({said.explanation.sure})"
        )
    elif not codes & checked():
        yield from _judge_share(step, said, request, grant, codes)


def _was_overtaken(said: Said, grant: Grant) -> bool:
    """No claim came at the earliest instant, and by this one a task that comes first was due, too."""
    earliest_at = said.explanation.earliest_at
    return earliest_at is not None and any(
        order_key(one) < order_key(said.task) and one.ready_at > earliest_at for one in grant.tasks
    )


def _judge_share(
    step: Step, said: Said, request: ClaimRequest, grant: Grant, codes: set[Code]
) -> Iterator[str]:
    """Slots were free, but not for this task: others came first, or the process got no part."""
    held = sum(holder_of(task.lease) == request.incarnation for task in step.leased_before.values())
    if grant.tasks and not codes & {Code.BEHIND, *OF_KEYS}:
        yield f"{said.task.id} came after {len(grant.tasks)} others, but {said.explanation}"
    is_same_turn = not said.starved or step.now == said.explanation.now  # time alone passes it on
    has_no_part = not grant.tasks and held == request.holds and is_same_turn
    waits = _waits_for_the_rate(step, said.task) or is_kept_back(step, said.task)
    is_held_up = Code.BEHIND in codes and waits
    if has_no_part and not is_held_up and not codes & {Code.PROCESS_SHARE, *OF_KEYS}:
        yield f"{said.task.id}: {request.incarnation} got no part, but {said.explanation}"


# --- the conditions


def _held_by(step: Step, task: Task) -> Iterator[Code]:
    """What holds a waiting task back, by all that the observer knows."""
    assert step.after is not None
    assert step.indexed is not None
    settings = step.after.settings
    present = [who for who, until in step.presence.items() if until > step.now]
    functions = step.indexed.functions
    able = [who for who in present if can_run(who, functions.get(who, ()), task.call.function)]
    if not present:
        yield Code.NO_PROCESS
    if not able and (present or task.call.pinned_to):
        yield Code.FUNCTION_UNKNOWN
    yield from (code for code, is_held in holds().items() if is_held(step.after, step.now))
    if allowance(_breaker(step), settings) == 0:
        yield Code.BREAKER_OPEN
    if _has_used_up_a_rate(step, task):
        yield Code.RATE
    if task.ready_at > step.now:
        yield _waits_until_due(task)
    if len(_live(step)) >= settings.max_workers:
        yield Code.SLOTS_FULL
    key = key_of(task.call)
    if key and 0 < limit_of(step, key) <= sum(key_of(one.call) == key for one in _live(step)):
        yield Code.KEY_FULL
    if is_paced(step, task):
        yield Code.KEY_RATE
    if is_snoozed(step, task):
        yield Code.KEY_SNOOZED


def _waits_until_due(task: Task) -> Code:
    if task.status is TaskStatus.RETRY:
        return Code.RETRYING
    return Code.SNOOZED if ":snooze_" in task.settled else Code.DEFERRED


def _has_used_up_a_rate(step: Step, task: Task) -> bool:
    """By the logs of starts, which the oracle `rate` compares with what really started."""
    assert step.after is not None
    state = step.after
    if not state.settings.rates:
        return False
    logs = read_logs(state.gates.get("rate", ()), state.settings.rates)
    units = units_of(task.call.cost, state.settings.rates)
    return any(
        room(judged_log(log, setting, step.now), setting, step.now) < units
        for log, setting in zip(logs, state.settings.rates, strict=True)
    )


def _waits_for_the_rate(step: Step, task: Task) -> bool:
    """Another task of this priority or a higher one is due that costs more than a rate has left: none overtakes it."""
    return any(
        one.id != task.id
        and one.ready_at <= step.now
        and one.call.priority <= task.call.priority
        and _has_used_up_a_rate(step, one)
        for one in step.waiting.values()
    )


def _live(step: Step) -> list[Task]:
    """The leases that the next claim doesn't recover."""
    return [task for task in step.leased.values() if task.lease_until > step.now]


def _breaker(step: Step) -> Breaker:
    """As the next claim finds it: the probes of ended leases are free again."""
    assert step.after is not None
    breaker = judged(step.after.breaker, step.after.settings, step.now)
    for task in step.leased.values():
        if task.lease_until <= step.now:
            breaker = returned(breaker, epoch=task.epoch)
    return breaker


def _judge_expiry(step: Step, task: Task, explanation: Explanation) -> Iterator[str]:
    """It is said to expire if it has, or will before the last instant that is known to hold it back."""
    others = (each.until_at for each in explanation.reasons if each.until_at is not None)
    until, last = unstarted_until(task), max(others, default=step.now)
    expires = until is not None and until <= max(last, step.now)
    if expires != any(reason.code is Code.EXPIRED for reason in explanation.reasons):
        yield f"{task.id} is startable until {until}, now is {step.now}, but {explanation}"


def _judge_position(
    step: Step, task: Task, explanation: Explanation, *, is_counted: bool
) -> Iterator[str]:
    """No more tasks come first than wait, or will again; and without any, none of its own function does.

    If not all are counted, the position is the least that it can be, and there must be many.
    """
    horizon = max([step.now, *(r.until_at for r in explanation.reasons if r.until_at is not None)])
    ended = [one for one in step.leased.values() if one.lease_until <= step.now]
    before = [
        one
        for one in (*step.waiting.values(), *ended)
        if order_key(one) < order_key(task) and one.ready_at <= horizon
    ]
    alike = Counter(one.call.function for one in before)[task.call.function]
    positions = [reason.position for reason in explanation.reasons if reason.code is Code.BEHIND]
    position = positions[0] if positions else 0
    least = alike if is_counted else min(alike, position or 0)
    is_cut = is_counted or len(before) >= COUNTED_AT_MOST
    if position is None or not least <= position <= len(before) or not is_cut:
        yield f"{task.id} is behind {position} tasks, it is said; {len(before)} come first, {alike} of its function"


ORACLE = Explaining
