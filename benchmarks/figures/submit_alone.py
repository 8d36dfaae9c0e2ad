"""Submits one after another, each awaited before the next; no worker in this process."""

from benchmarks.contenders import ON_REDIS
from benchmarks.figure import Figure, Measure, Run, Values, rate

COUNT = 10_000


def run(run: Run) -> Values:
    count = run.count(COUNT)
    with run.opened(works=False) as (_, program):
        return {"rate": rate(count, program.ask("submit_alone", count=count))}


FIGURE = Figure(
    name="submit_alone",
    title="Submit, one after another",
    measures=(Measure("rate", "submit, one after another", "/s", more_is_better=True),),
    run=run,
    takes=ON_REDIS,
    rounds=5,
)
