"""For the length of a run, the manager that a program has as a global passes its calls on to the simulated one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from kew.manager import TaskQueueManager
from kew.testing.manager import CURRENT

METHODS = tuple(
    name
    for name, value in vars(TaskQueueManager).items()
    if callable(value) and not name.startswith("_")
)


@contextlib.contextmanager
def standing_in_for(manager: TaskQueueManager | None) -> Iterator[None]:
    """Inside, each public method of `manager` is that of the simulated manager of the process that calls."""
    if manager is None:
        yield
        return
    own = vars(manager)
    own.update({name: _forwarding(name) for name in METHODS})
    try:
        yield
    finally:
        for name in METHODS:
            del own[name]


def _forwarding(name: str) -> Callable[..., Any]:
    def method(*args: Any, **kwargs: Any) -> Any:
        return getattr(CURRENT.get(), name)(*args, **kwargs)

    return method
