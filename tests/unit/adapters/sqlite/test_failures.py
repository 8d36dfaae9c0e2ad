"""What goes wrong with a file is a typed error that says what to do, and nothing of it is half done."""

import functools
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from kew.adapters.sqlite import failures, schema
from kew.adapters.sqlite.address import Address
from kew.adapters.sqlite.store import SqliteStore
from kew.app.ports import Ambiguous, Damaged, Find, Operation, Refused, Submit
from kew.domain.errors import StoreUnavailableError, StoreUnsuitableError
from kew.domain.task import Task
from tests.support.scene import QUEUE, Scene, SteppedClock, call, group
from tests.support.stores import sqlite_scene

LARGE = b"x" * 100_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kew.db"


@pytest.fixture
async def scene(path: Path) -> Any:
    made = sqlite_scene(path)
    await made.declare()
    yield made
    await made.close()


def connection_of(scene: Scene) -> sqlite3.Connection:
    """The store's own connection, which tests use while no operation is under way."""
    store: Any = scene.store
    db: sqlite3.Connection = store._writer._session.db
    return db


async def opened(path: Path) -> SqliteStore:
    store = SqliteStore(Address(str(path)), "kew", SteppedClock())
    try:
        await store.open()
    finally:
        await store.close()
    return store


@pytest.fixture
def any_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test use the store's connection, too."""
    connect: Any = sqlite3.connect
    shared = functools.partial(connect, check_same_thread=False)

    monkeypatch.setattr(sqlite3, "connect", shared)


@pytest.mark.usefixtures("any_thread")
async def test_a_full_disk_refuses_and_the_store_goes_on_once_there_is_room(
    path: Path,
):
    scene = sqlite_scene(path)
    await scene.declare()
    await scene.submit("before")
    db = connection_of(scene)
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages + 5}")
    with pytest.raises(Refused, match=r"kew\.db is full: free some space"):
        await scene.submit("refused", payload=LARGE)
    assert await scene.find("refused") is None
    assert await scene.waiting() == 1
    db.execute("PRAGMA max_page_count = 1000000")
    await scene.submit("refused", payload=LARGE)
    assert await scene.waiting() == 2
    await scene.close()


@pytest.mark.usefixtures("any_thread")
async def test_a_file_that_can_no_longer_be_written_refuses(path: Path):
    scene = sqlite_scene(path)
    await scene.declare()
    connection_of(scene).execute("PRAGMA query_only = ON")
    with pytest.raises(Refused, match="let this user write the file and its directory"):
        await scene.submit("refused")
    assert await scene.find("refused") is None
    await scene.close()


async def test_a_directory_that_there_is_not_is_an_unsuitable_store(tmp_path: Path):
    with pytest.raises(StoreUnsuitableError, match="create its directory"):
        await opened(tmp_path / "nowhere" / "kew.db")


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def overwritten(path: Path) -> Path:
    """All but the first page of the file is nonsense."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    return path


def database_of_another_program(path: Path) -> bytes:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (a)")
    other.close()
    return content(path)


def content(path: Path) -> bytes:
    return path.read_bytes()


async def test_a_file_of_another_kind_is_an_unsuitable_store(path: Path):
    written(path, "not a database " * 1000)
    with pytest.raises(StoreUnsuitableError, match="is no SQLite database"):
        await opened(path)


async def test_a_database_of_another_program_is_left_alone(path: Path):
    before = database_of_another_program(path)
    with pytest.raises(StoreUnsuitableError, match="of another program"):
        await opened(path)
    assert content(path) == before


async def test_a_file_of_a_newer_version_is_left_alone(path: Path):
    await opened(path)
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    newer.close()
    with pytest.raises(StoreUnsuitableError, match="update kew in this process"):
        await opened(path)


async def test_a_damaged_page_is_reported_as_damage(path: Path):
    scene = sqlite_scene(path)
    await scene.declare()
    await scene.submit(*(f"t{n}" for n in range(100)), payload=b"x" * 1000)
    await scene.close()
    scene = sqlite_scene(overwritten(path))
    with pytest.raises((Damaged, Refused), match="is damaged: stop all processes"):
        await scene.find("t1")
    with pytest.raises(StoreUnsuitableError, match="is damaged"):
        await scene.store.open()
    await scene.close()


async def test_a_writer_that_hangs_is_named_as_the_reason(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(schema, "BUSY_S", 0.05)
    scene = sqlite_scene(path)
    await scene.declare()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Refused, match="another process has been writing"):
        await scene.submit("refused")
    assert await scene.find("refused") is None  # reading goes on meanwhile
    other.execute("ROLLBACK")
    await scene.submit("refused")
    other.close()
    await scene.close()


@pytest.mark.parametrize(
    ("code", "is_committing", "kind"),
    [
        (sqlite3.SQLITE_IOERR, False, Refused),
        (sqlite3.SQLITE_IOERR, True, Ambiguous),
        (sqlite3.SQLITE_FULL, True, Refused),
        (sqlite3.SQLITE_BUSY, True, Refused),
        (sqlite3.SQLITE_CORRUPT, False, Damaged),
        (sqlite3.SQLITE_INTERNAL, True, Ambiguous),
    ],
)
def test_only_a_commit_that_fails_by_its_disk_is_in_doubt(
    code: int, is_committing: bool, kind: type[Exception]
):
    error = sqlite3.OperationalError("it failed")
    error.sqlite_errorcode = code | 512
    raised = failures.while_working(error, "kew.db", is_committing=is_committing)
    assert type(raised) is kind
    assert "kew.db" in str(raised)


def test_a_busy_file_is_unavailable_and_not_unsuitable():
    error = sqlite3.OperationalError("locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    assert type(failures.while_opening(error, "kew.db")) is StoreUnavailableError


async def test_an_operation_that_fails_takes_none_of_its_group_with_it(scene: Scene):
    """All of them wait for one transaction, and a record can't be written that isn't Unicode."""
    good = [Submit(QUEUE, (group(f"good {n}"),)) for n in range(3)]
    bad = Submit(QUEUE, (group(call("bad", function="\ud800")),))
    store: Any = scene.store
    asked: list[Operation[Any]] = [good[0], good[1], bad, good[2]]
    answers = [store._writer.ask(operation) for operation in asked]
    with pytest.raises(UnicodeEncodeError):
        await answers[2]
    for answer in (answers[0], answers[1], answers[3]):
        await answer
    found = await scene.store.do(Find(["good 0", "good 1", "good 2", "bad"]))
    assert [isinstance(each, Task) for each in found] == [True, True, True, False]


async def test_a_store_that_was_closed_opens_again(path: Path):
    scene = sqlite_scene(path)
    await scene.declare()
    await scene.submit("a")
    await scene.close()
    assert (await scene.task("a")).id == "a"
    await scene.close()
