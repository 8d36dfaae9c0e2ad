"""The command line on a real Redis: what it prints, how it exits, and that it changes nothing by reading."""

import asyncio
import json
import os
import re
import sys
from datetime import UTC, datetime

import pytest
import redis.asyncio

from kew import LongTask, PerKey, ProcessInfo, QueueConfig, Rate, TaskFailedError, TaskQueueManager
from kew.cli.top import frame
from tests.support import jobs
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
    assert "to fix it: kew queue resume mails" in shown.words
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


async def test_tasks_are_listed_by_their_type_and_time(manager, clean_redis_url):
    await waits(manager)
    info = await manager.get_task_status("t-1")
    words = ["task", "ls", "mails", "--type", info.task_type, "--since", "2026-01-01"]
    assert "t-1" in (await kew(*words, url=clean_redis_url)).words
    earlier = ["task", "ls", "mails", "--until", "2026-01-01T00:00:00+01:00"]
    assert "no such tasks" in (await kew(*earlier, url=clean_redis_url)).words
    assert (await kew("task", "ls", "--type", "x", url=clean_redis_url)).code == 2
    assert (await kew(*words[:-1], "monday", url=clean_redis_url)).code == 2


async def test_a_cancellation_asks_first(manager, clean_redis_url):
    await waits(manager)
    refused = await kew("task", "cancel", "t-1", url=clean_redis_url, answer="n\n")
    assert refused.code == 1
    unanswered = await kew("task", "cancel", "t-1", url=clean_redis_url, answer="")
    assert (unanswered.code, "--yes" in unanswered.err) == (2, True)
    assert (await manager.get_task_status("t-1")).status == "queued"
    assert (await kew("task", "cancel", "t-1", url=clean_redis_url, answer="y\n")).code == 0
    assert (await manager.get_task_status("t-1")).status == "cancelled"


async def test_a_task_that_waits_for_its_due_time_is_run_now(manager, clean_redis_url):
    submit = manager.task(queue="mails")(jobs.echo)
    handle = await submit.options(task_id="t-1", defer_by=3600).submit("later")
    assert "t-1 is due now" in (await kew("task", "run", "t-1", url=clean_redis_url)).words
    assert "deferred" not in [reason.code for reason in (await manager.explain(handle)).reasons]
    await manager.cancel_task("t-1")
    ended = await kew("task", "run", "t-1", url=clean_redis_url)
    assert (ended.code, "had already ended: it cancelled" in ended.err) == (1, True)
    assert (await kew("task", "run", "t-9", url=clean_redis_url)).code == 3


async def test_a_task_that_has_ended_is_not_cancelled(manager, clean_redis_url):
    await manager.create_queue(QueueConfig("quick"), functions=[fine])
    await waits(manager, "t-2", "quick")
    await manager.handle("t-2").result(timeout=30)
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
        await manager.handle(HOSTILE).result(timeout=30)
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


async def test_overrides_are_set_shown_and_unset(manager, clean_redis_url):
    words = ["max_workers=7", "rate=100/60s:5", "task_timeout=2min", "max_size=5"]
    printed = await kew("queue", "set", "mails", *words, url=clean_redis_url)
    assert printed.code == 0, printed.err
    overrides = await manager.overrides("mails")
    assert overrides["rate"].value == (Rate(100, 60, 5),)
    assert overrides["task_timeout"].value == 120
    shown = await kew("queue", "show", "mails", url=clean_redis_url)
    assert re.search(r"max_workers=7 \(declared: 2\), set \S.* by \S+@\S+\n", shown.out)
    assert (await kew("queue", "unset", "mails", "rate", url=clean_redis_url)).code == 0
    assert "rate" not in await manager.overrides("mails")
    assert (
        await kew("queue", "unset", "mails", url=clean_redis_url)
    ).out == "mails: no overrides\n"


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("max_worker=3", "did you mean 'max_workers'?"),
        ("max_workers", "has no value"),
        ("max_workers=many", "no whole number"),
        ("rate=often", "no rate"),
        ("task_timeout=soon", "no duration"),
        ("max_workers=0", "max_workers must be"),
    ],
)
async def test_a_wrong_setting_is_refused_and_sets_nothing(manager, clean_redis_url, pair, said):
    printed = await kew("queue", "set", "mails", "max_size=9", pair, url=clean_redis_url)
    assert printed.code == 2
    assert said in printed.words
    assert await manager.overrides("mails") == {}


