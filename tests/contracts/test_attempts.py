"""Failed attempts: the last ten of each task are kept until it completes, and the last one names the group."""

from collections.abc import Sequence

from kew.app.ports import FailureGroup, Forget, ListFailed, ListGroups, ReadAttempts, ReplayAll
from kew.domain.attempts import MOST_ATTEMPTS, FailedAttempt, HowFailed
from kew.domain.config import SHORTEST_TTL
from kew.domain.events import Failed
from kew.domain.reports import Report
from kew.domain.requests import LifeRef, Settlement, Word
from kew.domain.task import Life, Task, TaskStatus
from tests.support.scene import LEASE_MS, QUEUE, Scene, Worker, group

LEAST_MS = round(SHORTEST_TTL * 1000)
ROOM = {"max_workers": 100, "breaker_failures": 0}
SELL, BUY = "KeyError@shop:sell", "KeyError@shop:buy"


def report(name: str = SELL, *, message: str = "'a'", traceback: str = "in sell\n") -> Report:
    return Report(group=name, kind="KeyError", message=message, traceback=traceback)


async def ready(scene: Scene, queue: str = QUEUE, **settings: int) -> Worker:
    await scene.declare(queue, **{**ROOM, **settings})
    return await scene.worker("web-1-4711-x", queue=queue)


async def fail(
    worker: Worker, task: Task, said: Report | None = None, *, retry_after_ms: int | None = None
) -> None:
    event = Failed(error="boom", retry_after_ms=retry_after_ms, report=said)
    await worker.settle(Settlement(task_id=task.id, lease=task.lease, event=event))


async def fail_new(scene: Scene, worker: Worker, said: Report | None, *task_ids: str) -> None:
    """These fail for good, at this moment."""
    await scene.submit(*task_ids, queue=worker.queue)
    for task in await worker.claim(len(task_ids)):
        await fail(worker, task, said)


def ref_of(task: Task) -> LifeRef:
    return LifeRef(task.id, task.life)


async def attempts(scene: Scene, task_id: str, queue: str = QUEUE) -> Sequence[FailedAttempt]:
    life = (await scene.task(task_id)).life
    [found] = await scene.store.do(ReadAttempts(queue, [LifeRef(task_id, life)]))
    return found


async def groups(scene: Scene, queue: str = QUEUE) -> dict[str, int]:
    page = await scene.store.do(ListGroups(queue, "", 100))
    assert page is not None
    return {one.name: one.count for one in page.groups}


# --- what is kept of an attempt


async def test_an_attempt_says_when_where_how_long_and_why(scene: Scene):
    worker = await ready(scene)
    await scene.submit("a")
    task = await worker.claim_one()
    await scene.advance(1_500)
    said = report(message="é\n| ", traceback="Traceback:\n  \x00é | 7 8=\n")
    await fail(worker, task, said)
    assert list(await attempts(scene, "a")) == [
        FailedAttempt(
            number=1,
            at=scene.now,
            ran_ms=1_500,
            process="web-1-4711-x",
            how=HowFailed.FAILED,
            group=SELL,
            kind="KeyError",
            message="é\n| ",
            traceback="Traceback:\n  \x00é | 7 8=\n",
        )
    ]
    assert (await scene.task("a")).error == "boom"


async def test_a_failure_without_a_report_is_kept_too(scene: Scene):
    worker = await ready(scene)
    await fail_new(scene, worker, None, "a")
    [only] = await attempts(scene, "a")
    assert (only.how, only.group, only.traceback) == (HowFailed.FAILED, "failed", "")


async def test_the_last_ten_attempts_are_kept_in_order(scene: Scene):
    worker = await ready(scene)
    await scene.submit("a")
    for n in range(1, MOST_ATTEMPTS + 4):
        await fail(worker, await worker.claim_one(), report(message=f"{n}"), retry_after_ms=0)
    found = await attempts(scene, "a")
    assert [one.number for one in found] == list(range(4, MOST_ATTEMPTS + 4))
    assert [one.message for one in found] == [f"{one.number}" for one in found]
    assert {one.traceback for one in found} == {"in sell\n"}


