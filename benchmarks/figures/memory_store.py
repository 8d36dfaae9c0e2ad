"""The drain on the store in memory: 20,000 waiting tasks, 50 slots, no Redis."""

from benchmarks.contenders import OWN
from benchmarks.driver import running
from benchmarks.figure import Figure, Measure, Run, Values, rate

COUNT = 20_000


def run(run: Run) -> Values:
    count = run.count(COUNT)
    with running(run.contender) as program:
        program.ask("open", url="memory://bench", works=False)
        program.ask("fill", count=count - 1)  # one waits already
        return {"rate": rate(count, program.ask("drain", count=count))}


FIGURE = Figure(
    name="memory_store",
    title="Drain on the store in memory",
    measures=(Measure("rate", "drain, memory store", "/s", more_is_better=True),),
    run=run,
    takes=OWN,
)
