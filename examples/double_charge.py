"""A task charges a card, then marks the order as paid. Where is the bug?

Run it: `python examples/double_charge.py`. It kills the task at each of its awaits in turn and runs it again, as kew
does when a process dies. Killed between the two steps, the first version charges twice.
"""

from __future__ import annotations

import asyncio

from kew import TaskContext
from kew.testing import InvariantBroken, crash_at_every_await


class Cards:
    """A fake payment provider. Like most providers, it supports idempotency keys."""

    def __init__(self) -> None:
        self.charges: dict[str, int] = {}

    async def charge(self, amount: int, *, key: str | None = None) -> None:
        self.charges.setdefault(key or f"charge-{len(self.charges) + 1}", amount)


cards = Cards()
paid: set[str] = set()


async def mark_as_paid(order: str) -> None:
    await asyncio.sleep(0.01)  # a database, in real life
    paid.add(order)


async def charge(order: str, amount: int) -> None:
    """Buggy: a crash after the charge and before the mark charges again."""
    if order not in paid:
        await cards.charge(amount)
        await mark_as_paid(order)


async def charge_with_key(order: str, amount: int) -> None:
    """Fixed: charging twice with the same key charges once. The task's id is a good key."""
    if order not in paid:
        await cards.charge(amount, key=TaskContext.current().task_id)
        await mark_as_paid(order)


def setup() -> None:
    """Reset the fakes before each run."""
    cards.charges.clear()
    paid.clear()


def check() -> None:
    """What must be true at the end, whatever happened."""
    assert paid == {"order-1"}, "the order is not marked as paid"
    assert list(cards.charges.values()) == [100], f"charged {len(cards.charges)} times"


def main() -> None:
    """Check both versions."""
    try:
        crash_at_every_await(charge, "order-1", 100, setup=setup, check=check)
    except InvariantBroken as broken:
        print(broken)
    print(
        "with a key:",
        crash_at_every_await(charge_with_key, "order-1", 100, setup=setup, check=check),
    )


if __name__ == "__main__":
    main()
