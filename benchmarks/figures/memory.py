"""What Redis allocates per waiting task with a 20-byte argument, everything included; kew with a million waiting too.

What a finished task takes is measured with the drain.
"""

from benchmarks.contenders import KEW
from benchmarks.figure import Figure, Measure, Run, Values

COUNT, MANY = 10_000, 1_000_000


def run(run: Run) -> Values:
    values = {"waiting": waiting(run, run.count(COUNT))}
    if run.contender.name == KEW:
        values["waiting_many"] = waiting(run, run.count(MANY))
    return values


def waiting(run: Run, count: int) -> float:
    """Bytes per task, after so many were submitted."""
    with run.opened(works=False) as (server, program):
        before = server.memory_bytes()
        program.ask("fill", count=count, text=True)
        return (server.memory_bytes() - before) / count


FIGURE = Figure(
    name="memory",
    title="Redis memory per waiting task",
    measures=(
        Measure("waiting", "Redis memory per waiting task, at 10,000", "B"),
        Measure("waiting_many", "Redis memory per waiting task, at 1,000,000", "B"),
    ),
    run=run,
    rounds=1,
)
