"""What the store says of all queues, and the HTTP server that Prometheus reads it from."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

import kew
from kew import QueueConfig, StoreUnavailableError, TaskQueueManager, __version__
from kew.metrics import CONTENT_TYPE, alert_rules, dashboard, exposition
from kew.metrics.names import OF_A_PROCESS, OF_THE_STORE
from kew.metrics.serving import serve

Found = dict[tuple[str, ...], float]


def parsed(text: bytes) -> dict[str, Found]:
    """The samples of each metric, by the values of their labels."""
    labels = {metric.name: metric.labels for metric in OF_THE_STORE}
    return {
        family.name: {
            tuple(each.labels[name] for name in labels[family.name]): each.value
            for each in family.samples
        }
        for family in text_string_to_metric_families(text.decode())
    }


@pytest_asyncio.fixture
async def manager() -> AsyncIterator[TaskQueueManager]:
    async with TaskQueueManager("memory://") as manager:
        yield manager


async def test_each_queue_has_its_gauges(manager):
    await manager.create_queue(QueueConfig("mails", max_workers=3, max_size=50), work=False)
    await manager.create_queue(QueueConfig("empty"), work=False)
    for n in range(4):
        await manager.submit_task(f"t{n}", "mails", "digest", len, None, "four")
    await manager.pause_queue("mails")
    found = parsed(await exposition(manager))
    assert set(found) == {metric.name for metric in OF_THE_STORE}
    assert found["kew_store_up"] == {(): 1}
    assert found["kew_build_info"] == {(__version__,): 1}
    assert found["kew_queue_tasks"]["mails", "waiting"] == 4
    assert found["kew_queue_tasks"]["empty", "waiting"] == 0
    assert found["kew_queue_slots"]["mails",] == 3
    assert found["kew_queue_slots_used"]["mails",] == 0
    assert found["kew_queue_max_size"]["mails",] == 50
    assert found["kew_queue_dead_letters"]["mails",] == 0
    assert found["kew_queue_oldest_waiting_seconds"]["empty",] == 0
    assert found["kew_queue_breaker_state"]["mails", "closed"] == 1
    assert found["kew_queue_breaker_state"]["mails", "open"] == 0
    assert found["kew_queue_held"]["mails", "paused"] == 1
    assert found["kew_queue_held"]["mails", "draining"] == 0
    assert found["kew_queue_tasks_per_minute"]["mails", "submitted"] > 0


async def test_a_store_that_is_down_is_a_metric_and_no_error(manager, monkeypatch):
    async def fail() -> list[str]:
        raise StoreUnavailableError("no answer")

    monkeypatch.setattr(manager, "get_queue_statuses", fail)
    found = parsed(await exposition(manager))
    assert found["kew_store_up"] == {(): 0}
    assert set(found) == {"kew_store_up", "kew_build_info"}


async def test_a_store_that_says_nothing_is_given_up_in_time(manager, monkeypatch):
    monkeypatch.setattr(manager, "get_queue_statuses", asyncio.Event().wait)
    assert parsed(await exposition(manager, timeout=0.01))["kew_store_up"] == {(): 0}


# --- the server


async def answer(request: bytes) -> tuple[str, dict[str, str], bytes]:
    async def read() -> bytes:
        return b"kew_store_up 1.0\n"

    server = await serve(read, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(request)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            body = await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
    status, *fields = head.strip().split("\r\n")
    return status, dict(field.split(": ", 1) for field in fields), body


async def test_prometheus_reads_the_metrics():
    status, fields, body = await answer(b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status == "HTTP/1.1 200 OK"
    assert body == b"kew_store_up 1.0\n"
    assert (fields["Content-Type"], fields["Content-Length"]) == (CONTENT_TYPE, str(len(body)))


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET / HTTP/1.1", "200"),
        (b"GET /other HTTP/1.1", "404"),
        (b"POST /metrics HTTP/1.1", "405"),
        (b"\xff\xfe", "405"),
    ],
)
async def test_anything_else_gets_a_short_answer(request_line, status):
    said, _, body = await answer(request_line + b"\r\n\r\n")
    assert said.split()[1] == status
    assert b"kew_store_up" not in body


async def test_head_gets_no_body():
    status, fields, body = await answer(b"HEAD /metrics HTTP/1.1\r\n\r\n")
    assert (status, body) == ("HTTP/1.1 200 OK", b"")
    assert fields["Content-Length"] == "17"


async def test_an_oversized_request_is_cut_off():
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await answer(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")


# --- the dashboard and the alerts

SAMPLES = frozenset().union(*(metric.samples for metric in (*OF_A_PROCESS, *OF_THE_STORE)))
LABELS = {
    sample: {*metric.labels, "le"} if metric.kind == "histogram" else set(metric.labels)
    for metric in (*OF_A_PROCESS, *OF_THE_STORE)
    for sample in metric.samples
}
OF_PROMETHEUS = {"instance", "job"}


def expressions(text: str) -> list[str]:
    if text.startswith("{"):
        panels = json.loads(text)["panels"]
        return [target["expr"] for panel in panels for target in panel["targets"]]
    return re.findall(
        r"^ +expr: (?:>-\n)?((?:.|\n +)*?)$(?=\n +(?:for|labels):)", text, re.MULTILINE
    )


@pytest.mark.parametrize("text", [dashboard(), alert_rules()], ids=["dashboard", "alerts"])
def test_each_expression_uses_metrics_and_labels_that_exist(text):
    found = expressions(text)
    assert len(found) >= 10
    for expression in found:
        used = re.findall(r"\b(kew_\w+)", expression)
        assert used, expression
        assert set(used) <= SAMPLES, expression
        for name, selected in re.findall(r"\b(kew_\w+)\{([^}]*)\}", expression):
            assert set(re.findall(r"(\w+)(?:=~|!=|=)", selected)) <= LABELS[name], expression
        for grouped in re.findall(r"\bby \(([^)]*)\)", expression):
            known = OF_PROMETHEUS.union(*(LABELS[name] for name in used))
            assert set(re.split(r",\s*", grouped)) <= known, expression


def test_each_metric_is_in_the_dashboard():
    text = dashboard()
    missing = [
        metric.name
        for metric in {*OF_A_PROCESS, *OF_THE_STORE}
        if not any(sample in text for sample in metric.samples)
    ]
    assert sorted(missing) == ["kew_queue_max_size", "kew_tasks_submitted"]


def test_each_panel_has_a_place_of_its_own():
    taken = set[tuple[int, int]]()
    for panel in json.loads(dashboard())["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert taken.isdisjoint(cells), panel["title"]
        taken |= cells


# --- the page


def test_the_page_lists_every_metric_with_its_labels():
    page = (Path(kew.__file__).parents[1] / "docs/guide/metrics.md").read_text()
    listed = dict(re.findall(r"^\| `(kew_\w+)` \| (.*?) \|", page, re.MULTILINE))
    expected = {
        metric.name + ("_total" if metric.kind == "counter" else ""): ", ".join(
            f"`{label}`" for label in metric.labels
        )
        for metric in (*OF_A_PROCESS, *OF_THE_STORE)
    }
    assert listed == expected
