"""Every metric: its kind, its labels, and what it says. The dashboard and the alerts are checked against this list.

Labels never contain ids: a queue, the name of a function, and words of kew.
"""

from __future__ import annotations

from typing import Final, Literal

import attrs

Kind = Literal["counter", "gauge", "histogram"]

# Seconds: of waits and runs, and of calls of the store.
LONG: Final = (0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
SHORT: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@attrs.frozen
class Metric:
    """A metric as Prometheus sees it. A counter's samples have the suffix `_total`, which `name` leaves out."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def samples(self) -> frozenset[str]:
        """The names of its samples."""
        if self.kind == "counter":
            return frozenset({f"{self.name}_total"})
        if self.kind == "histogram":
            return frozenset(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))
        return frozenset({self.name})


# --- of one process

SUBMITTED: Final = Metric(
    "kew_tasks_submitted", "counter", "Tasks that this process submitted.", ("queue", "task")
)
SETTLED: Final = Metric(
    "kew_tasks_settled",
    "counter",
    "Attempts that ended in this process, by outcome.",
    ("queue", "task", "outcome"),
)
WAIT: Final = Metric(
    "kew_task_wait_seconds",
    "histogram",
    "How long tasks had been due when this process started them.",
    ("queue", "task"),
    LONG,
)
RUN: Final = Metric(
    "kew_task_run_seconds",
    "histogram",
    "How long attempts took in this process.",
    ("queue", "task"),
    LONG,
)
LOST: Final = Metric(
    "kew_leases_lost",
    "counter",
    "Leases of lost workers that this process recovered.",
    ("queue",),
)
CALLS: Final = Metric(
    "kew_store_calls",
    "counter",
    "Round trips to the store, by outcome: ok, refused, ambiguous or damaged.",
    ("operation", "outcome"),
)
CALL_SECONDS: Final = Metric(
    "kew_store_call_seconds",
    "histogram",
    "How long round trips to the store took.",
    ("operation",),
    SHORT,
)
LOOP_LAG: Final = Metric(
    "kew_loop_lag_seconds", "gauge", "How late the event loop was recently, at its worst."
)
CLAIM_PROGRESS: Final = Metric(
    "kew_claim_last_progress_timestamp_seconds",
    "gauge",
    "When the store last answered this process's search for work in the queue.",
    ("queue",),
)

# --- of the store, from one exporter

STORE_UP: Final = Metric("kew_store_up", "gauge", "1 if the store answered, else 0.")
TASKS: Final = Metric(
    "kew_queue_tasks",
    "gauge",
    "Tasks of the queue: waiting, running, or stuck (waiting for a function that no process runs).",
    ("queue", "state"),
)
OLDEST: Final = Metric(
    "kew_queue_oldest_waiting_seconds",
    "gauge",
    "How long the task has been due that has been due for longest; 0: none is due.",
    ("queue",),
)
SLOTS: Final = Metric(
    "kew_queue_slots", "gauge", "max_workers: how many tasks may run at once.", ("queue",)
)
SLOTS_USED: Final = Metric("kew_queue_slots_used", "gauge", "How many tasks run.", ("queue",))
SIZE: Final = Metric("kew_queue_max_size", "gauge", "How many tasks may wait.", ("queue",))
PROCESSES: Final = Metric(
    "kew_queue_processes", "gauge", "Processes that work on the queue.", ("queue",)
)
DEAD: Final = Metric(
    "kew_queue_dead_letters", "gauge", "Tasks that failed for good and are kept.", ("queue",)
)
BREAKER: Final = Metric(
    "kew_queue_breaker_state",
    "gauge",
    "1 for the state that the circuit breaker is in: closed, half_open or open.",
    ("queue", "state"),
)
HELD: Final = Metric(
    "kew_queue_held",
    "gauge",
    "1 while a person holds the queue: paused, or draining.",
    ("queue", "how"),
)
RATE: Final = Metric(
    "kew_queue_tasks_per_minute",
    "gauge",
    "What happens in the queue per minute, over the last five: submitted, started, drained, completed, failed.",
    ("queue", "event"),
)

BUILD: Final = Metric("kew_build_info", "gauge", "1, with the version of kew.", ("version",))

OF_A_PROCESS: Final = (
    *(SUBMITTED, SETTLED, WAIT, RUN, LOST),
    *(CALLS, CALL_SECONDS, LOOP_LAG, CLAIM_PROGRESS, BUILD),
)
OF_THE_STORE: Final = (
    *(STORE_UP, TASKS, OLDEST, SLOTS, SLOTS_USED, SIZE),
    *(PROCESSES, DEAD, BREAKER, HELD, RATE, BUILD),
)