async def test_each_attempt_has_its_own_traceback(scene: Scene):
    worker = await ready(scene)
    await scene.submit("a")
    tracebacks = ["one", "one", "", "two", "two", "", "", "one", "one"]
    for traceback in tracebacks:
        await fail(worker, await worker.claim_one(), report(traceback=traceback), retry_after_ms=0)
    assert [one.traceback for one in await attempts(scene, "a")] == tracebacks


async def test_lost_attempts_are_kept(scene: Scene):
    worker = await ready(scene, max_deliveries=1)
    await scene.submit("a")
    for _ in range(2):
        await worker.claim_one()
        await scene.advance(LEASE_MS)
        await scene.sweep()
    assert (await scene.task("a")).status is TaskStatus.FAILED
    found = await attempts(scene, "a")
    assert [(one.how, one.ran_ms, one.process) for one in found] == [
        (HowFailed.LOST, LEASE_MS, "web-1-4711-x")
    ] * 2
    assert await groups(scene) == {"lost": 1}


async def test_a_run_that_could_not_be_started_is_kept(scene: Scene):
    worker = await ready(scene)
    await scene.submit("a")
    await worker.could_not_start(await worker.claim_one(), "no roöm")
    [only] = await attempts(scene, "a")
    assert (only.how, only.message) == (HowFailed.NOT_STARTED, "no roöm")


async def test_an_interrupted_run_that_must_not_run_again_is_kept(scene: Scene):
    worker = await ready(scene)
    await scene.submit("a", at_most_once=True)
    await worker.release(await worker.claim_one())
    assert [one.how for one in await attempts(scene, "a")] == [HowFailed.INTERRUPTED]


async def test_a_released_run_has_not_failed(scene: Scene):
    worker = await ready(scene)
    await scene.submit("a")
    await worker.release(await worker.claim_one())
    assert list(await attempts(scene, "a")) == []


async def test_a_closure_whose_process_has_gone_says_so(scene: Scene):
    await ready(scene)
    await scene.submit("a", function="@gone-1-x/f")
    await scene.sweep()
    [only] = await attempts(scene, "a")
    assert (only.how, only.number, only.process, only.ran_ms) == (HowFailed.ORPHANED, 0, "", 0)
    assert await groups(scene) == {"orphaned": 1}
    await scene.replay("a")
    await (await scene.worker("gone-1-x")).succeed(
        await (await scene.worker("gone-1-x")).claim_one()
    )
    assert list(await attempts(scene, "a")) == []


# --- until when


async def test_a_task_that_completes_loses_its_attempts(scene: Scene):
    worker = await ready(scene)
    await scene.submit("a")
    await fail(worker, await worker.claim_one(), report(), retry_after_ms=0)
    assert len(await attempts(scene, "a")) == 1
    await worker.succeed(await worker.claim_one())
    assert list(await attempts(scene, "a")) == []


async def test_a_task_that_is_cancelled_loses_its_attempts(scene: Scene):
    worker = await ready(scene)
    await scene.submit("waits", "runs")
    for task in await worker.claim(2):
        await fail(worker, task, report(), retry_after_ms=0)
    await worker.claim_one()
    running = await worker.claim_one()
    await scene.cancel(running.id)
    await fail(worker, running, report())
    assert (await scene.task(running.id)).status is TaskStatus.CANCELLED
    assert list(await attempts(scene, running.id)) == []


async def test_a_replayed_task_keeps_its_attempts(scene: Scene):
    worker = await ready(scene)
    await fail_new(scene, worker, report(), "a")
    await scene.replay("a")
    assert len(await attempts(scene, "a")) == 1
    await fail(worker, await worker.claim_one(), report(BUY))
    assert [one.group for one in await attempts(scene, "a")] == [SELL, BUY]
    assert await groups(scene) == {BUY: 1}


async def test_an_id_that_is_used_again_has_no_attempts(scene: Scene):
    worker = await ready(scene, dead_letter_ttl_ms=1_000)
    await fail_new(scene, worker, report(), "a")
    old = (await scene.task("a")).life
    await scene.advance(1_000)
    await fail_new(scene, worker, report(BUY), "a")
    [kept] = await scene.store.do(ReadAttempts(QUEUE, [LifeRef("a", old)]))
    assert list(kept) == []
    assert [one.group for one in await attempts(scene, "a")] == [BUY]
    assert await groups(scene) == {BUY: 1}


