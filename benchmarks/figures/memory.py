"""What Redis allocates per task: waiting with a 20-byte argument, everything included, and finished with its result.

kew is measured with a million waiting too.
"""

from benchmarks.contenders import KEW
from benchmarks.driver import Program
from benchmarks.figure import Figure, Measure, Run, Values
from benchmarks.server import Server

COUNT, MANY = 10_000, 1_000_000


def waiting(server: Server, program: Program, count: int) -> float:
    """Bytes per task, after so many were submitted."""
    before = server.memory_bytes()
    program.ask("fill", count=count, text=True)
    return (server.memory_bytes() - before) / count


def run(run: Run) -> Values:
    count = run.count(COUNT)
    with run.opened(works=False) as (server, program):
        before = server.memory_bytes()
        values = {"waiting": waiting(server, program, count)}
        program.ask("drain", count=count + 1)
        values["finished"] = (server.memory_bytes() - before) / count
    if run.contender.name == KEW:
        with run.opened(works=False) as (server, program):
            values["waiting_many"] = waiting(server, program, run.count(MANY))
    return values


FIGURE = Figure(
    name="memory",
    title="Redis memory per task",
    measures=(
        Measure("waiting", "Redis memory per waiting task, at 10,000", "B"),
        Measure("waiting_many", "Redis memory per waiting task, at 1,000,000", "B"),
        Measure("finished", "Redis memory per finished task", "B"),
    ),
    run=run,
    rounds=1,
)
