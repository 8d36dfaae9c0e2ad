"""A program that leans on everything whose order asyncio leaves open. Run it as a module to print its hash.

python -m tests.simulation.busy SEED POLICY
"""

import asyncio
import sys

from kew.simulation.loop import SimulationLoop
from kew.simulation.policies import PolicyName
from kew.simulation.processes import SimulatedProcess


async def spin(loop: SimulationLoop, word: str, rounds: int) -> None:
    for n in range(rounds):
        loop.note(word, n)
        await asyncio.sleep(0 if n % 3 else 0.01 * (n % 5))


async def until_cancelled(loop: SimulationLoop, word: str) -> None:
    try:
        await asyncio.sleep(1000)
    finally:
        loop.note("cancelled", word)


async def fail_together(loop: SimulationLoop) -> None:
    """The group cancels its children in the order of a set."""
    try:
        async with asyncio.TaskGroup() as group:
            for n in range(30):
                group.create_task(until_cancelled(loop, f"child {n}"))
            await asyncio.sleep(0.5)
            raise ValueError
    except* ValueError:
        loop.note("the group failed")


async def cancel_all(loop: SimulationLoop) -> None:
    """`asyncio.all_tasks` is a set too, and is filled from another one."""
    me = asyncio.current_task()
    ours = [asyncio.create_task(until_cancelled(loop, f"stray {n}")) for n in range(30)]
    await asyncio.sleep(0.1)
    for task in asyncio.all_tasks():
        if task is not me and task in ours:
            task.cancel()
    await asyncio.wait(ours)


async def finish_apart(loop: SimulationLoop) -> None:
    """`asyncio.wait` returns sets."""
    pending = {asyncio.create_task(asyncio.sleep(n % 7, f"part {n}")) for n in range(30)}
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        loop.note(*(task.result() for task in done))


async def busy(loop: SimulationLoop) -> None:
    processes = [SimulatedProcess(loop, f"p{n}", skew_s=n) for n in range(3)]
    for process in processes:
        for n in range(5):
            process.spawn(spin(loop, f"{process.name}-{n}", 20), name=f"spin-{n}")
    await asyncio.gather(fail_together(loop), finish_apart(loop))
    processes[0].kill()
    processes[1].stall(3)
    await cancel_all(loop)
    await asyncio.sleep(5)


def busy_hash(seed: int, policy: PolicyName) -> str:
    with SimulationLoop(seed, policy) as loop:
        loop.run(busy(loop))
        return loop.trace_hash()


if __name__ == "__main__":
    match sys.argv[2]:
        case "uniform" | "pct" | "fifo" as policy:
            print(busy_hash(int(sys.argv[1]), policy))  # noqa: T201
