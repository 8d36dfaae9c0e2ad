"""Processes that share a file write in turn."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kew.adapters.sqlite import schema, turns
from kew.adapters.sqlite.turns import Turns


class Process:
    """A connection, as each process has one."""

    def __init__(self, path: Path) -> None:
        self.db = schema.connection(str(path), "off")
        self.turns = Turns(self.db, str(path))

    def close(self) -> None:
        self.turns.close()
        self.db.close()


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Process, Process]]:
    first, second = Process(tmp_path / "kew.db"), Process(tmp_path / "kew.db")
    yield first, second
    first.close()
    second.close()


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], object]]]:
    """What happens while a process waits, in order."""
    steps: list[Callable[[], object]] = []
    monkeypatch.setattr("time.sleep", lambda seconds: steps.pop(0)())
    yield steps
    assert steps == []


def test_a_process_that_has_written_queues_behind_one_that_waits(
    two: tuple[Process, Process], meanwhile: list[Callable[[], object]]
):
    first, second = two
    written: list[str] = []

    def second_writes() -> None:
        second.turns._begins()
        second.turns._leave_place()
        written.append("second")
        second.db.execute("COMMIT")

    first.turns.begin()
    assert second.turns._takes_place()  # and now it waits
    first.db.execute("COMMIT")
    meanwhile.append(second_writes)
    first.turns.begin()
    written.append("first")
    assert written == ["second", "first"]


def test_a_process_waits_for_the_one_that_writes(
    two: tuple[Process, Process], meanwhile: list[Callable[[], object]]
):
    first, second = two
    first.turns.begin()
    meanwhile.append(lambda: None)
    meanwhile.append(lambda: first.db.execute("COMMIT"))
    second.turns.begin()
    assert second.db.in_transaction


def test_a_process_that_hangs_before_it_writes_does_not_stop_the_others(
    two: tuple[Process, Process], monkeypatch: pytest.MonkeyPatch
):
    first, second = two
    assert second.turns._takes_place()
    monkeypatch.setattr(turns, "PATIENCE_S", 0.01)
    first.turns.begin()
    assert first.db.in_transaction


def test_a_process_that_hangs_while_it_writes_is_reported(
    two: tuple[Process, Process], monkeypatch: pytest.MonkeyPatch
):
    first, second = two
    first.turns.begin()
    monkeypatch.setattr(schema, "BUSY_S", 0.01)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        second.turns.begin()
    first.db.execute("COMMIT")
    second.turns.begin()
    assert second.db.in_transaction


def test_a_system_without_such_locks_asks_sqlite_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(turns, "fcntl", None)
    process = Process(tmp_path / "kew.db")
    process.turns.begin()
    assert process.db.in_transaction
    assert not (tmp_path / "kew.db-turn").exists()
    process.close()


def test_without_a_place_beside_the_file_a_process_asks_sqlite_alone(tmp_path: Path):
    (tmp_path / "kew.db-turn").mkdir()
    process = Process(tmp_path / "kew.db")
    process.turns.begin()
    assert process.db.in_transaction
    process.close()
