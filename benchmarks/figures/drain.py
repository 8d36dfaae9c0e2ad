"""10,000 tasks wait; one process runs them with 50 slots, from the first start to the last result readable.

Redis' processor time is counted from the first submit (by the batch API where there is one) to the last result, and
its memory is that of finished tasks with their results.
"""

from benchmarks.figure import Figure, Measure, Run, Values, rate

COUNT = 10_000


def run(run: Run) -> Values:
    count = run.count(COUNT)
    with run.opened(works=False) as (server, program):
        before, memory_before = server.cpu_seconds(), server.memory_bytes()
        program.ask("fill", count=count - 1)  # one waits already
        drained = program.ask("drain", count=count)
        used = server.cpu_seconds() - before
        memory = server.memory_bytes() - memory_before
    return {
        "rate": rate(count, drained),
        "redis_us": used * 1e6 / count,
        "process_us": drained["cpu_seconds"] * 1e6 / count,
        "finished_bytes": memory / count,
    }


FIGURE = Figure(
    name="drain",
    title="Drain 10,000 waiting tasks, one process",
    measures=(
        Measure("rate", "drain 10,000, one process", "/s", more_is_better=True),
        Measure("redis_us", "Redis CPU per task, submit to settled", "us"),
        Measure("process_us", "worker CPU per task, drain", "us"),
        Measure("finished_bytes", "Redis memory per finished task, its result kept", "B"),
    ),
    run=run,
)
