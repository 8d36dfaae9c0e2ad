"""Tasks that wait for a function which no process can run are one line in the log, with a remedy."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from kew import QueueConfig, TaskQueueManager
from kew.adapters.clocks import SystemClock
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.store import MemoryStore
from kew.app import trust as trusting
from kew.app.ports import Operation, Status
from kew.app.registry import Registry
from kew.app.trust import Trust
from kew.app.working.stranded import Stranded
from kew.bootstrap import Parts
from kew.compat import override
from kew.domain.errors import UnknownFunctionError
from tests.support import jobs

HERE = jobs.__name__


def stranded(*names: str) -> Stranded:
    registry = Registry("inc1")
    for name in names:
        registry.register(lambda: None, name)
    return Stranded("q", registry)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each for each in caplog.messages if "no running process" in each]


def test_the_same_function_under_the_programs_name_is_logged_at_once(
    caplog: pytest.LogCaptureFixture,
):
    looker = stranded("__main__:send", "other:sent")
    for _ in range(3):
        looker.look({"worker:send": 2})
    assert lines(caplog) == [
        "queue q: 2 tasks wait for function worker:send, which no running process has registered; if it is "
        "__main__:send of this process, start this program with `python -m worker`, or register it under that name: "
        "manager.register(send, name='worker:send')"
    ]


@pytest.mark.parametrize(
    ("waiting", "here", "advice"),
    [
        ("__main__:send", "app.jobs:send", "the program that submits with `python -m app.jobs`"),
        ("__main__:send", "app.jobs:send", "manager.register(send, name='__main__:send') here"),
        ("old:send", "new:send", "if it is new:send of this process, register it under that name"),
        ("old:A.send", "new:A.send", "manager.register(A.send, name='old:A.send')"),
    ],
)
def test_the_remedy_fits_where_the_function_is(
    caplog: pytest.LogCaptureFixture, waiting: str, here: str, advice: str
):
    stranded(here).look({waiting: 1})
    (line,) = lines(caplog)
    assert advice in line
    assert "1 task waits" in line


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("shop.jobs:send", "trust=('shop',)"),
        ("send", "@manager.task"),
        ("pickled:plain", "PickleCodec"),
    ],
)
def test_an_unknown_function_is_logged_if_it_is_still_stuck_at_the_next_look(
    caplog: pytest.LogCaptureFixture, name: str, advice: str
):
    looker = stranded("other:thing")
    looker.look({name: 1})
    looker.look({})
    looker.look({name: 1})
    assert lines(caplog) == []
    for _ in range(3):
        looker.look({name: 1})
    (line,) = lines(caplog)
    assert advice in line


def test_a_function_that_is_stuck_again_after_it_ran_is_logged_again(
    caplog: pytest.LogCaptureFixture,
):
    looker = stranded("b:f")
    for stuck in ({"a:f": 1}, {}, {"a:f": 1}):
        looker.look(stuck)
    assert len(lines(caplog)) == 2


def test_closures_of_other_processes_are_not_logged_and_memory_has_a_bound(
    caplog: pytest.LogCaptureFixture,
):
    looker = stranded("b:f")
    looker.look({"@inc2/1:f": 1, "@inc2": 1})
    assert lines(caplog) == []
    looker.look({f"m{n}:f": 1 for n in range(1_500)})
    assert len(lines(caplog)) == 1_000


async def test_a_worker_logs_tasks_that_wait_for_the_name_that_its_program_would_have(
    caplog: pytest.LogCaptureFixture,
):
    async with (
        TaskQueueManager("memory://stranded", tick=0.01) as worker,
        TaskQueueManager("memory://stranded") as web,
    ):
        worker.register(jobs.echo, name="__main__:echo")
        await worker.create_queue(QueueConfig("q"))
        await web.create_queue(QueueConfig("q"), work=False)
        info = await web.submit_task("t", "q", "t", jobs.echo, None, 1)
        with pytest.raises(TimeoutError):
            await web.handle(info).result(timeout=0.5)
    assert len(lines(caplog)) == 1
    assert f"{HERE}:echo" in lines(caplog)[0]


async def test_what_is_submitted_long_after_the_workers_start_is_logged_as_soon(
    caplog: pytest.LogCaptureFixture,
):
    async with (
        TaskQueueManager("memory://late", tick=10) as worker,
        TaskQueueManager("memory://late") as web,
    ):
        worker.register(jobs.echo, name="__main__:echo")
        await worker.create_queue(QueueConfig("q"))
        served = worker._served["q"]
        assert served.worker is not None
        for _ in range(30):
            await served.maintainer._look(served.worker)
        await web.create_queue(QueueConfig("q"), work=False)
        await web.submit_task("t", "q", "t", jobs.echo, None, 1)
        for _ in range(2):
            served.worker.wake()
            await asyncio.sleep(0.05)  # for the claim that meets the task
            await served.maintainer._look(served.worker)
    assert len(lines(caplog)) == 1


# --- imports that fail


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory of a package `shaky`, whose module `jobs` counts its imports and fails."""
    package = tmp_path / "shaky"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "jobs.py").write_text(
        "import pathlib\n"
        "with open(pathlib.Path(__file__).with_name('imports'), 'a') as file: file.write('.')\n"
        "raise RuntimeError('no database')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield package
    for name in ("shaky", "shaky.jobs"):
        sys.modules.pop(name, None)


def test_an_import_that_failed_is_logged_once_and_not_repeated(
    broken: Path, caplog: pytest.LogCaptureFixture
):
    registry = Registry(trust=["shaky"])
    for name in ("shaky.jobs:f", "shaky.jobs:f", "shaky.jobs:g"):
        assert not registry.can_run(name)
        with pytest.raises(UnknownFunctionError, match="no database"):
            registry.resolve(name)
    assert (broken / "imports").read_text() == "."
    (line,) = [each for each in caplog.messages if "no database" in each]
    assert "doesn't import module shaky.jobs again: correct it, and restart the process" in line


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import asyncio; raise asyncio.CancelledError", "CancelledError"),
        ("raise BaseExceptionGroup('g', [SystemExit(3)])", "SystemExit: 3"),
        ("class E(Exception): __str__ = None\nraise E", "str() raised TypeError"),
    ],
)
def test_nothing_that_a_trusted_modules_code_raises_ends_the_process(
    broken: Path, statement: str, said: str, caplog: pytest.LogCaptureFixture
):
    (broken / "jobs.py").write_text(statement)
    assert not Registry(trust=["shaky"]).can_run("shaky.jobs:f")
    assert said in caplog.text


