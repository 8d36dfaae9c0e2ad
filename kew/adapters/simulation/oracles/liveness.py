"""Once the faults have stopped, everything that was accepted ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kew.adapters.simulation.oracle import Oracle
from kew.compat import override
from kew.domain.task import Task


class Liveness(Oracle):
    """Nothing waits or runs for ever."""

    name = "liveness"

    @override
    def at_end(self, records: Mapping[str, Task]) -> Iterator[str]:
        for task in records.values():
            if not task.is_terminal:
                yield (
                    f"{task.id} ({task.call.function} in {task.queue}) is still {task.status.value} "
                    f"after {task.attempt} attempts"
                )


ORACLE = Liveness
