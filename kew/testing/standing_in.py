"""During a run, a program's global manager forwards its calls to the simulated manager."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kew.compat import override
from kew.manager import TaskQueueManager
from kew.queues import Queue
from kew.submitting import BEHIND_HANDLES
from kew.testing.manager import CURRENT

METHODS = (
    *(
        name
        for name in dir(TaskQueueManager)
        if not name.startswith("_") and callable(getattr(TaskQueueManager, name))
    ),
    *BEHIND_HANDLES,
    "_here",  # what `manager.schedules` asks for
)


class CurrentQueues(Mapping[str, Queue]):
    """The queues of the simulated manager of the current process."""

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
    """Forward the methods of `manager`, and its `queues`, to the simulated manager of the current process."""
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
