"""Spans by OpenTelemetry: one for each submit, one for each attempt, and links between them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import attrs
from opentelemetry import context, trace
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TracerProvider,
    TraceState,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from kew import TaskQueueError, TaskQueueManager
from kew.app.tracing import AttemptSpan, SendSpan, Tracer
from kew.compat import override
from kew.domain.events import Failed, NotStarted, Released, SettleEvent, Snoozed, Succeeded
from kew.domain.task import Task
from kew.tracing import names
from kew.version import VERSION

PROPAGATOR: Final = TraceContextTextMapPropagator()
WRITTEN: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?: (.*))?$")
NOWHERE: Final = context.Context()
OUTCOMES: Final[Mapping[type, str]] = {
    Succeeded: names.SUCCEEDED,
    Failed: names.RETRIED,  # FAILED, if no other attempt follows
    Snoozed: names.SNOOZED,
    Released: names.RELEASED,
    NotStarted: names.RELEASED,
}


def instrument(
    manager: TaskQueueManager,
    *,
    tracer_provider: TracerProvider | None = None,
    same_trace: bool = False,
) -> None:
    """Trace the submits and the attempts of this manager. Call it before `initialize()`, or raise `TaskQueueError`.

    `tracer_provider` None: the global one. An attempt's span links to that of the submit, and begins a trace of its
    own; with `same_trace`, it is a child of the submit's span instead, and links to it as well.
    """
    if manager._process is not None:
        raise TaskQueueError(
            "instrument(manager) comes too late: call it before `await manager.initialize()`"
        )
    tracer = trace.get_tracer(names.SCOPE, VERSION, tracer_provider)
    manager._tracer = OpenTelemetry(tracer, same_trace=same_trace)


def to_text(span: Span) -> str:
    """Its W3C context for a record: "traceparent", or "traceparent tracestate"."""
    carrier: dict[str, str] = {}
    PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
    return " ".join(carrier[name] for name in ("traceparent", "tracestate") if name in carrier)


def from_text(text: str) -> SpanContext | None:
    """The span that `to_text` wrote down; None if there is none, or if it can't be read."""
    found = WRITTEN.match(text)
    if found is None:
        return None
    trace_id, span_id, flags, state = found.groups()
    # Not by the propagator, which would take half of what a span costs.
    place = SpanContext(
        int(trace_id, 16),
        int(span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(flags, 16)),
        trace_state=TraceState.from_header([state]) if state else None,
    )
    return place if place.is_valid else None


@attrs.frozen
class Origin:
    """The span of a submit, for the attempts of its tasks: their links to it, and a context below it."""

    links: tuple[Link, ...]
    below: context.Context


@lru_cache(maxsize=1024)
def _origin(text: str) -> Origin | None:
    found = from_text(text)
    if found is None:
        return None
    return Origin((Link(found),), trace.set_span_in_context(NonRecordingSpan(found), NOWHERE))


@lru_cache(maxsize=1024)
def _of_queue(operation: str, queue: str) -> tuple[str, Mapping[str, str]]:
    """The name of a span, and the attributes that all spans of the queue have."""
    attributes = {
        names.MESSAGING_SYSTEM: names.SYSTEM,
        names.MESSAGING_DESTINATION: queue,
        names.MESSAGING_OPERATION_NAME: operation,
        names.MESSAGING_OPERATION_TYPE: operation,
    }
    return names.span_name(operation, queue), attributes


class OpenTelemetry(Tracer):
    """kew's tracer on OpenTelemetry's API."""

    def __init__(self, tracer: trace.Tracer, *, same_trace: bool) -> None:
        self._tracer = tracer
        self._same_trace = same_trace

    @override
    def sending(self, queue: object, task_id: object, tasks: int) -> SendSpan:
        name, shared = _of_queue(names.SEND, str(queue))
        attributes: dict[str, Any] = {**shared}
        if task_id is None:
            attributes[names.MESSAGING_BATCH_COUNT] = tasks
        else:
            attributes[names.MESSAGING_MESSAGE_ID] = str(task_id)
        span = self._tracer.start_span(name, kind=SpanKind.PRODUCER, attributes=attributes)
        return Sending(span, always=self._same_trace)

    @override
    def attempt(self, task: Task, process: str) -> AttemptSpan | None:
        call = task.call
        origin = _origin(call.trace) if call.trace else None
        name, shared = _of_queue(names.PROCESS, task.queue)
        span = self._tracer.start_span(
            name,
            context=origin.below if self._same_trace and origin else NOWHERE,
            kind=SpanKind.CONSUMER,
            attributes={  # all of them: a sampler decides by what it is given here
                **shared,
                names.MESSAGING_MESSAGE_ID: call.id,
                names.MESSAGING_CLIENT_ID: process,
                names.TASK_FUNCTION: call.function,
                names.TASK_TYPE: call.task_type,
                names.TASK_ATTEMPT: task.attempt,
                names.TASK_FAILURES: task.failures,
            },
            links=origin.links if origin else None,
        )
        # Not detached: the context is the attempt's own and new, and is discarded with it. Without a span that isn't
        # sampled in it, the sampler would be asked again for what the task does.
        context.attach(trace.set_span_in_context(span, NOWHERE))
        return Attempt(span) if span.is_recording() else None


class Sending(SendSpan):
    """`always`: the record has the context even of a span that is not recorded, for a sampler that follows it."""

    def __init__(self, span: Span, *, always: bool) -> None:
        self._span = span
        self._always = always

    @override
    def trace(self) -> str:
        sampled = self._span.get_span_context().trace_flags.sampled
        return to_text(self._span) if sampled or self._always else ""

    @override
    def end(self, error: BaseException | None) -> None:
        if error is not None:
            _fail(self._span, error)
        self._span.end()


class Attempt(AttemptSpan):
    """One attempt, with its outcome."""

    def __init__(self, span: Span) -> None:
        self._span = span

    @override
    def end(self, event: SettleEvent | None, error: BaseException | None) -> None:
        span = self._span
        outcome = OUTCOMES.get(type(event), names.DISCARDED)
        if isinstance(event, Failed) and event.retry_after_ms is None:
            outcome = names.FAILED
        span.set_attribute(names.TASK_OUTCOME, outcome)
        if isinstance(event, Failed) and event.retry_after_ms is not None:
            span.set_attribute(names.TASK_RETRY_DELAY, event.retry_after_ms / 1000)
        if error is not None and outcome in (names.RETRIED, names.FAILED):
            _fail(span, error)
        span.end()


def _fail(span: Span, error: BaseException) -> None:
    kind = type(error)
    span.set_attribute(
        names.ERROR_TYPE, f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    )
    span.record_exception(error)
    span.set_status(StatusCode.ERROR, str(error))
