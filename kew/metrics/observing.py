"""What one process counts for Prometheus, as an observer of its manager.

Counting is a part of each task's cost, so it is adding to plain numbers. What Prometheus wants is made when it asks.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from kew import StoreCall, TaskEvent, TaskQueueError, WorkerLoss, __version__
from kew.app.observer import CountingObserver, TaskCounter
from kew.compat import override
from kew.domain.task import Submission, Task
from kew.metrics import names

if TYPE_CHECKING:
    from kew import TaskQueueManager

MOST_TASKS: Final = 200  # pairs of a queue and a function; what comes later is counted as OTHER
OTHER: Final = "(other)"
INFINITY: Final = float("inf")
PROGRESS: Final = frozenset({"claim", "settle", "peek"})  # what a worker that looks for work asks

Labels = tuple[str, ...]
Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class Times:
    """How many times there were up to each bound, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds, self.counts, self.sum = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus wants them: how many were up to each bound."""
        found, so_far = [], 0
        for bound, count in zip((*self.bounds, INFINITY), self.counts, strict=True):
            so_far += count
            found.append(("+Inf" if bound == INFINITY else str(bound), float(so_far)))
        return found


@attrs.define(eq=False)
class Counted:
    """What happened to the tasks of one function in one queue."""

    submitted: int = 0
    outcomes: dict[str, int] = attrs.field(factory=lambda: defaultdict(int))
    wait: Times = attrs.field(factory=lambda: Times(names.WAIT.buckets))
    run: Times = attrs.field(factory=lambda: Times(names.RUN.buckets))


class MetricsObserver(CountingObserver):
    """Counts what happens in this process. Pass it as `TaskQueueManager(observer=...)`, one for each process.

    `task` in the labels is the name of a task's function. The first 200 pairs of a queue and a function have labels of
    their own, and further ones are counted as "(other)", so that the number of series is bounded.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        """Registers its metrics. `ValueError` if the registry has them: one observer serves several managers."""
        self._known: dict[tuple[str, str], Counted] = {}
        self._series: dict[Labels, Counted] = {}
        self._calls: dict[Labels, int] = defaultdict(int)
        self._call_times: dict[str, Times] = defaultdict(lambda: Times(names.CALL_SECONDS.buckets))
        self._lost: dict[str, int] = defaultdict(int)
        self._progress: dict[str, float] = {}
        self._watched: list[TaskQueueManager] = []
        if type(self).on_task is MetricsObserver.on_task:  # else it sees each event
            self._counter = _Counter(self._counted)
        registry.register(_Reader(self))

    def watch(self, manager: TaskQueueManager) -> None:
        """Report the `loop_lag` of this manager's process; it is measured if `max_loop_lag` is set."""
        self._watched.append(manager)

    @override
    def on_task(self, event: TaskEvent) -> None:
        counted = self._counted(event.queue, event.function)
        kind, seconds = event.kind, event.seconds
        if kind == "submitted":
            counted.submitted += 1
        elif kind == "started":
            if seconds is not None:
                counted.wait.add(max(0.0, seconds))
        elif kind != "replayed":
            counted.outcomes[kind] += 1
            if seconds is not None and kind != "released":
                counted.run.add(max(0.0, seconds))

    @override
    def on_store_call(self, call: StoreCall) -> None:
        self._calls[call.operation, call.outcome] += 1
        self._call_times[call.operation].add(call.seconds)
        if call.outcome == "ok" and call.operation in PROGRESS:
            self._progress[call.queue] = time.time()

    @override
    def on_worker_lost(self, loss: WorkerLoss) -> None:
        self._lost[loss.queue] += loss.tasks

    def _counted(self, queue: str, function: str) -> Counted:
        return self._known.get((queue, function)) or self._new(queue, function)

    def _new(self, queue: str, function: str) -> Counted:
        """Those of a function that was not seen yet; a closure has the name that it has in its process."""
        name = function.partition("/")[2] if function.startswith("@") else function
        labels = (queue, name)
        if labels not in self._series and len(self._series) >= MOST_TASKS:
            labels = (OTHER, OTHER)
        counted = self._series.setdefault(labels, Counted())
        if len(self._known) < MOST_TASKS:
            self._known[queue, function] = counted
        return counted

    # --- reading

    def _families(self) -> Iterator[Family]:
        series = dict(self._series)
        yield _counter(names.SUBMITTED, {each: one.submitted for each, one in series.items()})
        ends = ((each, one.outcomes.items()) for each, one in series.items())
        settled = {(*each, kind): n for each, outcomes in ends for kind, n in list(outcomes)}
        yield _counter(names.SETTLED, settled)
        yield _histogram(names.WAIT, {each: one.wait for each, one in series.items()})
        yield _histogram(names.RUN, {each: one.run for each, one in series.items()})
        yield _counter(names.LOST, _one_label(self._lost))
        yield _counter(names.CALLS, dict(self._calls))
        yield _histogram(names.CALL_SECONDS, _one_label(self._call_times))
        yield _gauge(names.LOOP_LAG, {(): max(map(_lag_of, self._watched), default=0.0)})
        yield _gauge(names.CLAIM_PROGRESS, _one_label(self._progress))
        yield _gauge(names.BUILD, {(__version__,): 1.0})


class _Counter(TaskCounter):
    """Counts what most tasks do."""

    def __init__(self, counted: Callable[[str, str], Counted]) -> None:
        self._counted = counted

    @override
    def count_submitted(self, task: Submission, queue: str) -> None:
        self._counted(queue, task.function).submitted += 1

    @override
    def count_started(self, task: Task, seconds: float) -> None:
        self._counted(task.queue, task.call.function).wait.add(seconds)

    @override
    def count_succeeded(self, task: Task, seconds: float) -> None:
        counted = self._counted(task.queue, task.call.function)
        counted.outcomes["succeeded"] += 1
        counted.run.add(seconds)


class _Reader(Collector):
    """What Prometheus's client asks."""

    def __init__(self, observer: MetricsObserver) -> None:
        self._observer = observer

    @override
    def collect(self) -> Iterable[Family]:
        return list(self._observer._families())

    def describe(self) -> Iterable[Family]:
        """The names, which no other collector may have."""
        return self.collect()


def _lag_of(manager: TaskQueueManager) -> float:
    try:
        return manager.loop_lag
    except TaskQueueError:  # it is not initialized, or was shut down
        return 0.0


def _one_label(values: Mapping[str, Any]) -> dict[Labels, Any]:
    return {(label,): value for label, value in values.items()}


def _counter(metric: names.Metric, values: Mapping[Labels, float]) -> Family:
    family = CounterMetricFamily(metric.name, metric.text, labels=metric.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _gauge(metric: names.Metric, values: Mapping[Labels, float]) -> Family:
    family = GaugeMetricFamily(metric.name, metric.text, labels=metric.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _histogram(metric: names.Metric, values: Mapping[Labels, Times]) -> Family:
    family = HistogramMetricFamily(metric.name, metric.text, labels=metric.labels)
    for labels, times in values.items():
        family.add_metric(labels, times.buckets(), times.sum)
    return family
