"""The promises, each judged after every operation. A file here is an oracle; all files are used.

A file may have `HOLDS`, too: what holds all tasks of a queue back, by `Code`, as a function of the queue's state and
the instant (ms). These are conditions of gates, written a second time. Whatever judges why nothing starts asks them.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import ModuleType

from kew.domain.explaining import Code
from kew.domain.view import QueueState
from kew.simulation.facts import Facts
from kew.simulation.oracle import Oracle

Holds = Callable[[QueueState, int], bool]


@cache
def _modules() -> Sequence[ModuleType]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(importlib.import_module(f"{__name__}.{name}") for name in names)


@cache
def oracle_classes() -> Sequence[type[Oracle]]:
    """Every oracle of this folder, by file name."""
    return tuple(module.ORACLE for module in _modules())


@cache
def holds() -> Mapping[Code, Holds]:
    """What holds all tasks of a queue back, by its code."""
    return {
        code: one for module in _modules() for code, one in getattr(module, "HOLDS", {}).items()
    }


def make_oracles(facts: Facts) -> list[Oracle]:
    """One of each, for one run."""
    return [make(facts) for make in oracle_classes()]
