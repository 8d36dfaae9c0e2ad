"""A task is submitted to an idle queue, worker in the same process: from the call to the task's first line.

After each a pause of 20 ms. The yardstick is one bare EVALSHA, with the same pauses.
"""

from benchmarks.contenders import EVERYONE
from benchmarks.figure import Figure, Measure, Run, Values

COUNT, SECONDS = 150, 6.0


def run(run: Run) -> Values:
    with run.opened(works=True) as (_, program):
        answer = program.ask("pick_up", count=run.count(COUNT), seconds=SECONDS)
    return {"p50": answer["p50_ms"], "p99": answer["p99_ms"]}


FIGURE = Figure(
    name="pick_up",
    title="Idle pick-up, submit call to the task's first line",
    measures=(
        Measure("p50", "idle pick-up, p50", "ms", digits=2),
        Measure("p99", "idle pick-up, p99", "ms", digits=2),
    ),
    run=run,
    takes=EVERYONE,
)
