"""One and two processes drain a queue of tasks that take 200 us of CPU each; and what they and Redis use.

The queue is paused until all workers are there. The rate is from the first start to the last, over all processes.
"""

import contextlib
import os
import time

from benchmarks.contenders import KEW
from benchmarks.driver import Program, running
from benchmarks.figure import Figure, Measure, Run, Values
from benchmarks.server import Server, fresh_server

COUNT = 10_000
LOOK = 0.05


def run(run: Run) -> Values:
    count = run.count(COUNT)
    one, used_by_one, redis_of_one = drained(run, count, processes=1)
    two, used_by_two, redis_of_two = drained(run, count, processes=2)
    return {
        "one": one,
        "two": two,
        "speedup": two / one,
        "used_by_one": used_by_one,
        "used_by_two": used_by_two,
        "redis_of_one": redis_of_one,
        "redis_of_two": redis_of_two,
        "cores": os.cpu_count() or 0,
    }


def drained(run: Run, count: int, *, processes: int) -> tuple[float, float, float]:
    """Tasks a second, and the cores that the workers and Redis used meanwhile."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(fresh_server())
        filler, *workers = (
            stack.enter_context(running(run.contender, "kew_more.py")) for _ in range(processes + 1)
        )
        filler.ask("open_queue", url=server.url)
        filler.ask("fill_paused", count=count)
        for worker in workers:
            worker.ask("open_queue", url=server.url)
            worker.ask("start")
        before = _used(server, workers)
        filler.ask("resume")
        shares = _until_done(workers, count)
        after = _used(server, workers)
    seconds = max(share["last_at"] for share in shares) - min(share["first_at"] for share in shares)
    return count / seconds, (after[0] - before[0]) / seconds, (after[1] - before[1]) / seconds


def _used(server: Server, workers: list[Program]) -> tuple[float, float]:
    return sum(each.ask("usage")["cpu_seconds"] for each in workers), server.cpu_seconds()


def _until_done(workers: list[Program], count: int) -> list[dict[str, float]]:
    while True:
        shares = [worker.ask("share") for worker in workers]
        if sum(share["count"] for share in shares) >= count:
            return [share for share in shares if share["count"]]
        time.sleep(LOOK)  # other processes do the work, and can't set an event here


FIGURE = Figure(
    name="two_processes",
    title="One and two processes, a task of 200 us of CPU",
    measures=(
        Measure("one", "one process", "/s", more_is_better=True),
        Measure("two", "two processes", "/s", more_is_better=True),
        Measure("speedup", "two against one", "x", more_is_better=True, digits=2),
        Measure("used_by_one", "cores used by one process", digits=2),
        Measure("redis_of_one", "cores used by Redis meanwhile", digits=2),
        Measure("used_by_two", "cores used by two processes", digits=2),
        Measure("redis_of_two", "cores used by Redis meanwhile, two", digits=2),
        Measure("cores", "cores of this machine"),
    ),
    run=run,
    takes=(KEW,),
)
