"""A request is repeated until the store answers or a deadline passes, if it may be."""

from typing import TypeVar

import attrs
import pytest

from kew.adapters.clocks import SystemClock
from kew.adapters.memory.store import MemoryStore
from kew.app.ports import Ambiguous, Operation, Queues
from kew.app.repeat import ask
from kew.compat import override
from kew.domain.errors import StoreUnavailableError
from kew.testing import SimulatedManager, run

A = TypeVar("A")


@attrs.frozen
class Once(Operation[None]):
    """An operation that would be done twice if it was repeated."""

    name = "once"
    may_repeat = False


class Losing(MemoryStore):
    """It carries operations out, and loses the first replies."""

    def __init__(self, losses: int) -> None:
        super().__init__(SystemClock())
        self.losses = losses
        self.asked = 0

    @override
    async def do(self, operation: Operation[A]) -> A:
        self.asked += 1
        if self.asked <= self.losses:
            raise Ambiguous("the reply was lost")
        return await super().do(operation)


def test_an_operation_is_repeated_until_it_is_answered():
    async def story(_: SimulatedManager) -> None:
        store = Losing(3)
        assert await ask(store, Queues()) == []
        assert store.asked == 4

    run(story)


def test_one_that_may_not_be_repeated_is_sent_once():
    async def story(_: SimulatedManager) -> None:
        store = Losing(3)
        with pytest.raises(StoreUnavailableError, match="may or may not have been done"):
            await ask(store, Once())
        assert store.asked == 1

    run(story)
