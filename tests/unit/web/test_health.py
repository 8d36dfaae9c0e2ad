"""Probes need no token, and say no more than yes or no."""

from kew import TaskQueueManager
from kew.web import admin
from tests.unit.web.serving import TOKEN, client_of


async def test_a_process_that_can_claim_is_live_and_ready(manager):
    async with client_of(admin(manager, token=TOKEN)) as client:
        for path, answer in [
            ("/api/health/live", {"live": True}),
            ("/api/health/ready", {"live": True, "ready": True}),
        ]:
            response = await client.get(path)
            assert (response.status_code, response.json()) == (200, answer)


async def test_a_process_whose_store_does_not_answer_is_live_and_not_ready():
    app = admin("redis://ops:the-canary@127.0.0.1:1", token=TOKEN)
    async with client_of(app) as client:
        response = await client.get("/api/health/ready")
        assert (response.status_code, response.json()) == (503, {"live": True, "ready": False})
        assert (await client.get("/api/health/live")).status_code == 200


async def test_a_manager_that_has_shut_down_is_not_ready():
    async with TaskQueueManager("memory://") as manager:
        app = admin(manager, token=TOKEN)
    async with client_of(app) as client:
        assert (await client.get("/api/health/ready")).status_code == 503
