"""What the figures must show: each line a limit, and where the number that is held against it comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from benchmarks.contenders import BARE, KEW, OLD_KEW
from benchmarks.results import Spread, ratios

Figures = dict[str, Any]


@attrs.frozen
class Target:
    """`found` gives the measured number (None: not measured), which must be at least (or at most) `limit`."""

    figure: str
    what: str
    limit: float
    unit: str
    found: Callable[[Figures], Spread | None]
    at_least: bool = True

    def is_met(self, spread: Spread) -> bool:
        """By its median."""
        return spread.middle >= self.limit if self.at_least else spread.middle <= self.limit


def _values(figures: Figures, figure: str, measure: str, contender: str) -> list[float]:
    found: list[float] = (
        figures.get(figure, {}).get("values", {}).get(measure, {}).get(contender, [])
    )
    return found


def value(figure: str, measure: str) -> Callable[[Figures], Spread | None]:
    """kew's own number."""

    def found(figures: Figures) -> Spread | None:
        values = _values(figures, figure, measure, KEW)
        return Spread.of(values) if values else None

    return found


def times(figure: str, measure: str, peer: str) -> Callable[[Figures], Spread | None]:
    """kew's rate over a peer's."""

    def found(figures: Figures) -> Spread | None:
        ours, theirs = (_values(figures, figure, measure, name) for name in (KEW, peer))
        return ratios(ours, theirs, more_is_better=True)

    return found


def part(figure: str, measure: str, of: str) -> Callable[[Figures], Spread | None]:
    """One of kew's numbers as a percentage of another of them."""

    def found(figures: Figures) -> Spread | None:
        ours, whole = (_values(figures, figure, name, KEW) for name in (measure, of))
        spread = ratios(ours, whole, more_is_better=True)
        return spread and Spread(100 * spread.middle, 100 * spread.least, 100 * spread.most)

    return found


def tail(figures: Figures) -> Spread | None:
    """The 99th percentile of an idle pick-up, in units of what is allowed: 1 ms, or 3 bare EVALSHA if that is more."""
    ours, bare = (_values(figures, "pick_up", "p99", name) for name in (KEW, BARE))
    found = [our / max(1.0, 3 * yardstick) for our, yardstick in zip(ours, bare, strict=False)]
    return Spread.of(found) if found else None


ALONE, GATHERED, BATCH = "submit_alone", "submit_gathered", "submit_batch"

ALL = (
    Target(
        ALONE,
        "submit, one after another, against kew 0.2.1",
        1.25,
        "x",
        times(ALONE, "rate", OLD_KEW),
    ),
    Target(
        ALONE,
        "the same, against a bare EVALSHA of the same size",
        0.85,
        "x",
        times(ALONE, "rate", BARE),
    ),
    Target(
        GATHERED,
        "submit, 5,000 gathered, against kew 0.2.1 with 40 in flight",
        8,
        "x",
        times(GATHERED, "rate", OLD_KEW),
    ),
    Target(
        BATCH, "submit, a batch of 10,000, against kew 0.2.1", 3, "x", times(BATCH, "rate", OLD_KEW)
    ),
    Target("drain", "drain of 10,000, against kew 0.2.1", 30, "x", times("drain", "rate", OLD_KEW)),
    Target("drain", "the same, against SAQ", 12, "x", times("drain", "rate", "SAQ")),
    Target("drain", "the same, against BullMQ", 2, "x", times("drain", "rate", "BullMQ")),
    Target(
        "round_trip",
        "submit + run + result, 2,000 at once, against kew 0.2.1",
        20,
        "x",
        times("round_trip", "rate", OLD_KEW),
    ),
    Target("pick_up", "idle pick-up, p50", 0.4, "ms", value("pick_up", "p50"), at_least=False),
    Target(
        "pick_up",
        "the same, processors kept awake",
        0.4,
        "ms",
        value("pick_up", "p50_awake"),
        at_least=False,
    ),
    Target(
        "pick_up",
        "idle pick-up, p99, over what is allowed (1 ms, or 3 bare EVALSHA)",
        1,
        "x",
        tail,
        at_least=False,
    ),
    Target(
        "drain",
        "Redis CPU per task, submit to settled",
        25,
        "us",
        value("drain", "redis_us"),
        at_least=False,
    ),
    Target(
        "memory",
        "Redis memory per waiting task, at 10,000",
        300,
        "B",
        value("memory", "waiting"),
        at_least=False,
    ),
    Target(
        "memory",
        "the same, at 1,000,000",
        300,
        "B",
        value("memory", "waiting_many"),
        at_least=False,
    ),
    Target("idle", "idle, Redis commands", 0.5, "/s", value("idle", "commands"), at_least=False),
    Target("idle", "idle, CPU of the process", 0.2, "%", value("idle", "process"), at_least=False),
    Target(
        "backlog",
        "drain from a backlog of 1,000,000, as a share of one of 10,000",
        90,
        "%",
        value("backlog", "share"),
    ),
    Target(
        "limited",
        "drain with a rate, as a share of the plain drain",
        80,
        "%",
        value("limited", "rate_share"),
    ),
    Target("limited", "the same with 1,000 keys", 80, "%", value("limited", "keys_share")),
    Target("limited", "the same with both", 60, "%", value("limited", "both_share")),
    Target(
        "observed",
        "drain with metrics and traces, as a share of the plain drain",
        85,
        "%",
        value("observed", "both_share"),
    ),
    Target(
        "unique",
        "drain of unique tasks, as a share of the plain drain",
        80,
        "%",
        value("unique", "unique_share"),
    ),
    Target(
        "two_processes",
        "two processes against one (with 4 cores)",
        1.6,
        "x",
        value("two_processes", "speedup"),
    ),
    Target(
        "process_memory",
        "growth of the process over 80,000 submits and runs",
        2,
        "MiB",
        value("process_memory", "growth"),
        at_least=False,
    ),
    Target(
        "polite_host",
        "endpoint p99 while a task that does nothing drains, polite host on (5 ms)",
        10,
        "ms",
        value("polite_host", "echo_5_p99"),
        at_least=False,
    ),
    Target(
        "polite_host",
        "the drain meanwhile, as a share of the impolite rate",
        50,
        "%",
        part("polite_host", "echo_5_rate", "echo_off_rate"),
    ),
    Target(
        "polite_host",
        "endpoint p99 while a task of 200 us drains, polite host on (5 ms)",
        10,
        "ms",
        value("polite_host", "spin_5_p99"),
        at_least=False,
    ),
    Target(
        "polite_host",
        "the drain meanwhile, as a share of the impolite rate",
        50,
        "%",
        part("polite_host", "spin_5_rate", "spin_off_rate"),
    ),
    Target(
        "memory_store", "drain on the memory store", 40_000, "/s", value("memory_store", "rate")
    ),
    *(
        Target(
            "sqlite", f"SQLite, synchronous={name}: {what}", least, "/s", value("sqlite", measure)
        )
        for name, least in (("full", 2_000), ("normal", 5_000))
        for what, measure in (
            ("submit + run + result", f"{name}_rate"),
            ("drain", f"{name}_drain"),
        )
    ),
    *(
        Target(
            "sqlite",
            f"SQLite, synchronous={name}: event loop lag p99 while it drains",
            10,
            "ms",
            value("sqlite", f"{name}_lag"),
            at_least=False,
        )
        for name in ("full", "normal")
    ),
)
