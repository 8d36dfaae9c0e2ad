"""Notifications from all partitions, as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from kew.app.notices import Interrupted, Notice, Resumed, Wakeup
from kew.app.partitions.reserving import one_after_the_other, together
from kew.compat import override


class PartitionedWakeup(Wakeup):
    """Subscriptions to several partitions. They stand again once all of them do."""

    def __init__(self, wakeups: Sequence[Wakeup]) -> None:
        self._wakeups = tuple(wakeups)
        self._interrupted = set[int]()

    @override
    async def listen(self, incarnation: str, deliver: Callable[[Notice], None]) -> None:
        self._interrupted.clear()  # a new subscription reports no end of what interrupted the last one
        await together(
            [
                wakeup.listen(incarnation, partial(self._deliver, deliver, number))
                for number, wakeup in enumerate(self._wakeups)
            ]
        )

    def _deliver(self, deliver: Callable[[Notice], None], number: int, notice: Notice) -> None:
        if isinstance(notice, Interrupted):
            self._interrupted.add(number)
        elif isinstance(notice, Resumed):
            self._interrupted.discard(number)
            if self._interrupted:
                return
        deliver(notice)

    @override
    async def close(self) -> None:
        await one_after_the_other([wakeup.close for wakeup in self._wakeups])
