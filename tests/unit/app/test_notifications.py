"""A process that notifications don't reach says so, and looks often meanwhile."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from kew.app.notifications import GRACE, LOOK_EVERY, Notifications
from kew.simulation.loop import SimulationLoop

WHY = "the subscription broke"


class Seen:
    """When it looked, in simulated seconds."""

    def __init__(self) -> None:
        self.looks: list[float] = []
        self.notifications = Notifications(self.look)

    def look(self) -> None:
        self.looks.append(asyncio.get_running_loop().time())


Story = Callable[[Seen], Awaitable[None]]


@pytest.fixture
def live(caplog: pytest.LogCaptureFixture) -> Callable[[Story], Seen]:
    caplog.set_level(logging.WARNING)

    def run(story: Story) -> Seen:
        async def main() -> Seen:
            seen = Seen()
            await story(seen)
            seen.notifications.close()
            return seen

        with SimulationLoop() as loop:
            return loop.run(main())

    return run


def test_a_short_interruption_is_not_worth_a_word(live, caplog):
    async def story(seen: Seen) -> None:
        seen.notifications.interrupted(WHY, is_refusal=False)
        assert seen.notifications.status.startswith("down since 2")
        await asyncio.sleep(GRACE / 2)
        seen.notifications.resumed()
        assert seen.notifications.status == "ok"
        await asyncio.sleep(10 * GRACE)

    seen = live(story)
    assert not caplog.messages
    assert len(seen.looks) == int(GRACE / 2 / LOOK_EVERY)


def test_a_long_interruption_is_logged_when_it_is_noticed_and_when_it_ends(live, caplog):
    async def story(seen: Seen) -> None:
        for _ in range(20):
            seen.notifications.interrupted(WHY, is_refusal=False)
            await asyncio.sleep(1)
        seen.notifications.resumed()
        await asyncio.sleep(20)

    seen = live(story)
    assert len(caplog.messages) == 2
    assert WHY in caplog.messages[0]
    assert "arrive again" in caplog.messages[1]
    assert 18 <= len(seen.looks) <= 20  # one a second, and none after the end


def test_a_reason_that_is_a_sentence_has_one_full_stop(live, caplog):
    async def story(seen: Seen) -> None:
        seen.notifications.interrupted("It was refused.", is_refusal=True)

    live(story)
    assert "no notifications: It was refused. Meanwhile" in caplog.messages[0]


def test_a_refusal_is_logged_at_once(live, caplog):
    async def story(seen: Seen) -> None:
        seen.notifications.interrupted("no right", is_refusal=True)
        assert len(caplog.messages) == 1

    live(story)


def test_a_process_that_ends_looks_and_says_no_more(live, caplog):
    async def story(seen: Seen) -> None:
        seen.notifications.interrupted(WHY, is_refusal=False)
        seen.notifications.close()
        seen.notifications.interrupted(WHY, is_refusal=True)
        await asyncio.sleep(60)

    assert not live(story).looks
    assert not caplog.messages