def test_a_function_that_a_trusted_module_lacks_is_logged_with_a_remedy_of_its_own(
    broken: Path, caplog: pytest.LogCaptureFixture
):
    (broken / "jobs.py").write_text("def f(): ...\n")
    registry = Registry(trust=["shaky"])
    registry.register(jobs.echo, name="other:g")
    assert not registry.can_run("shaky.jobs:g")
    Stranded("q", registry).look({"shaky.jobs:g": 1})
    (line,) = lines(caplog)
    assert "trusts its package" in line
    assert "other:g" not in line
    assert "trust=" not in line


def test_ctrl_c_during_an_import_is_the_programs(broken: Path):
    (broken / "jobs.py").write_text("import signal; signal.raise_signal(signal.SIGINT)")
    with pytest.raises(KeyboardInterrupt):
        Registry(trust=["shaky"]).can_run("shaky.jobs:f")


def test_a_name_that_is_no_function_spoils_no_module(broken: Path):
    (broken / "jobs.py").write_text("def f(): ...\n")
    registry = Registry(trust=["shaky"])
    for name in ("shaky.jobs", "shaky.jobs:", "shaky.jobs:missing", "shaky.__main__:f"):
        assert not registry.can_run(name)
    assert registry.can_run("shaky.jobs:f")


def test_failures_are_remembered_up_to_a_bound(broken: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trusting, "MOST_FAILURES", 2)
    trust: Any = Trust(["shaky"])
    for module in ("a", "b", "c"):
        with pytest.raises(UnknownFunctionError):
            trust.module_of(f"shaky.{module}:f")
    assert list(trust._failures) == ["shaky.b", "shaky.c"]


A = TypeVar("A")


@pytest.mark.parametrize(("trust", "looks"), [((), 6), (("shaky",), 12)])
async def test_only_a_process_with_trusted_packages_looks_at_every_renewal(
    trust: tuple[str, ...], looks: int
):
    asked = 0

    class Asked(MemoryStore):
        @override
        async def do(self, operation: Operation[A]) -> A:
            nonlocal asked
            asked += isinstance(operation, Status)
            return await super().do(operation)

    store = Asked(SystemClock())
    parts = Parts(store=store, wakeup=MemoryWakeup(store.namespace.hub))
    async with TaskQueueManager(parts=parts, trust=trust, tick=10) as manager:
        await manager.create_queue(QueueConfig("q"))
        served = manager._served["q"]
        assert served.worker is not None
        await served.maintainer._look(served.worker)
        assert asked == 0  # nothing waits in the queue, so nothing can be stuck
        await manager.submit_task("t", "q", "test", jobs.echo, _defer_by=3600)
        for _ in range(60):
            await served.maintainer._look(served.worker)
    assert asked == looks
