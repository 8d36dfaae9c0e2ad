"""The programs of pages that need a worker: they submit, and `kew worker` runs their tasks, on a real Redis."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kew import TaskQueueManager

ROOT = Path(__file__).parents[2]
PROGRAM = re.compile(r"^```python\n(# (\w+\.py)\n.*?)^```$", re.MULTILINE | re.DOTALL)
REDIS = "redis://localhost:6379"


def write_programs(page: str, folder: Path, url: str) -> None:
    """Write the named programs of a page, with this Redis, without waiting, and leaving the tasks to workers."""
    for source, name in PROGRAM.findall((ROOT / "docs" / page).read_text()):
        at_once = re.sub(r"asyncio\.sleep\([\d.]+\)", "asyncio.sleep(0)", source)
        there = at_once.replace(REDIS, url).replace("create_queues()", "create_queues(work=False)")
        (folder / name).write_text(there)


def python(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_a_worker_runs_what_the_tutorials_program_submitted(tmp_path, clean_redis_url):
    write_programs("tutorial.md", tmp_path, clean_redis_url)
    python(tmp_path, "submit.py")
    python(tmp_path, "-m", "kew", "worker", "shop:manager", "--burst")
    async with TaskQueueManager(clean_redis_url) as manager:
        status = await manager.get_task_status("welcome-42")
    assert status.result == "welcomed customer 42"


@pytest.mark.parametrize(
    ("page", "module", "last_line"),
    [
        ("from-arq.md", "newsletter", "sending to 20 subscribers"),
        ("from-celery.md", "invoices", "queued"),
    ],
)
def test_a_worker_runs_a_ported_program(page, module, last_line, tmp_path, clean_redis_url):
    write_programs(page, tmp_path, clean_redis_url)
    with subprocess.Popen(
        [sys.executable, "-m", "kew", "worker", f"{module}:manager"], cwd=tmp_path
    ) as worker:
        try:
            assert python(tmp_path, "-m", module).splitlines()[-1] == last_line
        finally:
            worker.terminate()
