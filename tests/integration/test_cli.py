"""The command line on a real Redis: what it prints, how it exits, and that it changes nothing by reading."""

import json

import pytest
import redis.asyncio

from kew import QueueConfig
from tests.support.commands import kew
from tests.support.raw_redis import read_namespace

HOSTILE = "x\x1b[31mred\x07 [bold]b[/bold] \u202eevil\r\n\ttab"
NOWHERE = "redis://:secret-word@127.0.0.1:1"


async def fine() -> str:
    return "done"


async def fails() -> None:
    raise ValueError(HOSTILE)


@pytest.fixture
async def manager(managers, clean_redis_url):
    made = await managers(clean_redis_url)
    await made.create_queue(QueueConfig("mails", max_workers=2), work=False)
    return made


@pytest.fixture
async def raw_client(clean_redis_url):
    async with redis.asyncio.from_url(clean_redis_url) as client:
        yield client


async def waits(manager, task_id="t-1", queue="mails") -> None:
    await manager.submit_task(task_id, queue, "fine", fine, None)


async def test_a_list_has_a_line_for_each_queue(manager, clean_redis_url):
    await manager.create_queue(QueueConfig("reports"), work=False)
    await waits(manager)
    printed = await kew("queue", "ls", url=clean_redis_url)
    assert printed.code == 0
    title, mails, reports = printed.out.splitlines()
    assert title.split() == ["QUEUE", "STATE", "RUNNING", "WAITING", "PROCESSES"]
    assert mails.split() == ["mails", "no", "process", "0/2", "1", "0"]
    assert reports.split() == ["reports", "idle", "0/10", "0", "0"]


async def test_json_of_a_list_is_a_line_for_each_queue(manager, clean_redis_url):
    printed = await kew("queue", "ls", "--json", url=clean_redis_url)
    [mails] = printed.lines
    status = await manager.get_queue_status("mails")
    assert {**mails, "now": 0} == {**json.loads(json.dumps(status)), "now": 0}


async def test_without_queues_a_list_is_empty_and_says_so(clean_redis_url):
    assert "no queues" in (await kew("queue", "ls", url=clean_redis_url)).out
    assert (await kew("queue", "ls", "--json", url=clean_redis_url)).out == ""


async def test_a_pause_has_a_note_with_the_name_of_who_gave_it(manager, clean_redis_url):
    printed = await kew("queue", "pause", "mails", "--note", "down", url=clean_redis_url)
    assert printed.code == 0
    status = await manager.get_queue_status("mails")
    assert status["paused"]
    assert status["pause_note"].endswith(": down")
    shown = await kew("queue", "show", "mails", url=clean_redis_url)
    assert status["pause_note"] in shown.out
    assert "mend it: kew queue resume mails" in shown.words
    assert (await kew("queue", "resume", "mails", url=clean_redis_url)).code == 0
    assert not (await manager.get_queue_status("mails"))["paused"]


async def test_a_task_that_waits_says_why(manager, clean_redis_url):
    await waits(manager)
    for words in (["why", "t-1"], ["task", "why", "t-1"], ["task", "show", "t-1"]):
        printed = await kew(*words, url=clean_redis_url)
        assert printed.code == 0
        assert "no process works on its queue" in printed.words
    explained = (await kew("why", "t-1", "--json", url=clean_redis_url)).json
    assert [reason["code"] for reason in explained["reasons"]] == ["no_process"]


async def test_a_cancellation_asks_first(manager, clean_redis_url):
    await waits(manager)
    refused = await kew("task", "cancel", "t-1", url=clean_redis_url, answer="n\n")
    assert refused.code == 1
    unanswered = await kew("task", "cancel", "t-1", url=clean_redis_url, answer="")
    assert (unanswered.code, "--yes" in unanswered.err) == (2, True)
    assert (await manager.get_task_status("t-1")).status == "queued"
    assert (await kew("task", "cancel", "t-1", url=clean_redis_url, answer="y\n")).code == 0
    assert (await manager.get_task_status("t-1")).status == "cancelled"


async def test_a_task_that_has_ended_is_not_cancelled(manager, clean_redis_url):
    await manager.create_queue(QueueConfig("quick"), functions=[fine])
    await waits(manager, "t-2", "quick")
    await manager.handle("t-2").result(timeout=10)
    printed = await kew("task", "cancel", "t-2", "--yes", url=clean_redis_url)
    assert (printed.code, printed.out) == (1, "")
    shown = await kew("task", "show", "t-2", url=clean_redis_url)
    assert 'result "done"' in shown.words


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["queue", "show", "mials"], 3, "did you mean 'mails'?"),
        (["task", "show", "t-9"], 3, "there is no task 't-9'"),
        (["why", "t-9"], 3, "there is no task 't-9'"),
        (["queu", "ls"], 2, "did you mean 'queue'?"),
        (["queue", "list"], 2, "did you mean 'ls'?"),
        (["queue", "ls", "--namespace", "a b"], 2, "namespace"),
        (["queue", "ls", "--url", "memory://"], 2, "no command can reach them"),
    ],
)
async def test_each_kind_of_failure_has_an_exit_code_and_says_what_was_meant(
    manager, clean_redis_url, words, code, said
):
    printed = await kew(*words, KEW_URL=clean_redis_url)
    assert (printed.code, printed.out) == (code, "")
    assert said in printed.words


async def test_an_unreachable_store_has_a_code_and_one_line_without_the_password():
    printed = await kew("status", url=NOWHERE)
    assert (printed.code, printed.out) == (4, "")
    assert printed.err.count("\n") == 1
    assert "secret-word" not in printed.err
    assert "127.0.0.1:1" in printed.err


async def test_hostile_text_is_printed_without_effect(manager, clean_redis_url):
    config = QueueConfig("bad", max_retries=0, max_circuit_breaker_failures=None)
    await manager.create_queue(config, functions=[fails])
    await manager.submit_task(HOSTILE, "bad", "[b]x[/b]", fails, None)
    with pytest.raises(Exception, match="red"):
        await manager.handle(HOSTILE).result(timeout=10)
    printed = await kew("task", "show", HOSTILE, url=clean_redis_url)
    assert printed.code == 0
    assert "[bold]b[/bold]" in printed.out
    assert "[b]x[/b]" in printed.out
    forbidden = [letter for letter in printed.out if letter != "\n" and not letter.isprintable()]
    assert forbidden == []
    as_json = await kew("task", "show", HOSTILE, "--json", url=clean_redis_url)
    assert as_json.json["task_id"] == HOSTILE
    assert as_json.out.strip().isprintable()


async def test_reading_changes_nothing_and_announces_no_worker(
    managers, clean_redis_url, raw_client
):
    manager = await managers(clean_redis_url)
    await manager.create_queue(QueueConfig("mails"), work=False)
    await waits(manager)
    before = await read_namespace(raw_client)
    for words in (["status"], ["queue", "ls"], ["queue", "show", "mails"], ["why", "t-1"]):
        assert (await kew(*words, url=clean_redis_url)).code == 0
    after = await read_namespace(raw_client)
    assert after.queues["mails"].presence == before.queues["mails"].presence == {}
    assert after == before
