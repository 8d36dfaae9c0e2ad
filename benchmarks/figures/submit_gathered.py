"""5,000 submits at once; no worker in this process. The peers that break or slow down so get 40 in flight."""

from benchmarks.figure import Figure, Measure, Run, Values, rate

COUNT = 5_000


def run(run: Run) -> Values:
    count = run.count(COUNT)
    with run.opened(works=False) as (_, program):
        return {"rate": rate(count, program.ask("submit_gathered", count=count))}


FIGURE = Figure(
    name="submit_gathered",
    title="Submit, 5,000 gathered",
    measures=(Measure("rate", "submit, 5,000 gathered", "/s", more_is_better=True),),
    run=run,
)
