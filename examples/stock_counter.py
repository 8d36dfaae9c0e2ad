"""Ten orders take one piece each from a stock of ten, in several processes, some of which crash. How many are left?

Run it: `python examples/stock_counter.py`. The first version reads the count, waits, and writes it: of two at a time
one's taking is lost. The second takes atomically, but twice for an order whose process died after the taking. The
third remembers in the same step which order took its piece.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from kew import QueueConfig
from kew.testing import SimulatedManager, SimulationFailed, SimulationReport, simulate

Task = Callable[[int], Awaitable[None]]
ORDERS = 10


class Stock:
    """Stands for a database; each method is one statement, after which its answer has to travel."""

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
    """Buggy: between the reading and the writing others write."""
    pieces = await stock.read()
    await stock.write(pieces - 1)


async def take(order: int) -> None:
    """Buggy: right as long as it runs once, and a task may run again."""
    await stock.take_one()


async def take_once(order: int) -> None:
    """Mended: taking and remembering who took are one step."""
    await stock.take_one_for(order)


def setup() -> None:
    """A fresh world, for each seed."""
    global stock
    stock = Stock()


def check() -> None:
    """Every order took one piece."""
    assert stock.pieces == 0, f"{stock.pieces} pieces are left"


def try_out(task: Task, seeds: int = 100) -> SimulationReport:
    """Ten orders in three processes, with everything going wrong that a seed decides."""

    async def app(manager: SimulatedManager) -> None:
        await manager.create_queue(QueueConfig("orders", max_workers=4), functions=[task])

    async def scenario(manager: SimulatedManager) -> None:
        for order in range(ORDERS):
            await manager.submit_task(f"order-{order}", "orders", "take", task, None, order)

    return simulate(scenario, app=app, setup=setup, check=check, seeds=seeds)


def main() -> None:
    """Try all three."""
    tasks: list[Task] = [read_and_write, take, take_once]
    for task in tasks:
        try:
            print(task.__name__, try_out(task))
        except SimulationFailed as failed:
            print(task.__name__, failed)


if __name__ == "__main__":
    main()