# --- groups


async def test_a_group_has_its_count_its_first_and_last_end_and_an_example(scene: Scene):
    worker = await ready(scene)
    await fail_new(scene, worker, report(), "first")
    began = scene.now
    await scene.advance(10)
    await fail_new(scene, worker, report(BUY), "other")
    await scene.advance(10)
    await fail_new(scene, worker, report(), "last")
    page = await scene.store.do(ListGroups(QUEUE, "", 10))
    assert page is not None
    assert list(page.groups) == [
        FailureGroup(name=BUY, count=1, first_at=began + 10, last_at=began + 10, example="other"),
        FailureGroup(name=SELL, count=2, first_at=began, last_at=began + 20, example="last"),
    ]
    assert page.after is None


async def test_groups_come_in_pages(scene: Scene):
    worker = await ready(scene)
    names = [f"E{n:02}@m:f" for n in range(7)] + ["é@m:f"]
    for n, name in enumerate(names):
        await fail_new(scene, worker, report(name), f"t{n}")
    found, after = list[str](), ""
    while True:
        page = await scene.store.do(ListGroups(QUEUE, after, 3))
        assert page is not None
        found += [one.name for one in page.groups]
        if page.after is None:
            break
        after = page.after
    assert found == names


async def test_a_list_can_have_one_group_alone(scene: Scene):
    worker = await ready(scene)
    for n in range(6):
        await fail_new(scene, worker, report(SELL if n % 2 else BUY), f"t{n}")
    page = await scene.store.do(ListFailed(QUEUE, None, 2, SELL))
    assert page is not None
    rest = await scene.store.do(ListFailed(QUEUE, page.after, 2, SELL))
    assert rest is not None
    assert [task.id for task in (*page.tasks, *rest.tasks)] == ["t5", "t3", "t1"]
    assert [last and last.group for last in page.attempts] == [SELL, SELL]
    assert rest.after is None
    none = await scene.store.do(ListFailed(QUEUE, None, 2, "no such group"))
    assert none is not None
    assert list(none.tasks) == []


async def test_an_expired_dead_letter_is_not_counted_whether_or_not_it_was_removed(scene: Scene):
    worker = await ready(scene, dead_letter_ttl_ms=1_000)
    await fail_new(scene, worker, report(), "a")
    await scene.advance(500)
    await fail_new(scene, worker, report(), "b")
    await fail_new(scene, worker, report(BUY), "c")
    await scene.advance(500)
    assert await groups(scene) == {SELL: 1, BUY: 1}
    await scene.advance(500)
    assert await groups(scene) == {}
    await scene.sweep()
    assert await groups(scene) == {}


async def test_a_queue_that_was_not_declared_has_no_groups_and_no_attempts(scene: Scene):
    ref = LifeRef("a", Life(1, 0))
    assert await scene.store.do(ListGroups("nowhere", "", 10)) is None
    assert [list(one) for one in await scene.store.do(ReadAttempts("nowhere", [ref]))] == [[]]
    assert list(await scene.store.do(ReplayAll("nowhere", [ref]))) == [Word.MISSING]
    assert list(await scene.store.do(Forget("nowhere", [ref]))) == [Word.MISSING]


async def test_each_queue_has_its_own_groups(scene: Scene):
    await fail_new(scene, await ready(scene), report(), "a")
    await fail_new(scene, await ready(scene, "mails"), report(BUY), "m")
    assert await groups(scene) == {SELL: 1}
    assert await groups(scene, "mails") == {BUY: 1}


# --- replaying and removing many


async def test_many_are_replayed_at_once(scene: Scene):
    worker = await ready(scene)
    await fail_new(scene, worker, report(), "a", "b", "c")
    refs = [ref_of(await scene.task(task_id)) for task_id in "abc"]
    await scene.replay("b")
    missing = LifeRef("no such task", Life(1, 0))
    words = await scene.store.do(ReplayAll(QUEUE, [*refs, missing, refs[0]]))
    assert list(words) == [Word.DONE, Word.SAME, Word.DONE, Word.MISSING, Word.SAME]
    assert await groups(scene) == {}
    assert sorted(await worker.claim_ids()) == ["a", "b", "c"]


