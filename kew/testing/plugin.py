"""A small pytest plugin: `pytest_plugins = ["kew.testing.plugin"]` in the top conftest.py.

Its fixtures are the tools themselves, with the seeds of the command line: `pytest --kew-seeds 1000`, and to replay a
seed, `pytest -k that_test --kew-seed 17`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from kew.testing import CrashReport, SimulationReport, crash_at_every_await, run, simulate


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options for the seeds of `kew_simulate`."""
    group = parser.getgroup("kew", "simulations of background tasks")
    group.addoption("--kew-seeds", type=int, help="how many seeds each kew_simulate runs")
    group.addoption("--kew-seed", type=int, help="the single seed that each kew_simulate replays")


@pytest.fixture
def kew_run() -> Callable[..., Any]:
    """`kew.testing.run`."""
    return run


@pytest.fixture
def kew_simulate(request: pytest.FixtureRequest) -> Callable[..., SimulationReport]:
    """`kew.testing.simulate`, with the seeds given on the command line."""
    count, seed = (request.config.getoption(name) for name in ("kew_seeds", "kew_seed"))
    seeds = [seed] if seed is not None else count
    if seeds is None:
        return simulate

    @functools.wraps(simulate)
    def seeded(*args: Any, **kwargs: Any) -> SimulationReport:
        return simulate(*args, **{**kwargs, "seeds": seeds})

    return seeded


@pytest.fixture
def kew_crash_at_every_await() -> Callable[..., CrashReport]:
    """`kew.testing.crash_at_every_await`."""
    return crash_at_every_await
