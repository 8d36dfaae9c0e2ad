"""2,000 tasks at once are submitted, run and their results read, all in one process with 50 slots."""

from benchmarks.figure import Figure, Measure, Run, Values, rate

COUNT = 2_000


def run(run: Run) -> Values:
    count = run.count(COUNT)
    with run.opened(works=True) as (server, program):
        before = server.cpu_seconds()
        answer = program.ask("round_trip", count=count)
        used = server.cpu_seconds() - before
    return {"rate": rate(count, answer), "redis_us": used * 1e6 / count}


FIGURE = Figure(
    name="round_trip",
    title="Submit, run and read the result, 2,000 at once",
    measures=(
        Measure("rate", "submit + run + result, 2,000 at once", "/s", more_is_better=True),
        Measure("redis_us", "Redis CPU per task, the same, reading results included", "us"),
    ),
    run=run,
)
