"""For the length of a run, the manager that a program has as a global passes its calls on to the simulated one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kew.compat import override
from kew.manager import TaskQueueManager
from kew.queues import Queue
from kew.testing.manager import CURRENT

METHODS = tuple(
    name
    for name in dir(TaskQueueManager)
    if not name.startswith("_") and callable(getattr(TaskQueueManager, name))
)


class CurrentQueues(Mapping[str, Queue]):
    """The queues of whichever simulated manager calls."""

    @override
    def __getitem__(self, name: str) -> Queue:
        return CURRENT.get().queues[name]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(CURRENT.get().queues)

    @override
    def __len__(self) -> int:
        return len(CURRENT.get().queues)


@contextlib.contextmanager
def standing_in_for(manager: TaskQueueManager | None) -> Iterator[None]:
    """Inside, each public method of `manager`, and its `queues`, are those of the simulated manager that calls."""
    if manager is None:
        yield
        return
    own, queues = vars(manager), manager.queues
    own.update({name: _forwarding(name) for name in METHODS}, queues=CurrentQueues())
    try:
        yield
    finally:
        own["queues"] = queues
        for name in METHODS:
            del own[name]


def _forwarding(name: str) -> Callable[..., Any]:
    def method(*args: Any, **kwargs: Any) -> Any:
        return getattr(CURRENT.get(), name)(*args, **kwargs)

    return method
