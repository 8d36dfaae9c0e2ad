"""What one process counts for Prometheus."""

import asyncio
import sys
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import CollectorRegistry

from kew import (
    Observer,
    QueueConfig,
    StoreCall,
    TaskEvent,
    TaskQueueManager,
    WorkerLoss,
    __version__,
)
from kew.exceptions import GiveUp, Retry
from kew.metrics import MetricsObserver
from kew.metrics.names import OF_A_PROCESS
from kew.metrics.observing import MOST_TASKS, OTHER


def samples(registry: CollectorRegistry) -> Iterator[tuple[str, dict[str, str], float]]:
    for family in registry.collect():
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


async def test_the_life_of_each_task_is_counted_by_queue_function_and_outcome():
    registry = CollectorRegistry()
    observer = MetricsObserver(registry)
    async with TaskQueueManager("memory://", observer=observer) as manager:
        await manager.create_queue(QueueConfig("mails", max_retries=1, retry_delay=0.01))

        @manager.task(queue="mails", name="send")
        async def send(fails: int) -> None:
            if fails:
                raise GiveUp("no")

        @manager.task(queue="mails", name="again")
        async def again() -> None:
            raise Retry(after=0.01)

        handles = [await send.submit(n) for n in (0, 0, 1)] + [await again.submit()]
        await asyncio.gather(*(each.result() for each in handles), return_exceptions=True)
    of_send, of_again = {"queue": "mails", "task": "send"}, {"queue": "mails", "task": "again"}
    assert value(registry, "kew_tasks_submitted_total", **of_send) == 3
    settled = "kew_tasks_settled_total"
    assert value(registry, settled, **of_send, outcome="succeeded") == 2
    assert value(registry, settled, **of_send, outcome="failed") == 1
    assert value(registry, settled, **of_again, outcome="retried") == 1
    assert value(registry, settled, **of_again, outcome="failed") == 1
    assert value(registry, "kew_task_wait_seconds_count", **of_send) == 3
    assert value(registry, "kew_task_run_seconds_count", **of_again) == 2


