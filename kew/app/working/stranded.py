"""Logging, once for each function, that tasks wait for a function that no process can run."""

from __future__ import annotations

from collections.abc import Mapping

from kew.app.naming import MAINS, PICKLED
from kew.app.registry import Registry
from kew.domain.task import PINNED
from kew.log import logger

TRUSTED = (
    "this process trusts its package, but importing its module failed or the module doesn't define it: "
    "correct the module and restart this process, or register the function under that name"
)
MOST = 1000  # names that are remembered; they come from the store


class Stranded:
    """What one queue's maintenance has found stuck in this process.

    A function that this process has under another module's name is logged at once. Any other is logged if it is still
    stuck at the next look: the process that runs it may be starting.
    """

    def __init__(self, queue: str, registry: Registry) -> None:
        self._queue = queue
        self._registry = registry
        self._before: set[str] = set()
        self._logged: dict[str, None] = {}

    def look(self, stuck: Mapping[str, int]) -> None:
        """Judge what is stuck now: numbers of tasks by function."""
        names = {name for name in stuck if not name.startswith(PINNED)}
        for name in sorted(names - self._logged.keys()):
            remedy = self._remedy(name)
            if remedy or name in self._before:
                self._log(name, stuck[name], remedy)
        self._before = names
        for name in self._logged.keys() - names:
            del self._logged[name]  # it was run: if it is stuck again, that is news

    def _log(self, name: str, tasks: int, remedy: str) -> None:
        if len(self._logged) >= MOST:
            return
        self._logged[name] = None
        logger.warning(
            "queue %s: %s for function %s, which no running process has registered; %s",
            self._queue,
            "1 task waits" if tasks == 1 else f"{tasks} tasks wait",
            name,
            remedy or _general_remedy(name),
        )

    def _remedy(self, name: str) -> str:
        """What to do if the function is here under another name; "": it is not."""
        if self._registry.trusts(name):
            return TRUSTED
        known = self._registry.namesakes(name)
        if not known:
            return ""
        module, _, qualname = name.partition(":")
        here = known[0].partition(":")[0]
        by_name = f"register it under that name: manager.register({qualname}, name={name!r})"
        if here in MAINS:
            advice = f"start this program with `python -m {module}`, or {by_name}"
        elif module in MAINS:
            advice = f"start the program that submits with `python -m {here}`, or {by_name} here"
        else:
            advice = by_name
        return f"if it is {known[0]} of this process, {advice}"


def _general_remedy(name: str) -> str:
    if name.startswith(PICKLED):
        return "its tasks carry their functions: give a manager that works on the queue the PickleCodec"
    package = name.partition(":")[0].partition(".")[0]
    return (
        "register it in a process that works on the queue (@manager.task, register()), "
        f"or let one import it: trust=({package!r},)"
    )
