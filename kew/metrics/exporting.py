"""What the store says of all queues, for Prometheus: read when it is scraped, by one exporter for all processes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from kew import TaskQueueError, TaskQueueManager, __version__
from kew.metrics import names

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MOST_QUEUES: Final = 1_000  # in one scrape; the first by name
BREAKER_STATES: Final = ("closed", "half_open", "open")
ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
Row = Mapping[str, Any]


async def exposition(manager: TaskQueueManager, timeout: float = 5.0) -> bytes:
    """The metrics of the store in Prometheus's text format, read in a few requests.

    If the store doesn't answer within `timeout` seconds, `kew_store_up` is 0, and nothing else is known.
    """
    try:
        async with asyncio.timeout(timeout):
            rows = (await manager.get_queue_statuses())[:MOST_QUEUES]
    except (TaskQueueError, TimeoutError):
        return _text([_family(names.STORE_UP, [((), 0)]), _build()])
    return _text(_families(rows))


def _families(rows: Sequence[Row]) -> Iterator[str]:
    yield _family(names.STORE_UP, [((), 1)])
    yield _build()
    for metric, values_of in _VALUES.items():
        samples = [
            ((row["name"], *labels), value) for row in rows for labels, value in values_of(row)
        ]
        yield _family(metric, samples)


Values = Sequence[tuple[tuple[str, ...], float]]


def _tasks(row: Row) -> Values:
    return [
        (("waiting",), row["queued_tasks"]),
        (("running",), row["current_workers"]),
        (("stuck",), sum(row["stuck_functions"].values())),
    ]


def _breaker(row: Row) -> Values:
    return [((state,), float(state == row["circuit_breaker_status"])) for state in BREAKER_STATES]


def _held(row: Row) -> Values:
    return [((how,), float(row[how])) for how in ("paused", "draining")]


def _rates(row: Row) -> Values:
    suffix = "_per_minute"
    return [
        ((name.removesuffix(suffix),), value)
        for name, value in row["rates"].items()
        if name.endswith(suffix)
    ]


_VALUES: Final = {
    names.TASKS: _tasks,
    names.OLDEST: lambda row: [((), row["rates"]["oldest_waiting"] or 0.0)],
    names.SLOTS: lambda row: [((), row["max_workers"])],
    names.SLOTS_USED: lambda row: [((), row["current_workers"])],
    names.SIZE: lambda row: [((), row["max_size"])],
    names.PROCESSES: lambda row: [((), len(row["processes"]))],
    names.DEAD: lambda row: [((), row["dead_letters"])],
    names.BREAKER: _breaker,
    names.HELD: _held,
    names.RATE: _rates,
}


def _build() -> str:
    return _family(names.BUILD, [((__version__,), 1)])


# The text format is simple, and prometheus-client takes five times as long to write it.


def _family(metric: names.Metric, samples: Values) -> str:
    lines = [f"# HELP {metric.name} {metric.text}", f"# TYPE {metric.name} {metric.kind}"]
    for labels, value in samples:
        pairs = zip(metric.labels, labels, strict=True)
        said = ",".join(f'{name}="{_escaped(each)}"' for name, each in pairs)
        lines.append(f"{metric.name}{{{said}}} {value}" if said else f"{metric.name} {value}")
    return "\n".join(lines) + "\n"


@lru_cache(maxsize=4 * MOST_QUEUES)  # a queue's name is in a label of each metric
def _escaped(text: str) -> str:
    return text.translate(ESCAPES)


def _text(families: Iterable[str]) -> bytes:
    return "".join(families).encode()
