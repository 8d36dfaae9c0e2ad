"""A long transaction pauses for the event loop, and a short one doesn't."""

from pathlib import Path

import pytest

from kew.adapters.sqlite import store as store_module
from kew.adapters.sqlite.slices import PAUSE_S, SLICE_S, Slices
from tests.support.stores import sqlite_scene


class Time:
    """A clock that goes on by `step` each time that it is read."""

    def __init__(self, step: float) -> None:
        self.now = 0.0
        self.step = step
        self.pauses: list[float] = []

    def read(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """The time that the thread of a store sees."""
    made = Time(SLICE_S / 10)
    monkeypatch.setattr(store_module, "Slices", lambda: Slices(made.read, made.pauses.append))
    return made


async def test_a_batch_pauses_once_in_each_slice(time: Time, tmp_path: Path):
    scene = sqlite_scene(tmp_path / "kew.db")
    await scene.declare()
    before = time.now
    time.pauses.clear()
    await scene.submit(*(f"t{n}" for n in range(100)))
    await scene.close()
    slices = (time.now - before) / SLICE_S
    assert slices > 10
    assert slices / 2 < len(time.pauses) <= slices
    assert set(time.pauses) == {PAUSE_S}


async def test_what_takes_less_than_a_slice_never_pauses(time: Time, tmp_path: Path):
    time.step = SLICE_S / 1000
    scene = sqlite_scene(tmp_path / "kew.db")
    await scene.declare()
    for n in range(100):
        await scene.submit(f"t{n}")
    await scene.close()
    assert time.pauses == []
