"""What about a queue needs a person's attention, in words, with the command that helps."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any, Final, Literal

import attrs

from kew.app.ports import QueueStatus
from kew.domain.breaker import BreakerState, reopens_at
from kew.domain.draining import is_draining
from kew.domain.failures import CountedFailure
from kew.domain.gates.snoozed import snoozed_until
from kew.domain.holding import DRAINING, PAUSED
from kew.domain.task import PINNED
from kew.domain.words import clock_text, in_line, lasting, listed, since_text, tasks_text

Severity = Literal["critical", "warning", "info"]
SEVERITIES: Final = ("critical", "warning", "info")
LONG_WAIT_MS: Final = 5 * 60_000


@attrs.frozen
class Attention:
    """Something that keeps a queue's tasks from running, or soon will.

    `code` is stable; `action` is the command that helps, or "" if nothing has to be done.
    """

    severity: Severity
    code: str
    queue: str
    text: str
    action: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dict(zip(NAMES, _values_of(self), strict=True))


NAMES: Final = tuple(field.name for field in attrs.fields(Attention))
_values_of = attrgetter(*NAMES)


def attention(status: QueueStatus) -> list[Attention]:
    """All that needs attention, the most severe first."""
    looks = (_breaker, _processes, _full, _functions, _held, _waits, _dead_letters, _lost, _records)
    return by_severity(*(each for look in looks for each in look(status)))


def starting(queue: str) -> str:
    """What to do where no process works on a queue."""
    return f"start a worker: kew worker MODULE:MANAGER --queues {queue}"


def by_severity(*found: Attention) -> list[Attention]:
    """The most severe first."""
    return sorted(found, key=lambda each: SEVERITIES.index(each.severity))


def _breaker(status: QueueStatus) -> Iterator[Attention]:
    breaker, settings, name = status.state.breaker, status.state.settings, status.name
    if breaker.state is BreakerState.OPEN:
        left = lasting(reopens_at(breaker, settings) - status.now_ms)
        text = (
            f"the circuit breaker has been open since {clock_text(breaker.opened_at)}, "
            f"and lets a probe through in {left}{_errors(status.counted)}"
        )
        yield Attention("critical", "breaker_open", name, text, f"kew breaker close {name}")
    elif breaker.state is BreakerState.HALF_OPEN:
        text = "the circuit breaker is half open: the outcome of a probe closes or opens it"
        yield Attention("warning", "breaker_half_open", name, text, f"kew breaker close {name}")


def _errors(counted: Sequence[CountedFailure]) -> str:
    """The errors that opened a breaker, each once, the most frequent first."""
    lines = Counter(in_line(each.error) for each in counted if each.error)
    named = [
        text if count == 1 else f"{text} ({count} times)" for text, count in lines.most_common()
    ]
    return f"; it was opened by {listed(named, len(named))}" if named else ""


def _processes(status: QueueStatus) -> Iterator[Attention]:
    waiting = sum(status.waiting.values())
    if waiting and not status.workers:
        text = f"{_wait(waiting)}, and no process works on the queue"
        yield Attention("critical", "no_process", status.name, text, starting(status.name))


def _full(status: QueueStatus) -> Iterator[Attention]:
    state, waiting = status.state, sum(status.waiting.values())
    if is_draining(state.settings) or waiting < state.settings.max_size:
        return
    text = f"the queue is full: {waiting:,} of {state.settings.max_size:,} tasks wait, and submits are refused"
    action = f"kew queue set {status.name} max_size={2 * state.settings.max_size}"
    yield Attention("critical", "full", status.name, text, action)


def _functions(status: QueueStatus) -> Iterator[Attention]:
    if not status.workers:
        return  # no process knows any function: that is another trouble
    for function, tasks in status.stuck.items():
        if function.startswith(PINNED):
            text = f"{_wait(tasks)} for closures of a process that doesn't work on the queue now"
            yield Attention("warning", "function_unknown", status.name, text)
        else:
            text = f"{_wait(tasks)} for function {function}, which no live process has registered"
            action = (
                "start a worker that registers it, "
                f"or: kew queue purge {status.name} --function {shlex.quote(function)}"
            )
            yield Attention("critical", "function_unknown", status.name, text, action)


def _held(status: QueueStatus) -> Iterator[Attention]:
    state, resume = status.state, f"kew queue resume {status.name}"
    if state.paused:
        text = f"paused{since_text(state.holds.get(PAUSED))}"
        yield Attention("warning", "paused", status.name, text, resume)
    if is_draining(state.settings):
        text = f"draining{since_text(state.holds.get(DRAINING))}: it accepts no tasks"
        yield Attention("warning", "draining", status.name, text, resume)
    until = snoozed_until(state)
    if until is not None and until > status.now_ms:
        text = f"snoozed by a task for another {lasting(until - status.now_ms)}"
        yield Attention("info", "snoozed", status.name, text, resume)


def _waits(status: QueueStatus) -> Iterator[Attention]:
    """For long, though nothing else that is reported holds tasks back."""
    state, oldest, name = status.state, status.oldest_at, status.name
    waited = 0 if oldest is None else status.now_ms - oldest
    if waited < LONG_WAIT_MS or state.paused or not status.workers or status.stuck:
        return
    if state.breaker.state is not BreakerState.CLOSED or snoozed_until(state) is not None:
        return
    most, used = state.settings.max_workers, status.held
    text = f"the oldest task has waited for {lasting(waited)}, with {used} of {most} slots in use"
    action = (
        f"kew queue set {name} max_workers={2 * most}" if used >= most else f"kew queue show {name}"
    )
    yield Attention("warning", "waits_long", name, text, action)


def _dead_letters(status: QueueStatus) -> Iterator[Attention]:
    if not status.dead:
        return
    name, failed = status.name, status.rates.failed
    text = f"{tasks_text(status.dead)} failed for good, and can be replayed"
    if failed:
        text = f"{tasks_text(status.dead)} failed for good, lately {_number(failed)} more a minute"
    yield Attention(
        "warning" if failed else "info", "dead_letters", name, text, f"kew dead groups {name}"
    )


def _lost(status: QueueStatus) -> Iterator[Attention]:
    if status.rates.lost:
        text = (
            f"lately {_number(status.rates.lost)} tasks a minute lost their worker; they run again"
        )
        yield Attention("warning", "lost", status.name, text, "kew process ls")


def _records(status: QueueStatus) -> Iterator[Attention]:
    if status.unreadable:
        text = f"{tasks_text(status.unreadable)} can't be read: another program changed the record"
        yield Attention("warning", "unreadable", status.name, text)
    if status.newer:
        text = f"{_wait(status.newer)} for processes of a newer version"
        yield Attention("warning", "newer", status.name, text, "start a worker of that version")


def _number(of_tasks: float) -> str:
    return f"{of_tasks:.0f}" if of_tasks >= 10 else f"{of_tasks:.1f}"


def _wait(tasks: int) -> str:
    return f"{tasks_text(tasks)} {'waits' if tasks == 1 else 'wait'}"
