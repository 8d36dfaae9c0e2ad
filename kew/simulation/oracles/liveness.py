"""Once the faults have stopped, everything that was accepted ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kew.compat import override
from kew.domain.task import Task
from kew.simulation.oracle import Oracle


class Liveness(Oracle):
    """Nothing waits or runs forever."""

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