async def test_a_purge_counts_first_and_asks(manager, clean_redis_url):
    await waits(manager, "t-1")
    await waits(manager, "t-2")
    tried = await kew("queue", "purge", "mails", "--dry-run", url=clean_redis_url)
    assert "2 tasks of mails would be cancelled" in tried.words
    assert (await kew("queue", "purge", "mails", url=clean_redis_url, answer="n\n")).code == 1
    assert (await manager.get_queue_status("mails"))["queued_tasks"] == 2
    done = await kew("queue", "purge", "mails", "--yes", url=clean_redis_url)
    assert done.out == "2 tasks of mails cancelled.\n"


async def test_a_queue_drains_and_is_removed(managers, clean_redis_url):
    manager = await managers(clean_redis_url)
    async with TaskQueueManager(clean_redis_url) as other:
        await other.create_queue(QueueConfig("old"), work=False)
    printed = await kew("queue", "drain", "old", "--note", "bye", url=clean_redis_url)
    assert printed.code == 0
    assert (await manager.get_queue_status("old"))["drain_note"].endswith(": bye")
    assert (await kew("queue", "rm", "old", url=clean_redis_url, answer="n\n")).code == 1
    assert (await kew("queue", "rm", "old", "--yes", url=clean_redis_url)).code == 0
    assert await manager.get_queue_names() == []


async def test_a_breaker_shows_what_opened_it_and_is_closed_and_opened(manager, clean_redis_url):
    config = QueueConfig("crm", max_retries=0, max_circuit_breaker_failures=2)
    await manager.create_queue(config, functions=[fails])
    for task_id in ("a", "b"):
        await manager.submit_task(task_id, "crm", "t", fails, None)
    with pytest.raises(TaskFailedError):
        await manager.handle("b").result(timeout=30)
    printed = await kew("breaker", "show", "crm", url=clean_redis_url)
    assert "breaker open" in printed.words
    assert "opens after 2 failures in a row" in printed.words
    assert "ValueError: x" in printed.out
    assert "(task a)" in printed.out
    as_json = (await kew("breaker", "show", "crm", "--json", url=clean_redis_url)).json
    assert [failure["task_id"] for failure in as_json["failures"]] == ["a", "b"]
    assert "(2 times)" in (await kew("status", url=clean_redis_url)).words
    assert (await kew("breaker", "close", "crm", url=clean_redis_url)).code == 0
    assert (await manager.get_queue_status("crm"))["breaker"]["state"] == "closed"
    assert (await kew("breaker", "open", "crm", "--yes", url=clean_redis_url)).code == 0
    assert (await manager.get_queue_status("crm"))["breaker"]["state"] == "open"
    shown = (await kew("breaker", "show", "crm", url=clean_redis_url)).out
    rows = [" ".join(line.split()) for line in shown.splitlines()[-3:]]
    assert re.search(r"\) open by \S+@\S+$", rows[0])
    assert re.search(r"\) closed by \S+@\S+$", rows[1])
    assert ") open failures in a row: ValueError: x" in rows[2]
    assert rows[2].endswith("(task b)")
    history = (await kew("breaker", "show", "crm", "--json", url=clean_redis_url)).json["history"]
    assert [change["cause"] for change in history] == ["operator", "operator", "failures"]


async def test_a_queue_without_a_breaker_has_none_to_open(manager, clean_redis_url):
    config = QueueConfig("plain", max_circuit_breaker_failures=None)
    await manager.create_queue(config, work=False)
    printed = await kew("breaker", "open", "plain", "--yes", url=clean_redis_url)
    assert (printed.code, "pause it instead" in printed.err) == (2, True)


