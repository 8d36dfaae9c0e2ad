"""examples/fastapi_app.py as people run it: a uvicorn process, HTTP, Ctrl-C."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import httpx
import pytest

ROOT = Path(__file__).parents[2]
READY = re.compile(rb"running on (http://127\.0\.0\.1:\d+)")
PATIENCE = 60.0
T = TypeVar("T")


class Server:
    """One uvicorn process; everything it prints goes to a file."""

    def __init__(self, output: Path, environment: dict[str, str]) -> None:
        self.output = output
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "examples.fastapi_app:app", "--port", "0"],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self.url = until(self._announced, self)

    def _announced(self) -> str | None:
        found = READY.search(self.output.read_bytes())
        return found[1].decode() if found else None

    def signup(self, email: str) -> httpx.Response:
        return httpx.post(f"{self.url}/signup", params={"email": email})

    def status(self, task_id: str) -> dict[str, object]:
        answer = httpx.get(f"{self.url}/tasks/{task_id}")
        return answer.raise_for_status().json()  # type: ignore[no-any-return]

    def reaches(self, task_id: str, status: str) -> dict[str, object]:
        """The task's status once it is this."""

        def found() -> dict[str, object] | None:
            now = self.status(task_id)
            return now if now["status"] == status else None

        return until(found, self)

    def interrupt(self) -> float:
        """Ctrl-C; how long it took to end, seconds."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=PATIENCE)
        return time.monotonic() - begun

    def said(self) -> str:
        return self.output.read_text()


def until(look: Callable[[], T | None], server: Server) -> T:
    deadline = time.monotonic() + PATIENCE
    while (found := look()) is None:
        assert server.process.poll() is None, server.said()
        assert time.monotonic() < deadline, server.said()
        time.sleep(0.02)
    return found


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(**environment: object) -> Server:
        words = {name: str(value) for name, value in environment.items()}
        servers.append(Server(tmp_path / f"server-{len(servers)}.log", words))
        return servers[-1]

    yield start
    for server in servers:
        server.process.kill()
        server.process.wait()


def test_signing_up_answers_at_once_and_the_mail_follows(serve):
    server = serve(MAIL_SECONDS=0.2)
    answer = server.signup("ada@example.org")
    assert answer.status_code == 202
    done = server.reaches(answer.json()["task_id"], "completed")
    assert done["result"] == "welcome, ada@example.org"


def test_signing_up_twice_writes_once(serve):
    server = serve(MAIL_SECONDS=0)
    first, second = server.signup("ada@example.org"), server.signup("ada@example.org")
    assert first.json() == second.json()
    server.reaches(first.json()["task_id"], "completed")
    assert server.said().count("mailed ada@example.org") == 1


def test_a_full_queue_is_told_to_come_again(serve):
    server = serve(MAIL_SECONDS=30, MAX_WAITING=1, GRACE_SECONDS=0.1)
    for email in ("first@example.org", "second@example.org"):
        server.reaches(server.signup(email).json()["task_id"], "processing")
    assert server.signup("waiting@example.org").status_code == 202
    refused = server.signup("refused@example.org")
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) >= 1  # by the pace at which tasks were started


def test_an_unknown_task_is_not_found(serve):
    server = serve()
    assert httpx.get(f"{server.url}/tasks/nobody").status_code == 404


def test_health_is_the_queues_status(serve):
    server = serve()
    health = httpx.get(f"{server.url}/health").json()
    assert health["name"] == "emails"
    assert health["circuit_breaker_status"] == "closed"


def test_ctrl_c_lets_what_runs_finish(serve):
    server = serve(MAIL_SECONDS=0.5)
    server.reaches(server.signup("ada@example.org").json()["task_id"], "processing")
    assert server.interrupt() < 30
    assert "mailed ada@example.org" in server.said()
    assert "Application shutdown complete" in server.said()
    assert "Traceback" not in server.said().split("Application shutdown complete")[0]


def test_what_ctrl_c_hands_back_another_process_finishes(serve, clean_redis_url):
    first = serve(KEW_URL=clean_redis_url, MAIL_SECONDS=60, GRACE_SECONDS=0.2)
    task_id = first.signup("ada@example.org").json()["task_id"]
    first.reaches(task_id, "processing")
    assert first.interrupt() < 30
    assert "mailed" not in first.said()

    second = serve(KEW_URL=clean_redis_url, MAIL_SECONDS=0)
    done = second.reaches(task_id, "completed")
    assert (done["attempt"], done["retry_count"]) == (2, 0)
    assert "mailed ada@example.org" in second.said()


def test_a_store_that_goes_away_is_answered_with_503(serve, private_redis):
    redis = private_redis()
    server = serve(KEW_URL=redis.url, GRACE_SECONDS=0.1)
    redis.kill()
    answer = httpx.post(f"{server.url}/signup", params={"email": "x@example.org"}, timeout=15)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "2"
