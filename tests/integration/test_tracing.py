"""Traces of tasks: the spans that the SDK's exporter gets, with the context carried through the store."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
)
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
)

from kew import (
    QueueConfig,
    QueueNotFoundError,
    Snooze,
    TaskAlreadyExistsError,
    TaskFailedError,
    TaskQueueError,
    TaskQueueManager,
)
from kew.app.ports import Find
from kew.domain.task import Task
from kew.tracing import instrument, names
from kew.tracing.spans import from_text, to_text

QUEUE = QueueConfig("q", max_retries=2, retry_delay=0.001, max_circuit_breaker_failures=None)
attempts: list[int] = []


class Traces:
    """A program's set-up of OpenTelemetry, whose spans stay in memory."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("shop")

    def called(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        [span] = self.called(name)
        return span


class ByName(Sampler):
    """Samples every span but those of attempts, and keeps the attributes that it was given."""

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}

    def should_sample(
        self,
        parent_context: Any,
        trace_id: int,
        name: str,
        kind: Any = None,
        attributes: Any = None,
        *more: Any,
        **_: Any,
    ) -> SamplingResult:
        self.attributes[name] = dict(attributes or {})
        is_attempt = name.startswith(names.PROCESS)
        return SamplingResult(Decision.DROP if is_attempt else Decision.RECORD_AND_SAMPLE)

    def get_description(self) -> str:
        return "by name"


def place(span: ReadableSpan) -> tuple[int, int]:
    found = span.get_span_context()
    assert found is not None
    return found.trace_id, found.span_id


def links(span: ReadableSpan) -> list[tuple[int, int]]:
    return [(link.context.trace_id, link.context.span_id) for link in span.links]


def attributes(spans: Sequence[ReadableSpan], name: str) -> list[Any]:
    return [(span.attributes or {}).get(name) for span in spans]


@asynccontextmanager
async def traced(url: str, traces: Traces, **options: Any) -> AsyncIterator[TaskQueueManager]:
    """A process that submits and works."""
    manager = TaskQueueManager(url, process_name="web-1")
    instrument(manager, tracer_provider=traces.provider, **options)
    async with manager:
        await manager.create_queue(QUEUE)
        yield manager


async def returns(number: int) -> int:
    return number


async def fails_twice() -> str:
    attempts.append(1)
    if len(attempts) < 3:
        raise KeyError("not yet")
    return "at last"


async def fails() -> None:
    raise ValueError("no room")


async def comes_back() -> str:
    attempts.append(1)
    if len(attempts) < 2:
        raise Snooze(after=0.001)
    return "back"


@pytest.fixture(autouse=True)
def _from_the_start() -> None:
    attempts.clear()


