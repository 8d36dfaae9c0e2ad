"""What one process counts for Prometheus, as an observer of its manager."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from kew import Observer, StoreCall, TaskEvent, TaskQueueError, WorkerLoss
from kew.compat import override
from kew.metrics import names

if TYPE_CHECKING:
    from kew import TaskQueueManager

MOST_TASKS: Final = 200  # pairs of a queue and a function; what comes later is counted as OTHER
OTHER: Final = "(other)"
PROGRESS: Final = frozenset({"claim", "settle", "peek"})  # what a worker that looks for work asks
ENDS: Final = frozenset({"succeeded", "retried", "snoozed", "failed", "cancelled", "released"})


class MetricsObserver(Observer):
    """Counts what happens in this process. Pass it as `TaskQueueManager(observer=...)`, one for each process.

    `task` in the labels is the name of a task's function. The first 200 pairs of a queue and a function have labels of
    their own, and further ones are counted as "(other)", so that the number of series is bounded.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        """Registers its metrics. `ValueError` if the registry has them: one observer serves several managers."""
        made = {metric: _made(metric, registry) for metric in names.OF_A_PROCESS}
        self._submitted, self._settled = made[names.SUBMITTED], made[names.SETTLED]
        self._wait, self._run = made[names.WAIT], made[names.RUN]
        self._lost, self._progress = made[names.LOST], made[names.CLAIM_PROGRESS]
        self._calls, self._call_seconds = made[names.CALLS], made[names.CALL_SECONDS]
        self._loop_lag = made[names.LOOP_LAG]
        self._tasks: dict[tuple[str, str], tuple[str, str]] = {}
        self._series: dict[tuple[Any, ...], Any] = {}
        from kew import __version__

        made[names.BUILD].labels(__version__).set(1)

    def watch(self, manager: TaskQueueManager) -> None:
        """Report the `loop_lag` of this manager's process; it is measured if `max_loop_lag` is set."""

        def lag() -> float:
            try:
                return manager.loop_lag
            except TaskQueueError:  # it is not initialized, or was shut down
                return 0.0

        self._loop_lag.set_function(lag)

    @override
    def on_task(self, event: TaskEvent) -> None:
        labels = self._labels(event.queue, event.function)
        if event.kind == "submitted":
            self._one(self._submitted, *labels).inc()
        elif event.kind == "started":
            if event.seconds is not None:
                self._one(self._wait, *labels).observe(max(0.0, event.seconds))
        elif event.kind in ENDS:
            self._one(self._settled, *labels, event.kind).inc()
            if event.seconds is not None and event.kind != "released":
                self._one(self._run, *labels).observe(max(0.0, event.seconds))

    @override
    def on_store_call(self, call: StoreCall) -> None:
        self._one(self._calls, call.operation, call.outcome).inc()
        self._one(self._call_seconds, call.operation).observe(call.seconds)
        if call.outcome == "ok" and call.operation in PROGRESS:
            self._one(self._progress, call.queue).set(time.time())

    @override
    def on_worker_lost(self, loss: WorkerLoss) -> None:
        self._one(self._lost, loss.queue).inc(loss.tasks)

    def _labels(self, queue: str, function: str) -> tuple[str, str]:
        """Those of a task; a closure has the name that it has in its process."""
        known = self._tasks.get((queue, function))
        if known is not None:
            return known
        name = function.partition("/")[2] if function.startswith("@") else function
        labels = (queue, name)
        if labels not in self._tasks.values() and len(self._tasks) >= MOST_TASKS:
            return (OTHER, OTHER)
        if len(self._tasks) < MOST_TASKS:
            self._tasks[queue, function] = labels
        return labels

    def _one(self, metric: Any, *labels: str) -> Any:
        """The series with these labels. Finding it anew takes as long as counting."""
        key = (metric, *labels)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = metric.labels(*labels)
        return series


def _made(metric: names.Metric, registry: CollectorRegistry) -> Any:
    if metric.kind == "histogram":
        return Histogram(
            metric.name, metric.text, metric.labels, buckets=metric.buckets, registry=registry
        )
    kind = Counter if metric.kind == "counter" else Gauge
    return kind(metric.name, metric.text, metric.labels, registry=registry)