@pytest.fixture
async def letters(manager):
    """Three dead letters of one group."""
    config = QueueConfig("bad", max_retries=0, max_circuit_breaker_failures=None)
    await manager.create_queue(config, functions=[fails])
    for number in range(3):
        await manager.submit_task(f"bad-{number}", "bad", "t", fails, None)
    for number in range(3):
        with pytest.raises(TaskFailedError):
            await manager.handle(f"bad-{number}").result(timeout=30)
    return manager


async def test_dead_letters_are_listed_grouped_and_shown(letters, clean_redis_url):
    listed = await kew("dead", "ls", "bad", url=clean_redis_url)
    assert {line.split()[0] for line in listed.out.splitlines()[1:]} == {"bad-0", "bad-1", "bad-2"}
    page = await kew("dead", "ls", "bad", "--limit", "2", "--json", url=clean_redis_url)
    assert len(page.lines) == 2
    [group] = (await kew("dead", "groups", "bad", "--json", url=clean_redis_url)).lines
    assert group["count"] == 3
    shown = await kew("dead", "groups", "bad", url=clean_redis_url)
    assert group["name"] in shown.out
    one = await kew("dead", "show", "bad-1", url=clean_redis_url)
    assert "raise ValueError" in one.out
    assert "to fix it: kew task replay bad-1" in one.words


async def test_a_replay_of_dead_letters_tries_and_asks_first(letters, clean_redis_url):
    await letters.pause_queue("bad")
    [group] = await letters.dead_letter_groups("bad")
    words = ["dead", "replay", "bad", "--group", group.name]
    tried = await kew(*words, "--dry-run", url=clean_redis_url)
    assert "3 dead letters of bad would be replayed" in tried.words
    assert tried.out.count("bad-") == 3
    assert (await kew(*words, url=clean_redis_url, answer="n\n")).code == 1
    canary = await kew(*words, "--limit", "1", "--yes", url=clean_redis_url)
    assert canary.out == "1 dead letter of bad replayed.\n"
    spaced = await kew(*words, "--every", "2s", "--yes", url=clean_redis_url)
    assert spaced.out == "2 dead letters of bad replayed.\n"
    assert await letters.dead_letter_groups("bad") == []


async def test_dead_letters_are_purged_and_one_is_replayed(letters, clean_redis_url):
    await letters.pause_queue("bad")
    assert (await kew("task", "replay", "bad-0", url=clean_redis_url)).code == 0
    assert (await letters.get_task_status("bad-0")).status == "queued"
    tried = await kew("dead", "purge", "bad", "--dry-run", url=clean_redis_url)
    assert "2 dead letters of bad would be removed" in tried.words
    done = await kew("dead", "purge", "bad", "--yes", url=clean_redis_url)
    assert done.out == "2 dead letters of bad removed.\n"
    assert (await kew("dead", "ls", "bad", "--json", url=clean_redis_url)).out == ""


async def test_a_task_is_submitted_by_name_and_watched_to_its_end(manager, clean_redis_url):
    await manager.create_queue(QueueConfig("jobs"), functions=[jobs.echo])
    words = ["task", "submit", "jobs", "tests.support.jobs:echo", '{"a": [1]}', "--id", "j-1"]
    printed = await kew(*words, url=clean_redis_url)
    assert printed.code == 0, printed.err
    watched = await kew("task", "watch", "j-1", url=clean_redis_url)
    assert watched.code == 0
    assert 'result {"a": [1]}' in watched.words
    named = await kew(*words[:4], "value=7", "--id", "j-2", "--defer-by", "1h", url=clean_redis_url)
    assert named.code == 0
    assert "due" in named.out
    late = await kew("task", "watch", "j-2", "--timeout", "100ms", url=clean_redis_url)
    assert (late.code, "didn't end within 100ms" in late.err) == (1, True)
    assert "is deferred" in late.out or "waits" in late.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["jobs"], "is no function"),
        (["tests.support.jobs:nothing"], "can't be imported"),
        (["no.such.module:f"], "can't be imported"),
        (["tests.support.jobs:echo", "a=1"], "unexpected keyword argument"),
        (["tests.support.jobs:echo", "value=1", "2"], "stands behind"),
    ],
)
async def test_a_wrong_call_is_refused(manager, clean_redis_url, words, said):
    printed = await kew("task", "submit", "mails", *words, url=clean_redis_url)
    assert printed.code == 2
    assert said in printed.words


