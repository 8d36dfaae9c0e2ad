"""Submits with a span around each, whose context the records of its tasks carry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import attrs

from kew.app.info import TaskInfo
from kew.app.submitting.encoding import Call, CallEncoder
from kew.app.submitting.submit_future import SubmitFuture
from kew.app.submitting.submitter import Submitter
from kew.app.submitting.taken import RAISE, SubmittedTasks
from kew.app.tracing import SendSpan, Tracer
from kew.compat import override
from kew.domain.task import Submission

T = TypeVar("T")
TRACE: Final = ContextVar[str]("kew_trace", default="")
"""The context of the submit at hand, for the records of its tasks."""


class TracingEncoder(CallEncoder):
    """Puts the context of the submit at hand into each submission."""

    @override
    def prepare(
        self, call: Call, default_priority: int, queue: str = "", works: bool = True
    ) -> Submission:
        submission = super().prepare(call, default_priority, queue, works)
        trace = TRACE.get()
        return attrs.evolve(submission, trace=trace) if trace else submission


class TracingSubmitter(Submitter):
    """Submits, each time with a span around it."""

    def __init__(self, tracer: Tracer, *args: Any) -> None:
        super().__init__(*args)
        self._tracer = tracer

    @override
    def one(self, queue: str, call: Call, convert: Callable[[TaskInfo], T]) -> SubmitFuture[T]:
        span = self._tracer.sending(queue, call.task_id, 1)
        with _within(span):
            submit = super().one(queue, call, convert)

        def ended(done: asyncio.Future[T]) -> None:
            # Not by `exception()`: it would count as retrieved.
            span.end(asyncio.CancelledError() if done.cancelled() else done._exception)

        submit.add_done_callback(ended)
        return submit

    @override
    async def many(
        self,
        queue: str,
        tasks: Sequence[Mapping[str, Any]],
        new_task_id: Callable[[str], str],
        if_exists: object = RAISE,
    ) -> SubmittedTasks:
        span = self._tracer.sending(
            queue, None, len(tasks) if isinstance(tasks, list | tuple) else 0
        )
        with _within(span):
            infos = await super().many(queue, tasks, new_task_id, if_exists)
        span.end(None)
        return infos


@contextmanager
def _within(span: SendSpan) -> Iterator[None]:
    """Prepare calls of this submit; an error ends its span."""
    token = TRACE.set(span.trace())
    try:
        yield
    except BaseException as error:
        span.end(error)
        raise
    finally:
        TRACE.reset(token)
