"""100,000 submits and runs in one process, in waves of 1,000: its memory after the first fifth and at the end."""

from benchmarks.contenders import KEW
from benchmarks.driver import running
from benchmarks.figure import Figure, Measure, Run, Values
from benchmarks.server import fresh_server

COUNT = 100_000


def run(run: Run) -> Values:
    with fresh_server() as server, running(run.contender, "kew_more.py") as program:
        program.ask("open", url=server.url, works=True)
        answer = program.ask("endure", waves=run.count(COUNT) // 1000 or 5)
    return {
        "warm": answer["warm_bytes"] / 2**20,
        "end": answer["end_bytes"] / 2**20,
        "growth": (answer["end_bytes"] - answer["warm_bytes"]) / 2**20,
    }


FIGURE = Figure(
    name="process_memory",
    title="Memory of the process over 100,000 submits and runs",
    measures=(
        Measure("warm", "RSS after 20,000", "MiB", digits=1),
        Measure("end", "RSS after 100,000", "MiB", digits=1),
        Measure("growth", "growth", "MiB", digits=1),
    ),
    run=run,
    takes=(KEW,),
    rounds=1,
)