class EventsToo(MetricsObserver):
    """A user's extension, which sees events."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.kinds: list[str] = []

    def on_task(self, event: TaskEvent) -> None:
        self.kinds.append(event.kind)
        super().on_task(event)


@pytest.mark.parametrize("is_waited_for", [False, True])
@pytest.mark.parametrize("kind", [MetricsObserver, EventsToo])
async def test_a_task_is_counted_once_with_or_without_events(
    kind: type[MetricsObserver], is_waited_for: bool
):
    registry, done = CollectorRegistry(), asyncio.Event()
    observer = kind(registry)
    async with TaskQueueManager("memory://", observer=observer) as manager:
        await manager.create_queue(QueueConfig("mails"))

        async def send() -> None:
            if not is_waited_for:
                done.set()

        handle = await manager.task(queue="mails", name="send")(send).submit()
        await (handle.result() if is_waited_for else done.wait())
    labels = {"queue": "mails", "task": "send"}
    assert value(registry, "kew_tasks_submitted_total", **labels) == 1
    assert value(registry, "kew_task_wait_seconds_count", **labels) == 1
    assert value(registry, "kew_task_run_seconds_count", **labels) == 1
    assert value(registry, "kew_tasks_settled_total", **labels, outcome="succeeded") == 1
    if isinstance(observer, EventsToo):
        assert observer.kinds == ["submitted", "started", "succeeded"]


async def test_every_round_trip_is_counted_and_the_search_for_work_has_a_time():
    registry = CollectorRegistry()
    observer = MetricsObserver(registry)
    observer.on_store_call(
        StoreCall(operation="claim", queue="q", seconds=0.002, outcome="refused")
    )
    progress = "kew_claim_last_progress_timestamp_seconds"
    assert value(registry, progress, queue="q") is None
    for operation, queue in (("claim", "q"), ("peek", "other"), ("submit", "third")):
        observer.on_store_call(
            StoreCall(operation=operation, queue=queue, seconds=0.002, outcome="ok")
        )
    calls = "kew_store_calls_total"
    assert value(registry, calls, operation="claim", outcome="refused") == 1
    assert value(registry, calls, operation="claim", outcome="ok") == 1
    assert value(registry, "kew_store_call_seconds_count", operation="claim") == 2
    at = value(registry, progress, queue="q")
    assert at is not None
    assert at > 1_700_000_000
    assert value(registry, progress, queue="other") is not None
    assert value(registry, progress, queue="third") is None


def test_the_leases_of_lost_workers_are_counted():
    registry = CollectorRegistry()
    MetricsObserver(registry).on_worker_lost(WorkerLoss(queue="q", process="web-1:7.x", tasks=3))
    assert value(registry, "kew_leases_lost_total", queue="q") == 3


def test_the_version_is_a_label():
    registry = CollectorRegistry()
    MetricsObserver(registry)
    assert value(registry, "kew_build_info", version=__version__) == 1


async def test_the_loop_lag_of_a_manager_is_read_when_it_is_scraped():
    registry = CollectorRegistry()
    observer = MetricsObserver(registry)
    manager = TaskQueueManager("memory://", observer=observer)
    observer.watch(manager)
    assert value(registry, "kew_loop_lag_seconds") == 0
    async with manager:
        lag = value(registry, "kew_loop_lag_seconds")
        assert lag is not None
        assert lag >= 0


async def test_the_number_of_series_is_bounded_and_no_label_has_an_id():
    registry = CollectorRegistry()
    observer = MetricsObserver(registry)
    async with TaskQueueManager("memory://", observer=observer) as manager:
        await manager.create_queue(QueueConfig("q", max_workers=50), work=False)
        for n in range(MOST_TASKS + 50):
            name = f"f{n}"
            await manager.submit_task(f"id-{n}", "q", name, name_of(manager, name), None)
    tasks = {labels["task"] for _, labels, _ in samples(registry) if "task" in labels}
    assert len(tasks) == MOST_TASKS + 1
    assert OTHER in tasks
    assert value(registry, "kew_tasks_submitted_total", queue=OTHER, task=OTHER) == 50
    assert not [labels for _, labels, _ in samples(registry) if "id-" in str(labels)]


def name_of(manager: TaskQueueManager, name: str) -> Callable[..., object]:
    def function() -> None: ...

    manager.register(function, name=name)
    return function


async def test_a_closure_has_the_name_that_it_has_in_its_process():
    registry = CollectorRegistry()
    async with TaskQueueManager("memory://", observer=MetricsObserver(registry)) as manager:
        await manager.create_queue(QueueConfig("q"))
        await manager.submit_task("t", "q", "closure", lambda: None, None)
    [task] = {labels["task"] for _, labels, _ in samples(registry) if "task" in labels}
    assert "lambda" in task
    assert "@" not in task


@pytest.mark.parametrize("metric", OF_A_PROCESS, ids=lambda metric: metric.name)
def test_each_metric_of_a_process_is_registered_as_it_is_listed(metric):
    registry = CollectorRegistry()
    MetricsObserver(registry)
    [family] = [each for each in registry.collect() if each.name == metric.name]
    assert (family.type, family.documentation) == (metric.kind, metric.text)


def test_times_are_counted_up_to_each_bound():
    registry = CollectorRegistry()
    observer = MetricsObserver(registry)
    for seconds in (0.0001, 0.001, 0.002, 99.0):
        observer.on_store_call(StoreCall(operation="find", queue="", seconds=seconds, outcome="ok"))
    bucket = "kew_store_call_seconds_bucket"
    found = {labels["le"]: count for name, labels, count in samples(registry) if name == bucket}
    assert (found["0.0005"], found["0.001"], found["0.0025"]) == (1, 2, 3)
    assert (found["5.0"], found["+Inf"]) == (3, 4)
    assert value(registry, "kew_store_call_seconds_sum", operation="find") == pytest.approx(99.0031)


async def test_what_a_task_costs_the_observer_is_a_few_python_calls():
    observer = MetricsObserver(CollectorRegistry())
    events: list[TaskEvent] = []

    class Collects(Observer):
        def on_task(self, event: TaskEvent) -> None:
            events.append(event)

    async with TaskQueueManager("memory://", observer=Collects()) as manager:
        await manager.create_queue(QueueConfig("q"))
        await manager.submit_task("t", "q", "digest", len, None, "four")
        await manager.handle("t").result()
    assert [event.kind for event in events] == ["submitted", "started", "succeeded"]
    for event in events:
        observer.on_task(event)  # the first ones make the series
    count = 0

    def note(frame: object, what: str, argument: object) -> None:
        nonlocal count
        count += what in ("call", "c_call")

    sys.setprofile(note)
    try:
        for event in events:
            observer.on_task(event)
    finally:
        sys.setprofile(None)
    assert count <= 24


def test_a_second_observer_of_one_registry_is_refused():
    registry = CollectorRegistry()
    MetricsObserver(registry)
    with pytest.raises(ValueError, match="Duplicated"):
        MetricsObserver(registry)
