"""Server-sent events: one reader for all browsers, an event only if something changed."""

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest

from kew import StoreUnavailableError
from kew.web import admin
from kew.web.feed import MOST_STREAMS, Feed
from tests.unit.web.serving import TOKEN


class Store:
    """What the feed reads: a look waits until the test allows it."""

    def __init__(self):
        self.values: Any = {"queues": [{"name": "mails", "now": 0}]}
        self.looks = 0
        self._allowed = asyncio.Semaphore(0)
        self._looked = asyncio.Semaphore(0)

    async def read(self):
        await self._allowed.acquire()
        self.looks += 1
        self._looked.release()
        if isinstance(self.values, Exception):
            raise self.values
        return {"queues": [{**row, "now": self.looks} for row in self.values["queues"]]}

    async def look(self, times=1):
        for _ in range(times):
            self._allowed.release()
            await self._looked.acquire()


def feed_of(store, **options):
    return Feed(store.read, every=0, **options)


def parsed(event):
    head, data = event.decode().removesuffix("\n\n").split("\n")
    return head.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def test_a_stream_begins_with_a_snapshot_and_goes_on_with_those_that_differ():
    store = Store()
    async with aclosing(feed_of(store).stream()) as stream:
        first = asyncio.ensure_future(anext(stream))
        await store.look()
        assert parsed(await first) == ("queues", {"queues": [{"name": "mails", "now": 1}]})
        second = asyncio.ensure_future(anext(stream))
        await store.look(3)  # nothing but the time has changed
        await asyncio.sleep(0)
        assert not second.done()
        store.values = {"queues": [{"name": "crm"}]}
        await store.look()
        assert parsed(await second) == ("queues", {"queues": [{"name": "crm", "now": 5}]})


async def test_all_browsers_share_one_reader_that_ends_with_the_last_of_them():
    store = Store()
    feed = feed_of(store)
    streams = [feed.stream() for _ in range(20)]
    firsts = [asyncio.ensure_future(anext(stream)) for stream in streams]
    await store.look()
    assert len({await first for first in firsts}) == 1
    assert store.looks == 1
    for stream in streams:
        await stream.aclose()
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert "kew-admin-feed" not in names


async def test_a_slow_browser_gets_the_latest_snapshot_alone():
    store = Store()
    async with aclosing(feed_of(store).stream()) as stream:
        first = asyncio.ensure_future(anext(stream))
        await store.look()
        await first
        for name in ("a", "b", "c"):
            store.values = {"queues": [{"name": name}]}
            await store.look()
        await asyncio.sleep(0)
        assert parsed(await anext(stream))[1]["queues"][0]["name"] == "c"


async def test_a_stream_without_changes_says_that_it_is_alive():
    store = Store()
    async with aclosing(feed_of(store, heartbeat=0.01).stream()) as stream:
        assert await anext(stream) == b": alive\n\n"


async def test_a_stream_ends_so_that_its_session_is_checked_again():
    store = Store()
    assert [event async for event in feed_of(store, longest=0).stream()] == []


async def test_a_store_that_does_not_answer_is_an_event_and_reading_goes_on(caplog):
    store = Store()
    store.values = StoreUnavailableError("no answer")
    async with aclosing(feed_of(store).stream()) as stream:
        first = asyncio.ensure_future(anext(stream))
        await store.look()
        assert parsed(await first) == ("problem", {"detail": "no answer"})
        store.values = ZeroDivisionError("a secret")
        second = asyncio.ensure_future(anext(stream))
        await store.look()
        assert b"secret" not in await second
        assert "ZeroDivisionError" in caplog.text
        store.values = {"queues": []}
        third = asyncio.ensure_future(anext(stream))
        await store.look()
        assert parsed(await third) == ("queues", {"queues": []})


async def opened(app, path="/api/events"):
    """The status, the headers and the first piece of a stream, without a server."""
    sent: asyncio.Queue[Any] = asyncio.Queue()
    gone = asyncio.Event()

    async def receive():
        await gone.wait()
        return {"type": "http.disconnect"}

    scope = {
        "type": "http",
        "asgi": {"spec_version": "2.3", "version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {TOKEN}".encode()), (b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }
    request = asyncio.ensure_future(app(scope, receive, sent.put))
    start = await sent.get()
    body = await sent.get()
    gone.set()
    await request
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], headers, body["body"]


async def test_the_endpoint_streams_the_overview(manager):
    status, headers, body = await opened(admin(manager, token=TOKEN))
    assert status == 200
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["cache-control"] == "no-store"
    name, values = parsed(body)
    assert name == "queues"
    assert [row["name"] for row in values["queues"]] == ["mails"]


async def test_too_many_streams_are_refused(manager, monkeypatch):
    monkeypatch.setattr("kew.web.feed.MOST_STREAMS", 0)
    assert MOST_STREAMS == 100
    status, _, body = await opened(admin(manager, token=TOKEN))
    assert status == 503
    assert json.loads(body)["code"] == "too-many-streams"


@pytest.mark.parametrize("text", ["a\nb", "a\r\ndata: c"])
async def test_no_text_can_forge_an_event(text):
    store = Store()
    store.values = {"queues": [{"name": text}]}
    async with aclosing(feed_of(store).stream()) as stream:
        first = asyncio.ensure_future(anext(stream))
        await store.look()
        event = await first
        assert event.count(b"\n") == 3
        assert parsed(event)[1]["queues"][0]["name"] == text