async def test_the_attempt_links_to_the_submit_by_the_messaging_conventions(store_url: str):
    traces = Traces()
    async with traced(store_url, traces) as manager:
        with traces.tracer.start_as_current_span("request") as request:
            handle = await manager.task(queue="q")(returns).options(task_id="t").submit(7)
        assert await handle.result() == 7
    send, process = traces.one("send q"), traces.one("process q")
    assert (send.kind, process.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert send.parent is not None
    assert send.parent.span_id == request.get_span_context().span_id
    assert links(process) == [place(send)]
    assert process.parent is None
    assert dict(send.attributes or {}) == {
        "messaging.system": "kew",
        "messaging.destination.name": "q",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.message.id": "t",
    }
    seen = dict(process.attributes or {})
    assert str(seen.pop("messaging.client.id"))
    assert seen == {
        "messaging.system": "kew",
        "messaging.destination.name": "q",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.message.id": "t",
        "kew.task.function": f"{__name__}:returns",
        "kew.task.type": "returns",
        "kew.task.attempt": 1,
        "kew.task.failures": 0,
        "kew.task.outcome": "succeeded",
    }


async def test_another_process_continues_the_trace_if_it_is_told_to(clean_redis_url: str):
    web, worker = Traces(), Traces()
    submitting = TaskQueueManager(clean_redis_url)
    instrument(submitting, tracer_provider=web.provider)
    async with traced(clean_redis_url, worker, same_trace=True) as working, submitting:
        working.register(returns)
        await submitting.submit_task("t", "q", "t", returns, None, 1)
        await submitting.handle("t").result()
    send, process = web.one("send q"), worker.one("process q")
    assert process.parent is not None
    assert (process.parent.trace_id, process.parent.span_id) == place(send)
    assert links(process) == [place(send)]


async def test_each_retry_is_a_span_with_its_number_its_error_and_its_outcome(store_url: str):
    traces = Traces()
    async with traced(store_url, traces) as manager:
        handle = await manager.task(queue="q")(fails_twice).submit()
        assert await handle.result() == "at last"
    spans = traces.called("process q")
    assert attributes(spans, names.TASK_ATTEMPT) == [1, 2, 3]
    assert attributes(spans, names.TASK_OUTCOME) == ["retried", "retried", "succeeded"]
    assert attributes(spans, names.ERROR_TYPE) == ["KeyError", "KeyError", None]
    assert attributes(spans, names.TASK_RETRY_DELAY)[0] == 0.001
    assert [span.status.status_code for span in spans] == [
        StatusCode.ERROR,
        StatusCode.ERROR,
        StatusCode.UNSET,
    ]
    assert [event.name for event in spans[0].events] == ["exception"]
    assert {tuple(links(span)) for span in spans} == {(place(traces.one("send q")),)}


async def test_the_last_failure_and_a_snooze_are_told_apart(store_url: str):
    traces = Traces()
    async with traced(store_url, traces) as manager:
        bad = await manager.task(queue="q", max_retries=0)(fails).submit()
        with pytest.raises(TaskFailedError):
            await bad.result()
        later = await manager.task(queue="q")(comes_back).submit()
        assert await later.result() == "back"
    spans = traces.called("process q")
    assert attributes(spans, names.TASK_OUTCOME) == ["failed", "snoozed", "succeeded"]
    assert attributes(spans, names.ERROR_TYPE) == ["ValueError", None, None]


async def test_what_a_task_does_is_below_its_span_also_in_a_thread(store_url: str):
    traces = Traces()

    def plain() -> None:
        with traces.tracer.start_as_current_span("in a thread"):
            pass

    async def parent() -> None:
        with traces.tracer.start_as_current_span("inside"):
            await manager.submit_task("child", "q", "t", plain)

    async with traced(store_url, traces) as manager:
        await manager.submit_task("parent", "q", "t", parent)
        await manager.handle("parent").result()
        await manager.handle("child").result()
    processed = {
        (span.attributes or {})[names.MESSAGING_MESSAGE_ID]: place(span)
        for span in traces.called("process q")
    }
    for name, owner in (("inside", "parent"), ("in a thread", "child")):
        above = traces.one(name).parent
        assert above is not None
        assert (above.trace_id, above.span_id) == processed[owner]
    [of_child] = [
        span
        for span in traces.called("send q")
        if (span.attributes or {})[names.MESSAGING_MESSAGE_ID] == "child"
    ]
    assert of_child.parent is not None
    assert of_child.parent.span_id == place(traces.one("inside"))[1]


async def test_a_batch_is_one_span_to_which_each_of_its_tasks_links(store_url: str):
    traces = Traces()
    tasks = [
        {"task_id": f"t{n}", "task_type": "t", "task_func": returns, "args": (n,)} for n in range(3)
    ]
    async with traced(store_url, traces) as manager:
        await manager.submit_tasks("q", tasks)
        for task in tasks:
            await manager.handle(str(task["task_id"])).result()
    send = traces.one("send q")
    assert (send.attributes or {})[names.MESSAGING_BATCH_COUNT] == 3
    assert [links(span) for span in traces.called("process q")] == [[place(send)]] * 3


async def test_a_refused_submit_is_an_error_of_its_span(store_url: str):
    traces = Traces()
    async with traced(store_url, traces) as manager:
        await manager.submit_task("t", "q", "t", returns, None, 1)
        with pytest.raises(TaskAlreadyExistsError):
            await manager.submit_task("t", "q", "t", returns, None, 1)
        one = [{"task_id": "u", "task_type": "t", "task_func": returns, "args": (1,)}]
        with pytest.raises(QueueNotFoundError):
            await manager.submit_tasks("nowhere", one)
        await manager.handle("t").result()
    first, second = traces.called("send q")
    assert (first.status.status_code, second.status.status_code) == (
        StatusCode.UNSET,
        StatusCode.ERROR,
    )
    assert traces.one("send nowhere").status.status_code is StatusCode.ERROR


async def record(manager: TaskQueueManager, task_id: str) -> Task:
    [task] = await manager._here().parts.store.do(Find([task_id]))
    assert isinstance(task, Task)
    return task


@pytest.mark.parametrize("same_trace", [False, True])
async def test_what_is_not_sampled_is_carried_only_to_continue_the_trace(
    store_url: str, same_trace: bool
):
    traces = Traces(ParentBased(ALWAYS_OFF))
    async with traced(store_url, traces, same_trace=same_trace) as manager:
        await manager.submit_task("t", "q", "t", returns, None, 1)
        await manager.handle("t").result()
        assert bool((await record(manager, "t")).call.trace) is same_trace
    assert traces.exporter.get_finished_spans() == ()


async def test_what_an_attempt_does_that_is_not_sampled_is_not_sampled_either(store_url: str):
    traces, seen = Traces(ParentBased(ByName())), []

    async def works() -> None:
        with traces.tracer.start_as_current_span("inside") as span:
            seen.append(span.is_recording())

    async with traced(store_url, traces) as manager:
        await manager.submit_task("t", "q", "t", works)
        await manager.handle("t").result()
    assert seen == [False]
    assert [span.name for span in traces.exporter.get_finished_spans()] == ["send q"]


async def test_a_sampler_sees_the_attributes_of_an_attempt(store_url: str):
    sampler = ByName()
    traces = Traces(ParentBased(sampler))
    async with traced(store_url, traces) as manager:
        await manager.submit_task("t", "q", "mail", returns, None, 1)
        await manager.handle("t").result()
    seen = sampler.attributes["process q"]
    assert (seen[names.MESSAGING_MESSAGE_ID], seen[names.TASK_TYPE]) == ("t", "mail")


async def test_without_tracing_a_record_has_nothing_of_it(clean_redis_url: str):
    async with TaskQueueManager(clean_redis_url) as manager:
        await manager.create_queue(QUEUE)
        await manager.submit_task("t", "q", "t", returns, None, 1)
        assert (await record(manager, "t")).call.trace == ""


async def test_an_interrupted_attempt_ends_its_span(store_url: str):
    traces, begun = Traces(), asyncio.Event()

    async def waits() -> None:
        begun.set()
        await asyncio.Event().wait()

    async with traced(store_url, traces) as manager:
        await manager.submit_task("t", "q", "t", waits)
        await begun.wait()
        await manager.shutdown(timeout=0.01)
    assert attributes([traces.one("process q")], names.TASK_OUTCOME) == ["released"]


async def test_tracing_that_comes_too_late_is_refused():
    async with TaskQueueManager("memory://") as manager:
        with pytest.raises(TaskQueueError, match="call it before"):
            instrument(manager)


@pytest.mark.parametrize("state", ["", "vendor=1,other=a:b"])
def test_a_context_is_read_as_it_was_written(state: str):
    origin = SpanContext(
        0x0AF7651916CD43DD8448EB211C80319C,
        0xB7AD6B7169203331,
        is_remote=True,
        trace_flags=TraceFlags(1),
        trace_state=TraceState.from_header([state]) if state else None,
    )
    text = to_text(NonRecordingSpan(origin))
    assert text.split(" ")[0] == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert from_text(text) == origin


@pytest.mark.parametrize("text", ["", "00", "00-xy", f"00-{'0' * 32}-{'1' * 16}-01", "a b"])
def test_what_is_no_context_links_to_nothing(text: str):
    assert from_text(text) is None


WITHOUT = """
import sys
sys.modules["opentelemetry"] = sys.modules["opentelemetry.trace"] = None
import kew, kew.cli.worker
assert not [name for name in sys.modules if name.startswith("kew.tracing")]
try:
    import kew.tracing
except ImportError as error:
    print(error)
"""


def test_kew_works_without_the_extra_and_tracing_says_how_to_install_it():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True, timeout=60
    )
    assert "tracing is an extra; install it: pip install 'kew[otel]'" in done.stdout


def test_importing_kew_imports_nothing_of_opentelemetry():
    code = "import sys, kew; print([name for name in sys.modules if 'opentelemetry' in name])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
