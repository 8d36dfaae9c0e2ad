"""The promises, each judged after every operation. A file here is an oracle; all files are used."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache

from kew.simulation.facts import Facts
from kew.simulation.oracle import Oracle


@cache
def oracle_classes() -> Sequence[type[Oracle]]:
    """Every oracle of this folder, by file name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return tuple(module.ORACLE for module in modules)


def make_oracles(facts: Facts) -> list[Oracle]:
    """One of each, for one run."""
    return [make(facts) for make in oracle_classes()]
