"""A query changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from kew.compat import override
from kew.simulation.oracle import Oracle, Step


class Queries(Oracle):
    """An operation whose class says that it changes nothing."""

    name = "queries"

    @override
    def judge(self, step: Step) -> Iterator[str]:
        if step.operation.changes:
            return
        if step.alterations:
            yield f"it changed {sorted(one.id for one in step.alterations)}"
        if step.before is not step.after and step.before is not None:
            yield f"it changed the state of {step.queue}"


ORACLE = Queries
