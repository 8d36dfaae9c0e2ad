"""2,000 tasks at once are submitted, run and their results read, all in one process with 50 slots; four times."""

from benchmarks.figure import Figure, Measure, Run, Values, rate_of_waves

COUNT = 2_000
WAVES = 4


def run(run: Run) -> Values:
    count = run.count(COUNT)
    with run.opened(works=True) as (server, program):
        before = server.cpu_seconds()
        answers = [program.ask("round_trip", count=count) for _ in range(WAVES)]
        used = server.cpu_seconds() - before
    return {"rate": rate_of_waves(count, answers), "redis_us": used * 1e6 / (count * WAVES)}


FIGURE = Figure(
    name="round_trip",
    title="Submit, run and read the result, 2,000 at once",
    measures=(
        Measure("rate", "submit + run + result, 2,000 at once", "/s", more_is_better=True),
        Measure("redis_us", "Redis CPU per task, the same, reading results included", "us"),
    ),
    run=run,
)
