"""What users do with kew, a file for each thing: all of it is mixed in every simulated run.

A file has `FEATURES`: what it adds to the mix. It may have `WORKLOADS` too: runs that press on one thing. A new file
joins by being there. `LEFT_OUT` says why it has no features, if a package that they need isn't installed.

`SETTINGS` has values of shared settings, to be drawn where operations are mixed blindly, as in the differential test;
what stands there twice is drawn twice as often.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from functools import cache
from types import ModuleType

from kew.domain.config import SettingValue
from kew.simulation.feature import Feature, Workload


@cache
def _modules() -> Sequence[ModuleType]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(importlib.import_module(f"{__name__}.{name}") for name in names)


@cache
def all_features() -> Sequence[Feature]:
    """Every feature, by file name."""
    return tuple(feature for module in _modules() for feature in getattr(module, "FEATURES", ()))


@cache
def settings_to_draw() -> Mapping[str, Sequence[SettingValue]]:
    """The values of each setting of `Settings` that a feature names."""
    return {
        name: values
        for module in _modules()
        for name, values in getattr(module, "SETTINGS", {}).items()
    }


def left_out() -> Sequence[str]:
    """What the mix lacks because a package isn't installed, a line each."""
    reasons = (getattr(module, "LEFT_OUT", "") for module in _modules())
    return tuple(reason for reason in reasons if reason)


@cache
def workloads() -> Mapping[str, Workload]:
    """Every workload by name; "mixed" is all features together."""
    named = {one.name: one for module in _modules() for one in getattr(module, "WORKLOADS", ())}
    return {"mixed": Workload("mixed", all_features()), **named}