async def test_replays_can_be_spaced(scene: Scene):
    worker = await ready(scene)
    await fail_new(scene, worker, report(), "a", "b", "c")
    refs = [ref_of(await scene.task(task_id)) for task_id in "abc"]
    await scene.store.do(ReplayAll(QUEUE, refs, 500, 1_000))
    assert await worker.claim_ids() == []
    for task_id, ms in (("a", 500), ("b", 1_000), ("c", 1_000)):
        await scene.advance(ms - 1)
        assert await worker.claim_ids() == []
        await scene.advance(1)
        assert await worker.claim_ids() == [task_id]


async def test_a_repeated_replay_of_many_replays_none_twice(scene: Scene):
    worker = await ready(scene)
    await fail_new(scene, worker, report(), "a")
    ref = ref_of(await scene.task("a"))
    await scene.store.do(ReplayAll(QUEUE, [ref]))
    await fail(worker, await worker.claim_one(), report())
    assert list(await scene.store.do(ReplayAll(QUEUE, [ref]))) == [Word.SAME]
    assert await groups(scene) == {SELL: 1}


async def test_dead_letters_are_removed_with_all_that_belongs_to_them(scene: Scene):
    worker = await ready(scene)
    await fail_new(scene, worker, report(), "a", "b")
    await scene.submit("waits")
    refs = [ref_of(await scene.task(task_id)) for task_id in ("a", "waits")]
    assert list(await scene.store.do(Forget(QUEUE, [*refs, refs[0]]))) == [
        Word.DONE,
        Word.ILLEGAL,
        Word.MISSING,
    ]
    assert await scene.find("a") is None
    assert await groups(scene) == {SELL: 1}
    assert list((await scene.store.do(ReadAttempts(QUEUE, refs[:1])))[0]) == []
    assert (await scene.try_submit(group("a")))[0].word is Word.DONE


async def test_what_was_replayed_since_is_not_removed(scene: Scene):
    worker = await ready(scene)
    await fail_new(scene, worker, report(), "a")
    ref = ref_of(await scene.task("a"))
    await scene.replay("a")
    await fail(worker, await worker.claim_one(), report())
    assert list(await scene.store.do(Forget(QUEUE, [ref]))) == [Word.SAME]
    assert await groups(scene) == {SELL: 1}


async def test_a_purged_queue_leaves_no_attempts_and_no_groups(scene: Scene):
    worker = await ready(scene)
    await fail_new(scene, worker, report(), "a")
    await scene.submit("b")
    await fail(worker, await worker.claim_one(), report(), retry_after_ms=60_000)
    refs = [ref_of(await scene.task(task_id)) for task_id in "ab"]
    await scene.purge()
    await ready(scene)
    assert await groups(scene) == {}
    assert [list(each) for each in await scene.store.do(ReadAttempts(QUEUE, refs))] == [[], []]


# --- retention by count


async def test_the_oldest_beyond_those_to_keep_are_removed(scene: Scene):
    worker = await ready(scene, max_dead_letters=2)
    for task_id in "abcde":
        await fail_new(scene, worker, report(SELL if task_id < "d" else BUY), task_id)
        await scene.advance(1)
    assert await groups(scene) == {SELL: 3, BUY: 2}
    await scene.advance(LEAST_MS - 6)
    assert (await scene.sweep(2)).removed == 0, "a repeated submit may still look for its record"
    await scene.advance(LEAST_MS)
    swept = await scene.sweep(2)
    assert (swept.removed, swept.more) == (2, True)
    assert await groups(scene) == {SELL: 1, BUY: 2}
    swept = await scene.sweep(2)
    assert (swept.removed, swept.more) == (1, False)
    assert await groups(scene) == {BUY: 2}
    assert [await scene.find(task_id) for task_id in "abc"] == [None] * 3
    assert (await scene.try_submit(group("a")))[0].word is Word.DONE


async def test_any_number_is_kept_unless_it_is_limited(scene: Scene):
    worker = await ready(scene)
    await fail_new(scene, worker, report(), *(f"t{n}" for n in range(30)))
    assert (await scene.sweep()).removed == 0
    assert await groups(scene) == {SELL: 30}
