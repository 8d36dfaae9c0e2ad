"""A record stays for as long after its end as the queue says, and no less."""

from __future__ import annotations

from collections.abc import Iterator

from kew.compat import override
from kew.domain.task import TaskStatus
from kew.simulation.oracle import Oracle, Step


class Expiry(Oracle):
    """How long a record stays after its end."""

    name = "expiry"
    judges = ()

    @override
    def judge(self, step: Step) -> Iterator[str]:
        for one in step.alterations:
            new, old = one.new, one.old
            if new is None or not new.is_terminal or (old is not None and old.is_terminal):
                continue
            assert step.after is not None
            rules = step.after.settings
            failed = new.status is TaskStatus.FAILED
            ttl = rules.dead_letter_ttl_ms if failed else rules.task_ttl_ms
            if (new.ended_at, new.expires_at) != (step.now, step.now + ttl):
                yield f"{one.id} ended now and expires {new.expires_at - step.now} ms later, not {ttl}"


ORACLE = Expiry
