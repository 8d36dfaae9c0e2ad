"""A task is submitted to an idle queue, worker in the same process: from the call to the task's first line.

Before each a pause of 20 ms. The yardstick is one bare EVALSHA, with the same pauses. Measured twice: with processors
that sleep in the pauses, and with processors that are kept awake.
"""

from benchmarks.awake import CAN_BE_KEPT_AWAKE, processors_awake
from benchmarks.contenders import ON_REDIS
from benchmarks.figure import Figure, Measure, Run, Values

COUNT, SECONDS = 150, 6.0


def run(run: Run) -> Values:
    with run.opened(works=True) as (_, program):
        answer = program.ask("pick_up", count=run.count(COUNT), seconds=SECONDS)
        found = {"p50": answer["p50_ms"], "p99": answer["p99_ms"]}
        if CAN_BE_KEPT_AWAKE:
            with processors_awake():
                answer = program.ask("pick_up", count=run.count(COUNT), seconds=SECONDS)
            found |= {"p50_awake": answer["p50_ms"], "p99_awake": answer["p99_ms"]}
    return found


FIGURE = Figure(
    name="pick_up",
    title="Idle pick-up, submit call to the task's first line",
    measures=(
        Measure("p50", "idle pick-up, p50", "ms", digits=2),
        Measure("p99", "idle pick-up, p99", "ms", digits=2),
        Measure("p50_awake", "idle pick-up, processors kept awake, p50", "ms", digits=2),
        Measure("p99_awake", "idle pick-up, processors kept awake, p99", "ms", digits=2),
    ),
    run=run,
    takes=ON_REDIS,
)
