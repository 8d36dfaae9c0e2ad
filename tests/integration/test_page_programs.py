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
    """Write the named programs of a page, with this Redis and without waiting."""
    for source, name in PROGRAM.findall((ROOT / "docs" / page).read_text()):
        at_once = re.sub(r"asyncio\.sleep\([\d.]+\)", "asyncio.sleep(0)", source)
        (folder / name).write_text(at_once.replace(REDIS, url))


def python(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("page", "submitting", "worker", "task_id", "result"),
    [("tutorial.md", "submit.py", "shop:manager", "welcome-42", "welcomed customer 42")],
)
async def test_a_worker_runs_what_the_program_of_a_page_submitted(
    page, submitting, worker, task_id, result, tmp_path, clean_redis_url
):
    write_programs(page, tmp_path, clean_redis_url)
    python(tmp_path, submitting)
    python(tmp_path, "-m", "kew", "worker", worker, "--burst")
    async with TaskQueueManager(clean_redis_url) as manager:
        assert (await manager.get_task_status(task_id)).result == result