async def test_tasks_are_listed_by_state_and_all_that_run_without_a_queue(
    manager, ledger, clean_redis_url, tmp_path
):
    end = tmp_path / "end"
    await manager.create_queue(QueueConfig("jobs", max_workers=1), functions=[jobs.wait_for])
    for number in range(2):
        await manager.submit_task(f"j-{number}", "jobs", "t", jobs.wait_for, None, str(end))
    async with asyncio.timeout(30):
        while not await manager.get_ongoing_tasks():  # noqa: ASYNC110 - the store says it
            await asyncio.sleep(0.01)
    running = (await kew("task", "ls", "--json", url=clean_redis_url)).lines
    assert [task["task_id"] for task in running] == ["j-0"]
    waiting = await kew("task", "ls", "jobs", "--state", "waiting", url=clean_redis_url)
    assert [line.split()[0] for line in waiting.out.splitlines()] == ["TASK", "j-1"]
    both = await kew("task", "ls", "jobs", "--limit", "1", url=clean_redis_url)
    assert "There are more" in both.out
    misspelt = await kew("task", "ls", "jobs", "--state", "runing", url=clean_redis_url)
    assert (misspelt.code, "did you mean 'running'?" in misspelt.err) == (2, True)
    assert (await kew("task", "ls", "--state", "waiting", url=clean_redis_url)).code == 2
    end.touch()
    await manager.handle("j-1").result(timeout=30)


async def test_processes_are_listed_and_shown(manager, clean_redis_url):
    assert "No process works" in (await kew("process", "ls", url=clean_redis_url)).out
    await manager.create_queue(QueueConfig("jobs"), functions=[jobs.echo])
    [process] = await manager.processes()
    listed = await kew("process", "ls", url=clean_redis_url)
    assert listed.out.splitlines()[1].split()[0] == process.name
    shown = await kew("process", "show", process.name, url=clean_redis_url)
    assert "tests.support.jobs:echo" in shown.out
    assert "jobs (0 running)" in shown.out
    as_json = (await kew("process", "show", process.name, "--json", url=clean_redis_url)).json
    assert as_json["functions"] == ["tests.support.jobs:echo"]
    assert (await kew("process", "show", "nowhere:1", url=clean_redis_url)).code == 3


async def test_top_without_a_terminal_says_what_to_use_instead(manager, clean_redis_url):
    printed = await kew("top", url=clean_redis_url)
    assert (printed.code, "kew status --json" in printed.err) == (2, True)


async def test_the_screen_of_top_has_what_is_urgent_first_and_fits_a_narrow_terminal(manager):
    await manager.create_queue(QueueConfig("a-quiet-one"), work=False)
    await waits(manager)
    statuses = [await manager.get_queue_status(name) for name in ("a-quiet-one", "mails")]
    now = datetime.now(UTC)
    long = LongTask(task_id="t" * 80, queue="q", function="f" * 80, seconds=7, where="/a.py:1 (f)")
    [process] = [
        ProcessInfo(
            id="x", name="web:1", host="web", pid=1, version="1", heartbeat_time=now,
            started_time=now, queues=(), long_tasks=(long,),
        )
    ]  # fmt: skip
    lines = [line.plain for line in frame(statuses, [process], now=now, width=60)]
    queues = [line.split()[0] for line in lines[3:5]]
    assert queues == ["mails", "a-quiet-one"]
    assert all(len(line) <= 60 for line in lines[1:])
    assert any("/a.py:1 (f)" in line for line in lines)


