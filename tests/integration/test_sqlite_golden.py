"""What earlier versions of kew stored in a SQLite file is read today, and their queues go on.

tests/golden/write_sqlite.py wrote the samples; a version adds its own when it stores something in a new form.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kew.app.ports import Empty, Queues, Status
from tests.golden.write_sqlite import FOLDER, said_by
from tests.support.stores import sqlite_scene

SAMPLES = sorted(path.stem for path in FOLDER.glob("*.sql"))


@pytest.fixture(params=SAMPLES)
def sample(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(sample: str, tmp_path: Path) -> Path:
    """The sample as a file."""
    made = tmp_path / "kew.db"
    with contextlib.closing(sqlite3.connect(made)) as db:
        db.executescript((FOLDER / f"{sample}.sql").read_text())
    return made


def missing(before: Any, now: Any, where: str = "") -> Iterator[str]:
    """What was said before and isn't said now; there may be more fields now."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key, value in before.items():
            yield from missing(value, now.get(key), f"{where}/{key}")
    elif before != now:
        yield f"{where}: {before} is now {now}"


def test_a_file_says_what_it_said_when_it_was_written(sample: str, path: Path):
    before = json.loads((FOLDER / f"{sample}.said").read_text())
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        assert list(missing(before, said_by(db))) == []
    for part in (
        "tasks",
        "attempts",
        "turns",
        "key_limits",
        "key_logs",
        "counted",
        "lanes",
        "starved",
    ):
        assert any(queue[part] for queue in before["queues"].values()), part
    assert before["schedules"]
    assert before["reports"]


async def test_the_queues_of_a_file_go_on(path: Path):
    scene = sqlite_scene(path)
    queues = await scene.store.do(Queues())
    assert queues
    for queue in queues:
        before = await scene.store.do(Status(queue))
        assert before is not None
        waiting = sum(before.waiting.values())
        emptied = await scene.store.do(Empty(queue, before.state.ticket, 0, 1000))
        assert emptied is not None
        assert len(emptied.cancelled) == waiting
        assert await scene.waiting(queue) == 0
    await scene.close()
