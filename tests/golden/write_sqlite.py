"""`python -m tests.golden.write_sqlite NAME`: store one of many things in a SQLite file, and write it down.

NAME.sql is the file as SQL, NAME.said what it says, as JSON: later versions have to read the same. When something is
stored in a new form, write one more pair, and leave the others as they are.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from kew.adapters.memory.hub import Hub
from kew.adapters.sqlite.namespace import StoredNamespace
from kew.adapters.sqlite.slices import Slices
from tests.integration.test_sqlite_differential import twins

FOLDER = Path(__file__).parent
SEED = 6  # with which something of each kind is stored at the end
STEPS = 1000
PARTS = ("tasks", "lanes", "known", "starved", "key_logs", "key_limits")


def said_by(db: sqlite3.Connection) -> Any:
    """What a file says, as plain values."""
    stored = StoredNamespace(db, "kew", Hub(), Slices())
    stored.refresh()
    queues: dict[str, Any] = {}
    for name in sorted(stored.queues):
        known: Any = stored.queues[name]
        snapshot = known.stored.snapshot()
        queues[name] = {
            "state": snapshot.state,
            **{part: getattr(snapshot, part) for part in PARTS},
            "known": {who: sorted(names) for who, names in snapshot.known.items()},
            "turns": {f"{priority} {key}": n for (priority, key), n in snapshot.turns.items()},
            "attempts": {str(key): each for key, each in known.stored.dead.attempts.all().items()},
            "counted": {str(key): each for key, each in known.stored.dead.counted.items()},
            "hours": {str(key): each for key, each in known.stored.history.hours.items()},
            "past": known.stored.history.open_tally(snapshot.state, 0),
            "presence": dict(known.presence),
            "slots": dict(known.slots),
            "idle": list(known.idle),
        }
    said = {
        "queues": queues,
        "schedules": dict(stored.schedules),
        "reports": {who: list(each) for who, each in stored.reports.items()},
    }
    return json.loads(msgspec.json.encode(said))


async def fill(path: Path) -> None:
    """Carry out random operations."""
    async with twins(path, Random(SEED), "a sample") as pair:
        for _ in range(STEPS):
            await pair.step(pair.operations.next())


def write(name: str) -> None:
    """Write both files."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kew.db"
        asyncio.run(fill(path))
        db = sqlite3.connect(path)
        numbers = [db.execute(f"PRAGMA {each}").fetchone()[0] for each in PRAGMAS]
        head = [f"PRAGMA {each} = {n};" for each, n in zip(PRAGMAS, numbers, strict=True)]
        (FOLDER / f"{name}.sql").write_text("\n".join([*head, *db.iterdump()]) + "\n")
        said = json.dumps(said_by(db), indent=1, sort_keys=True, ensure_ascii=False)
        (FOLDER / f"{name}.said").write_text(said + "\n")
        db.close()


PRAGMAS = ("application_id", "user_version")

if __name__ == "__main__":
    write(sys.argv[1])
