"""For pytest, thinly: `pytest_plugins = ["kew.testing.plugin"]` in the top conftest.py.

The fixtures are the tools themselves, so that the command line can say how many seeds, or which:
`pytest --kew-seeds 1000`, and to replay, `pytest -k that_test --kew-seed 17`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from kew.testing import CrashReport, SimulationReport, crash_at_every_await, run, simulate


def pytest_addoption(parser: pytest.Parser) -> None:
    """The seeds of every `kew_simulate`, whatever the tests say."""
    group = parser.getgroup("kew", "simulations of background tasks")
    group.addoption("--kew-seeds", type=int, help="how many seeds each kew_simulate tries")
    group.addoption("--kew-seed", type=int, help="the one seed that each kew_simulate replays")


@pytest.fixture
def kew_run() -> Callable[..., Any]:
    """`kew.testing.run`."""
    return run


@pytest.fixture
def kew_simulate(request: pytest.FixtureRequest) -> Callable[..., SimulationReport]:
    """`kew.testing.simulate`, with the seeds that the command line asks for."""
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