async def test_stats_have_a_line_for_each_queue_or_each_minute_of_one(manager, clean_redis_url):
    await manager.create_queue(QueueConfig("jobs"), functions=[jobs.echo])
    for number in range(3):
        await manager.submit_task(f"j-{number}", "jobs", "t", jobs.echo, None)
        await manager.handle(f"j-{number}").result(timeout=30)
    title, done, mails = (await kew("stats", url=clean_redis_url)).out.splitlines()
    assert title.split()[:4] == ["QUEUE", "SUBMITTED", "DONE", "FAILED"]
    assert done.split()[:4] == ["jobs", "3", "3", "0"]
    assert mails.split()[:4] == ["mails", "0", "0", "0"]
    steps = await kew("stats", "jobs", "--span", "10min", url=clean_redis_url)
    assert steps.out.splitlines()[-2].split()[:3] == ["all", "3", "3"]
    as_json = (await kew("stats", "jobs", "--span", "2d", "--json", url=clean_redis_url)).json
    assert as_json["step"] == 3600
    assert (await kew("stats", "jobs", "--span", "90d", url=clean_redis_url)).code == 2


async def test_a_purge_chooses_by_function_and_state(manager, clean_redis_url):
    await waits(manager, "t-1")
    await manager.submit_task("t-2", "mails", "echo", jobs.echo, None)
    await manager.submit_task("t-3", "mails", "echo", jobs.echo, None, _defer_by=3600)
    words = ["queue", "purge", "mails", "--function", "tests.support.jobs:echo"]
    tried = await kew(*words, "--dry-run", url=clean_redis_url)
    assert {line.split()[0] for line in tried.out.splitlines()} == {"t-2", "t-3", "2"}
    done = await kew(*words, "--state", "deferred", "--yes", url=clean_redis_url)
    assert done.out == "1 task of mails cancelled.\n"
    assert (await manager.get_task_status("t-3")).status == "cancelled"
    assert (await manager.get_task_status("t-2")).status == "queued"


async def test_limits_of_a_key_are_set_listed_shown_and_removed(managers, clean_redis_url):
    manager = await managers(clean_redis_url)
    config = QueueConfig("crm", per_key=PerKey(max_workers=1))
    await manager.create_queue(config, work=False)
    await manager.submit_task("t-1", "crm", "t", fine, None, _key="acme")
    assert "No key of crm" in (await kew("key", "ls", "crm", url=clean_redis_url)).out
    words = ["key", "set", "crm", "acme", "max_workers=5", "rate=10/1s", "--expires-in", "1h"]
    printed = await kew(*words, url=clean_redis_url)
    assert printed.code == 0, printed.err
    [limit] = (await kew("key", "ls", "crm", "--json", url=clean_redis_url)).lines
    assert (limit["key"], limit["max_workers"]) == ("acme", 5)
    assert limit["expires"] is not None
    assert "10 in 1 s" in (await kew("key", "ls", "crm", url=clean_redis_url)).words
    shown = await kew("key", "show", "crm", "acme", url=clean_redis_url)
    assert "max_workers 5" in shown.words
    assert "as the queue declares: max_workers 1, max_size none, rate none" in shown.words
    assert "1 task of it waits t-1" in shown.words
    listed = await kew("queue", "show", "crm", url=clean_redis_url)
    assert "due for longest: acme" in listed.words
    assert (await kew("key", "rm", "crm", "acme", url=clean_redis_url, answer="n\n")).code == 1
    assert (await kew("key", "rm", "crm", "acme", "--yes", url=clean_redis_url)).code == 0
    assert (await kew("key", "rm", "crm", "acme", "--yes", url=clean_redis_url)).code == 3
    assert (await kew("key", "show", "crm", "emca", url=clean_redis_url)).code == 3
    for key in ("a", "b", "c"):
        await manager.set_key_limit("crm", key, max_workers=2)
    some = await kew("key", "ls", "crm", "--limit", "2", url=clean_redis_url)
    assert "There are more: --limit 10" in some.out
    assert len((await kew("key", "ls", "crm", "--json", url=clean_redis_url)).lines) == 3
    wrong = await kew("key", "set", "crm", "acme", "max_worker=5", url=clean_redis_url)
    assert (wrong.code, "did you mean 'max_workers'?" in wrong.words) == (2, True)


