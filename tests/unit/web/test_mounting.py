"""The admin API in another application, and by itself."""

import asyncio
import os
import subprocess
import sys

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from kew.domain.errors import InvalidConfigError
from kew.web import admin
from tests.unit.web.serving import AUTHORIZED, TOKEN, client_of


@pytest.mark.parametrize("kind", [FastAPI, Starlette])
async def test_it_works_below_a_path_of_another_application(manager, kind):
    inner = admin(manager, token=TOKEN, allow_changes=True)
    app = kind(routes=[Mount("/ops/kew", app=inner)])
    async with client_of(app) as client:
        assert (await client.get("/ops/kew/api/queues")).status_code == 401
        response = await client.post("/ops/kew/api/session", json={"token": TOKEN})
        assert "Path=/ops/kew/" in response.headers["set-cookie"]
        assert (await client.get("/ops/kew/api/queues")).status_code == 200
        assert (await client.post("/ops/kew/api/queues/mails/pause")).status_code == 200
        response = await client.get("/ops/kew/api/tasks/a%2Fb")
        assert response.json()["code"] == "task-not-found"
        assert "'a/b'" in response.json()["detail"]


async def test_a_url_is_opened_by_the_first_request():
    app = admin("memory://the-admin-apis", namespace="shop", token=TOKEN)
    async with client_of(app, headers=AUTHORIZED) as client:
        answers = await asyncio.gather(*(client.get("/api/info") for _ in range(3)))
        assert {answer.json()["namespace"] for answer in answers} == {"shop"}
    await app.close()


async def test_a_store_that_does_not_answer_is_a_problem_that_names_no_password():
    url = "redis://ops:the-canary@127.0.0.1:1/0"
    app = admin(url, token=TOKEN)
    async with client_of(app, headers=AUTHORIZED) as client:
        response = await client.get("/api/queues")
        assert response.status_code == 503
        assert response.json()["code"] == "store-unavailable"
        assert response.headers["retry-after"] == "2"
        assert "the-canary" not in response.text


def test_what_is_neither_a_manager_nor_a_url_is_refused():
    with pytest.raises(InvalidConfigError, match="takes a TaskQueueManager or a store's URL"):
        admin(object(), token=TOKEN)  # type: ignore[arg-type]


async def test_a_namespace_beside_a_manager_is_refused(manager):
    with pytest.raises(InvalidConfigError, match="one or the other"):
        admin(manager, namespace="shop", token=TOKEN)


async def test_a_manager_that_is_not_ready_is_a_problem(manager):
    app = admin(manager, token=TOKEN)
    await manager.shutdown()
    async with client_of(app, headers=AUTHORIZED) as client:
        response = await client.get("/api/queues")
        assert (response.status_code, response.json()["code"]) == (503, "not-ready")


WITHOUT = """
import sys
sys.modules["fastapi"] = None
import kew
assert not [name for name in sys.modules if name.split(".")[0] in ("starlette", "uvicorn", "pydantic")]
{}
"""


def run_without_the_extra(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT.format(code)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KEW_URL": "memory://"},
    )


def test_without_the_extra_kew_works_and_the_import_says_which_extra():
    done = run_without_the_extra("import kew.web")
    assert "pip install 'kew[web]'" in done.stderr
    assert "ModuleNotFoundError" in done.stderr


def test_without_the_extra_the_command_says_which_extra():
    done = run_without_the_extra("from kew.cli import main; sys.argv = ['kew', 'web']; main()")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'kew[web]'" in done.stderr
