"""What is measured: one file per figure, each with a `FIGURE`; here they stand in the order of the report."""

from __future__ import annotations

from benchmarks.figure import Figure
from benchmarks.figures import (
    backlog,
    drain,
    idle,
    limited,
    memory,
    memory_store,
    observed,
    pick_up,
    polite_host,
    process_memory,
    round_trip,
    sqlite,
    submit_alone,
    submit_batch,
    submit_gathered,
    two_processes,
    unique,
)

ALL: tuple[Figure, ...] = (
    submit_alone.FIGURE,
    submit_gathered.FIGURE,
    submit_batch.FIGURE,
    drain.FIGURE,
    round_trip.FIGURE,
    pick_up.FIGURE,
    memory.FIGURE,
    idle.FIGURE,
    backlog.FIGURE,
    limited.FIGURE,
    observed.FIGURE,
    unique.FIGURE,
    two_processes.FIGURE,
    process_memory.FIGURE,
    polite_host.FIGURE,
    memory_store.FIGURE,
    sqlite.FIGURE,
)


def chosen(names: str) -> list[Figure]:
    """Those that `names` names (comma-separated; all if empty)."""
    wanted = {name.strip() for name in names.split(",") if name.strip()}
    unknown = wanted - {figure.name for figure in ALL}
    if unknown:
        known = ", ".join(figure.name for figure in ALL)
        raise SystemExit(f"no figure is called {', '.join(unknown)}; there are: {known}")
    return [figure for figure in ALL if not wanted or figure.name in wanted]
