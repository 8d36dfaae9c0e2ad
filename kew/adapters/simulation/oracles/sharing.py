"""A queue's limit is shared: nobody takes more than an equal part while others found the limit reached."""

from __future__ import annotations

from collections.abc import Iterator

from kew.adapters.simulation.oracle import Oracle, Step
from kew.compat import override
from kew.domain.queue import free_leases


class Sharing(Oracle):
    """Who is hungry is known, and is left something."""

    name = "sharing"

    @override
    def judge(self, step: Step) -> Iterator[str]:
        if step.is_fresh_claim and not self._is_beyond_the_limit(step):  # that is for others to say
            yield from self._remembered(step)
            yield from self._shared(step)

    def _is_beyond_the_limit(self, step: Step) -> bool:
        return step.after is not None and len(step.leased) > step.after.settings.max_workers

    def _remembered(self, step: Step) -> Iterator[str]:
        assert step.request is not None
        assert step.grant is not None
        assert step.after is not None
        assert step.book is not None
        who = step.request.incarnation
        is_short = len(step.grant.tasks) < step.request.want
        is_full = len(step.leased) >= step.after.settings.max_workers
        if is_short and is_full and step.waiting and who not in step.book.hungry:
            yield f"{who} met the limit with {len(step.waiting)} waiting, and nobody remembers it"

    def _shared(self, step: Step) -> Iterator[str]:
        assert step.request is not None
        assert step.grant is not None
        assert step.after is not None
        who, taken = step.request.incarnation, len(step.grant.tasks)
        others = {each: it.holds for each, it in step.hungry_before.items() if each != who}
        free = taken + free_leases(step.after, len(step.leased))
        all_of_it = step.request.holds + free + sum(others.values())
        processes = len(others) + 1
        if others and taken and (step.request.holds + taken - 1) * processes >= all_of_it:
            yield f"{who} took {taken} of {free} places and holds {step.request.holds}, with {others} hungry"


ORACLE = Sharing
