"""10,000 submits by the batch API, of those that have one; no worker in this process."""

from benchmarks.contenders import KEW, KEW_UVLOOP, OLD_KEW
from benchmarks.figure import Figure, Measure, Run, Values, rate

COUNT = 10_000


def run(run: Run) -> Values:
    count = run.count(COUNT)
    with run.opened(works=False) as (_, program):
        return {"rate": rate(count, program.ask("submit_batch", count=count))}


FIGURE = Figure(
    name="submit_batch",
    title="Submit, a batch of 10,000",
    measures=(Measure("rate", "submit, a batch of 10,000", "/s", more_is_better=True),),
    run=run,
    takes=(KEW, KEW_UVLOOP, OLD_KEW, "streaQ", "BullMQ"),
)
