"""Warning of functions whose annotations can't be resolved, once each."""

from __future__ import annotations

from kew.app.naming import Function
from kew.callables import unresolved_annotations
from kew.log import logger


class AnnotationCheck:
    """Functions are checked when they are used, since one may be decorated before a class it names is defined."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, Function]] = []

    def add(self, name: str, function: Function) -> None:
        """Check this function at the next `run`."""
        self.waiting.append((name, function))

    def run(self) -> None:
        """Check what was added since."""
        waiting, self.waiting = self.waiting, []
        for name, function in waiting:
            if unresolved := unresolved_annotations(function):
                logger.warning(
                    "function %s: the annotation of %s can't be resolved at run time, so a value that needs it is "
                    "refused; import its names outside `if TYPE_CHECKING:`, and define its classes at module level",
                    name,
                    ", ".join(unresolved),
                )
