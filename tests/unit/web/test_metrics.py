"""The store's metrics by the admin API."""

import sys

import pytest

pytest.importorskip("prometheus_client")


async def test_the_metrics_of_the_store_are_served(client):
    response = await client.get("/api/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'kew_queue_slots{queue="mails"} 10' in response.text


async def test_without_the_extra_the_answer_says_which(client, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("kew.metrics")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    response = await client.get("/api/metrics")
    assert (response.status_code, response.json()["code"]) == (501, "not-installed")
    assert "kew[prometheus]" in response.json()["detail"]
