"""The packages whose modules a process may import to find the functions of tasks."""

from __future__ import annotations

import re
import types
from collections.abc import Sequence

from kew.app.naming import imported
from kew.domain.errors import InvalidConfigError, UnknownFunctionError
from kew.log import logger

PACKAGE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
MOST_FAILURES = 1000  # that are remembered: the names come from the store


class Trust:
    """`packages`: for a task that names a function in one of them, the module is imported, which runs its code.

    An import that fails is logged once and not repeated: its side effects would be repeated too.
    """

    def __init__(self, packages: object) -> None:
        self._packages = _checked(packages)
        self._failures: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._packages)

    def covers(self, name: str) -> bool:
        """Whether the function's module is in one of the packages."""
        module = name.partition(":")[0]
        return any(module == each or module.startswith(f"{each}.") for each in self._packages)

    def module_of(self, name: str) -> types.ModuleType:
        """The module of a function that `covers`; it is imported if need be. Raises `UnknownFunctionError`."""
        module = name.partition(":")[0]
        if module in self._failures:
            raise UnknownFunctionError(self._failures[module])
        try:
            return imported(name)
        except UnknownFunctionError as error:
            if error.__cause__ is not None:  # the import was tried
                self._remember(module, str(error))
            raise

    def _remember(self, module: str, failure: str) -> None:
        if len(self._failures) >= MOST_FAILURES:
            del self._failures[next(iter(self._failures))]
        self._failures[module] = failure
        logger.warning(
            "%s. This process doesn't import module %s again: correct it, and restart the process",
            failure.rstrip("."),
            module,
        )


def _checked(packages: object) -> tuple[str, ...]:
    if isinstance(packages, str) or not isinstance(packages, Sequence):
        raise InvalidConfigError(f"trust must be a sequence of packages, such as ({packages!r},)")
    for package in packages:
        if not isinstance(package, str) or not PACKAGE.fullmatch(package):
            raise InvalidConfigError(f"trust names packages such as 'myapp', not {package!r}")
    return tuple(packages)
