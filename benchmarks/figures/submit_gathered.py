"""5,000 submits at once, four times; no worker in this process. Who breaks or slows down so gets 40 in flight.

Once alone would be at the mercy of when Python's garbage collector walks over everything: a third of its time, or none.
"""

from benchmarks.figure import Figure, Measure, Run, Values, rate_of_waves

COUNT = 5_000
WAVES = 4


def run(run: Run) -> Values:
    count = run.count(COUNT)
    with run.opened(works=False) as (_, program):
        answers = [program.ask("submit_gathered", count=count) for _ in range(WAVES)]
        return {"rate": rate_of_waves(count, answers)}


FIGURE = Figure(
    name="submit_gathered",
    title="Submit, 5,000 gathered",
    measures=(Measure("rate", "submit, 5,000 gathered", "/s", more_is_better=True),),
    run=run,
)