async def test_the_shell_completes_commands_and_the_names_of_queues(manager, clean_redis_url):
    async def completed(line: str, **environ: str) -> list[str]:
        words = line.split(" ")
        asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kew"),
            env={**os.environ, "_KEW_COMPLETE": "bash_complete", **asked, **environ},
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        return [one.partition(",")[2] for one in out.decode().split()]

    assert await completed("kew qu") == ["queue"]
    async with asyncio.timeout(90):  # the store has a second to answer, and the machine may be busy
        while not (names := await completed("kew queue show ma", KEW_URL=clean_redis_url)):
            pass
    assert names == ["mails"]
    assert await completed("kew queue show ma", KEW_URL="redis://127.0.0.1:1") == []


async def test_a_schedule_is_listed_shown_paused_run_and_removed(manager, clean_redis_url):
    assert "no schedules" in (await kew("schedule", "ls", url=clean_redis_url)).out
    schedules = manager.schedules
    await schedules.put("daily", jobs.echo, "0 9 * * *", queue="mails", tz="Europe/Berlin")
    await schedules.put("often", jobs.echo, every=300, queue="mails")

    listed = await kew("schedule", "ls", url=clean_redis_url)
    assert "0 9 * * * (Europe/Berlin)" in listed.words
    assert "every 5 min" in listed.words
    [daily, often] = (await kew("schedule", "ls", "mails", "--json", url=clean_redis_url)).lines
    assert (daily["name"], daily["cron"], often["every"]) == ("daily", "0 9 * * *", 300)
    shown = await kew("schedule", "show", "daily", url=clean_redis_url)
    assert "tests.support.jobs:echo" in shown.words
    assert "At 09:00 every day" in shown.words
    ticks = await kew("schedule", "next", "daily", "--limit", "3", url=clean_redis_url)
    assert [line.split()[2] for line in ticks.out.splitlines()] == ["09:00:00"] * 3

    paused = await kew("schedule", "pause", "daily", "--note", "wrong", url=clean_redis_url)
    assert paused.code == 0
    assert (await schedules.get("daily")).note.endswith(": wrong")
    assert "paused" in (await kew("schedule", "ls", url=clean_redis_url)).words
    assert (await kew("schedule", "resume", "daily", url=clean_redis_url)).code == 0
    assert not (await schedules.get("daily")).paused

    assert (await kew("schedule", "run", "often", url=clean_redis_url)).code == 0
    period = ["2026-11-02", "2026-11-04T00:00:00+00:00"]
    dry = await kew("schedule", "backfill", "daily", *period, "--dry-run", url=clean_redis_url)
    assert "2 ticks of daily would be submitted" in dry.out
    filled = await kew("schedule", "backfill", "daily", *period, "--yes", url=clean_redis_url)
    assert "2 tasks submitted" in filled.out
    assert "daily@2026-11-03T08:00:00Z" in filled.words
    assert (await manager.get_queue_status("mails"))["queued_tasks"] == 3

    refused = await kew("schedule", "rm", "daily", url=clean_redis_url, answer="n\n")
    assert refused.code == 1
    assert (await kew("schedule", "rm", "daily", "--yes", url=clean_redis_url)).code == 0
    assert [each.name for each in await schedules.list()] == ["often"]


async def test_what_cannot_be_done_to_a_schedule_is_said(manager, clean_redis_url):
    await manager.schedules.put("often", jobs.echo, every=300, queue="mails")
    for words in (["show", "oftne"], ["rm", "oftne", "--yes"], ["run", "oftne"]):
        missing = await kew("schedule", *words, url=clean_redis_url)
        assert missing.code == 3
        assert "often" in missing.err
    wrong = await kew("schedule", "backfill", "often", "monday", "2026-11-04", url=clean_redis_url)
    assert wrong.code == 2
    assert "2026-11-30" in wrong.err
