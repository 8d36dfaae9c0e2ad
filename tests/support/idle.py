"""Processes that found nothing to do, and what the store tells each of them."""

from __future__ import annotations

import attrs

from kew.app.notices import Notice, TaskEnded, Woken
from kew.app.ports import Watch
from tests.support.scene import Listener, Scene, Worker

WOKEN = Woken("orders")


@attrs.frozen
class Idle:
    """Processes that found nothing, and what each is told."""

    scene: Scene
    workers: list[Worker]
    listeners: list[Listener]

    async def told(self) -> list[list[Notice]]:
        """What each was told so far: all of it, since a later notice has arrived on the same way."""
        await self.scene.advance(1)
        await self.scene.declare("fences")
        fences = [f"fence {self.scene.now} {n}" for n in range(len(self.workers))]
        await self.scene.submit(*fences, queue="fences")
        for worker, fence in zip(self.workers, fences, strict=True):
            await self.scene.store.do(Watch("fences", [fence], worker.incarnation))
            await self.scene.cancel(fence, queue="fences")
        each = zip(self.listeners, fences, strict=True)
        return [await self._before(listener, fence) for listener, fence in each]

    async def _before(self, listener: Listener, fence: str) -> list[Notice]:
        notices: list[Notice] = []
        while (notice := await listener.next()) != TaskEnded(fence):
            notices.append(notice)
        return notices

    async def woken(self) -> int:
        """How many notices that there is work were delivered, to anybody."""
        return sum(notices.count(WOKEN) for notices in await self.told())


async def idle(scene: Scene, processes: int, **settings: int) -> Idle:
    await scene.declare(**settings)
    names = [f"w{n}" for n in range(processes)]
    listeners = [await scene.listen(name) for name in names]
    workers = [await scene.worker(name) for name in names]
    for worker in workers:
        assert await worker.claim(1) == []
    return Idle(scene, workers, listeners)
