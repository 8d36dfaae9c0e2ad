"""Ten orders take one piece each from a stock of ten, in several processes that crash. How many pieces are left?

Run it: `python examples/stock_counter.py`. The first version reads the count and then writes it, so that two orders
at once take only one piece. The second version takes a piece atomically, but takes two if the order's process dies
afterwards and the task runs again. The third version records the order in the same step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from kew import QueueConfig
from kew.testing import SimulatedManager, SimulationFailed, SimulationReport, simulate

Task = Callable[[int], Awaitable[None]]
ORDERS = 10


class Stock:
    """A fake database. Each method is one atomic statement and then waits for the network."""

    def __init__(self) -> None:
        self.pieces = ORDERS
        self.orders: set[int] = set()

    async def read(self) -> int:
        pieces = self.pieces
        await asyncio.sleep(0.01)
        return pieces

    async def write(self, pieces: int) -> None:
        self.pieces = pieces
        await asyncio.sleep(0.01)

    async def take_one(self) -> None:
        self.pieces -= 1
        await asyncio.sleep(0.01)

    async def take_one_for(self, order: int) -> None:
        if order not in self.orders:
            self.orders.add(order)
            self.pieces -= 1
        await asyncio.sleep(0.01)


stock = Stock()


async def read_and_write(order: int) -> None:
    """Buggy: other tasks write between the read and the write."""
    pieces = await stock.read()
    await stock.write(pieces - 1)


async def take(order: int) -> None:
    """Buggy: correct if it runs once, but a task may run twice."""
    await stock.take_one()


async def take_once(order: int) -> None:
    """Fixed: taking the piece and recording the order are one step."""
    await stock.take_one_for(order)


def setup() -> None:
    """Reset the fake before each seed."""
    global stock
    stock = Stock()


def check() -> None:
    """Every order must have taken one piece."""
    assert stock.pieces == 0, f"{stock.pieces} pieces are left"


def try_out(task: Task, seeds: int = 100) -> SimulationReport:
    """Run ten orders in three simulated processes, with the faults of each seed."""

    async def app(manager: SimulatedManager) -> None:
        await manager.create_queue(QueueConfig("orders", max_workers=4), functions=[task])

    async def scenario(manager: SimulatedManager) -> None:
        for order in range(ORDERS):
            await manager.submit_task(f"order-{order}", "orders", "take", task, None, order)

    return simulate(scenario, app=app, setup=setup, check=check, seeds=seeds)


def main() -> None:
    """Try all three versions."""
    tasks: list[Task] = [read_and_write, take, take_once]
    for task in tasks:
        try:
            print(task.__name__, try_out(task))
        except SimulationFailed as failed:
            print(task.__name__, failed)


if __name__ == "__main__":
    main()
