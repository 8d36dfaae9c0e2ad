"""A task with an `expires_in` is started in its time or not at all, and ends as cancelled then."""

from __future__ import annotations

from collections.abc import Iterator

from kew.compat import override
from kew.domain.errors import EXPIRED
from kew.domain.task import TaskStatus
from kew.simulation.oracle import Oracle, Step


class Expiring(Oracle):
    """It reckons with the store's clock at each operation."""

    name = "expiring"
    judges = ()

    @override
    def judge(self, step: Step) -> Iterator[str]:
        for one in step.alterations:
            old, new = one.old, one.new
            if old is None or new is None or one.is_created:
                continue
            may_expire = old.call.start_by_ms and not old.attempt and not old.replays
            until = old.queued_at + old.call.start_by_ms
            if one.is_granted and may_expire and step.now >= until:
                yield f"{one.id} was started {step.now - until} ms after it had expired"
            has_expired = new.status is TaskStatus.CANCELLED and new.error.startswith(EXPIRED)
            if old.is_waiting and has_expired and not (may_expire and step.now >= until):
                yield f"{one.id} was cancelled as expired, {until - step.now} ms too early"


ORACLE = Expiring
