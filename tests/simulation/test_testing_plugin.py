"""The plugin for pytest, in a pytest of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = {
    "conftest.py": 'pytest_plugins = ["kew.testing.plugin"]\n',
    "test_tasks.py": """
from kew import QueueConfig

done = []


async def work():
    done.append(1)


async def app(manager):
    await manager.create_queue(QueueConfig("q"), functions=[work])


async def scenario(manager):
    await manager.submit_task("t", "q", "t", work)


def check():
    assert done


def test_run(kew_run):
    async def drained(manager):
        await scenario(manager)
        await manager.drain()

    done.clear()
    kew_run(drained, app=app)
    assert done == [1]


def test_simulate(kew_simulate):
    report = kew_simulate(scenario, app=app, setup=done.clear, check=check, seeds=3)
    print("SEEDS", report.seeds)


def test_crash(kew_crash_at_every_await):
    kew_crash_at_every_await(work, setup=done.clear, check=check)
""",
}


@pytest.mark.parametrize(
    ("options", "seeds"), [((), 3), (("--kew-seeds", "5"), 5), (("--kew-seed", "17"), 1)]
)
def test_the_fixtures_are_the_tools_and_the_command_line_chooses_the_seeds(
    tmp_path, options, seeds
):
    for name, text in PROJECT.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-s", "-q", "-p", "no:cacheprovider", *options],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    assert f"SEEDS {seeds}\n" in done.stdout
