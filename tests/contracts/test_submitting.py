"""Submitting: groups go in whole or not at all, and repeating a submit is safe."""

import asyncio

import attrs

from kew.app.ports import Cancel, Find, Submitted
from kew.domain.requests import ALONE, Along, Group, SubmitRef, Word
from kew.domain.task import TaskStatus
from tests.support.scene import HIGH, LOW, QUEUE, START_MS, Scene, call, group
from tests.support.tasks import readable


async def test_a_stored_task_is_what_was_submitted(scene: Scene):
    await scene.declare()
    submission = call(
        "a",
        function="shop:sell",
        priority=HIGH,
        payload=b"\x93\x01\x02\x03",
        at_most_once=True,
        max_retries=0,
        retry_delay_ms=250,
        timeout_ms=9_000,
    )
    await scene.try_submit(group(submission))
    task = await scene.task("a")
    assert task.call == attrs.evolve(submission, payload=b"")  # which only a run is given
    assert (task.queue, task.status, task.attempt) == ("orders", TaskStatus.QUEUED, 0)
    assert (task.ticket, task.queued_at) == (1, START_MS)
    claimed = await (await scene.worker("w1", "shop:sell")).claim_one()
    assert claimed.call == submission


async def test_any_bytes_and_any_text_come_back_as_they_were(scene: Scene):
    await scene.declare()
    odd = call(
        "{a}:b*\n\t\x00 é 日本 %s '\"\\",
        function="m:<locals>.f|;,\x1f",
        payload=bytes(range(256)) * 3,
        nonce="n:{1}|,\n",
    )
    long = call("x" * 256, payload=b"")
    await scene.try_submit(group(odd, long))
    claimed = await (await scene.worker("w1", odd.function, long.function)).claim(2)
    assert [task.call for task in claimed] == [odd, long]


async def test_a_task_without_a_due_time_is_ready_at_the_moment_of_storing(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    assert (await scene.task("a")).ready_at == START_MS


async def test_a_delay_counts_from_the_moment_of_storing(scene: Scene):
    await scene.declare()
    await scene.submit("a", delay_ms=700)
    assert (await scene.task("a")).ready_at == START_MS + 700


async def test_a_due_instant_is_kept_and_one_in_the_past_means_now(scene: Scene):
    await scene.declare()
    await scene.submit("later", due_at=START_MS + 5)
    await scene.submit("long ago", due_at=1)
    assert (await scene.task("later")).ready_at == START_MS + 5
    assert (await scene.task("long ago")).ready_at == START_MS


async def test_tickets_rise_in_the_order_of_submission(scene: Scene):
    await scene.declare()
    await scene.try_submit(group("a", "b"), group("c"))
    await scene.submit("d")
    found = map(readable, await scene.store.do(Find(["a", "b", "c", "d"])))
    assert [task and task.ticket for task in found] == [1, 2, 3, 4]


async def test_a_repeated_submit_gets_its_answer_and_stores_nothing(scene: Scene):
    await scene.declare()
    await scene.try_submit(group("a", "b"))
    outcomes = await scene.try_submit(group("a", "b"))
    assert outcomes[0].word is Word.SAME
    assert await scene.waiting() == 2


async def test_a_submit_repeated_while_its_task_runs_is_the_same(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    running = await (await scene.worker()).claim_one()
    assert (await scene.try_submit(group("a")))[0].word is Word.SAME
    assert await scene.task("a") == running


async def test_a_submit_repeated_after_its_task_has_ended_is_the_same(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    await worker.succeed(await worker.claim_one())
    assert (await scene.try_submit(group("a")))[0].word is Word.SAME
    assert (await scene.task("a")).status is TaskStatus.COMPLETED


async def test_a_used_id_is_refused_and_named(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    outcome = (await scene.try_submit(group(call("a", nonce="another"))))[0]
    assert (outcome.word, outcome.task_id) == (Word.DUPLICATE, "a")
    assert (await scene.task("a")).call.nonce == "nonce of a"


async def test_an_id_is_used_once_over_all_queues_of_a_namespace(scene: Scene):
    await scene.declare("orders")
    await scene.declare("mails")
    await scene.submit("a", queue="mails")
    outcome = (await scene.try_submit(group(call("a", nonce="another")), queue="orders"))[0]
    assert (outcome.word, outcome.task_id) == (Word.DUPLICATE, "a")
    assert (await scene.task("a")).queue == "mails"


async def test_a_group_that_names_an_id_twice_is_refused_whole(scene: Scene):
    await scene.declare()
    outcome = (await scene.try_submit(group("a", "b", "b")))[0]
    assert (outcome.word, outcome.task_id) == (Word.DUPLICATE, "b")
    assert await scene.store.do(Find(["a", "b"])) == [None, None]


async def test_a_group_with_one_used_id_stores_nothing(scene: Scene):
    await scene.declare()
    await scene.submit("taken")
    outcome = (await scene.try_submit(group("a", call("taken", nonce="another"), "b")))[0]
    assert (outcome.word, outcome.task_id) == (Word.DUPLICATE, "taken")
    assert await scene.store.do(Find(["a", "b"])) == [None, None]
    assert await scene.waiting() == 1


async def test_a_strangers_duplicate_does_not_fail_the_groups_beside_it(scene: Scene):
    await scene.declare()
    await scene.submit("taken")
    outcomes = await scene.try_submit(
        group("a"), group(call("taken", nonce="another")), group("b", "c")
    )
    assert [outcome.word for outcome in outcomes] == [Word.DONE, Word.DUPLICATE, Word.DONE]
    assert None not in await scene.store.do(Find(["a", "b", "c"]))


async def test_a_later_group_sees_what_an_earlier_one_stored(scene: Scene):
    await scene.declare()
    outcomes = await scene.try_submit(
        group("a"), group(call("a", nonce="another")), group("a"), group("b")
    )
    assert [outcome.word for outcome in outcomes] == [
        Word.DONE,
        Word.DUPLICATE,
        Word.SAME,
        Word.DONE,
    ]


async def test_a_group_goes_in_only_where_the_one_before_it_is_in(scene: Scene):
    await scene.declare()
    first, second = group("a", "b"), group("c", "d", after="b")
    assert (await scene.try_submit(second))[0].word is Word.EARLY
    assert await scene.store.do(Find(["c", "d"])) == [None, None]
    outcomes = await scene.try_submit(second, first, second, second)
    words = [outcome.word for outcome in outcomes]
    assert words == [Word.EARLY, Word.DONE, Word.DONE, Word.SAME]
    assert await scene.waiting() == 4


async def test_a_stranger_of_the_same_id_is_not_the_one_before_it(scene: Scene):
    await scene.declare()
    await scene.try_submit(group(call("a", nonce="another")))
    assert (await scene.try_submit(group("b", after="a")))[0].word is Word.EARLY
    assert await scene.store.do(Find(["b"])) == [None]


async def test_the_one_before_it_may_have_ended_or_be_another_queues(scene: Scene):
    await scene.declare()
    await scene.declare("mails")
    await scene.submit("a", queue="mails")
    assert (await scene.try_submit(group("b", after="a")))[0].word is Word.DONE
    await scene.store.do(Cancel(QUEUE, "b", None))
    assert (await scene.try_submit(group("c", after="b")))[0].word is Word.DONE


async def test_strange_names_can_come_before_it(scene: Scene):
    await scene.declare()
    strange = call("an id\nof 2 lines", nonce="n% 1")
    after = SubmitRef(strange.id, strange.nonce)
    assert (await scene.try_submit(group(strange)))[0].word is Word.DONE
    follows = Group(submissions=(call("b"),), after=after)
    assert (await scene.try_submit(follows))[0].word is Word.DONE


async def test_a_group_beyond_max_size_stores_nothing(scene: Scene):
    await scene.declare(max_size=2)
    outcome = (await scene.try_submit(group("a", "b", "c")))[0]
    assert outcome.word is Word.FULL
    assert await scene.store.do(Find(["a", "b", "c"])) == [None, None, None]


async def test_a_group_that_just_fits_goes_in(scene: Scene):
    await scene.declare(max_size=3)
    await scene.submit("a")
    assert (await scene.try_submit(group("b", "c")))[0].word is Word.DONE


async def test_after_a_group_that_is_too_large_a_smaller_one_still_fits(scene: Scene):
    await scene.declare(max_size=2)
    outcomes = await scene.try_submit(group("a"), group("b", "c"), group("d"), group("e"))
    assert [outcome.word for outcome in outcomes] == [Word.DONE, Word.FULL, Word.DONE, Word.FULL]
    assert await scene.waiting() == 2


async def test_a_repeat_is_answered_before_the_queue_is_found_full(scene: Scene):
    await scene.declare(max_size=1)
    await scene.submit("a")
    assert (await scene.try_submit(group("a")))[0].word is Word.SAME


async def test_a_duplicate_is_said_before_full(scene: Scene):
    await scene.declare(max_size=1)
    await scene.submit("a")
    assert (await scene.try_submit(group(call("a", nonce="another"))))[0].word is Word.DUPLICATE


async def test_tasks_that_run_do_not_count_towards_max_size(scene: Scene):
    await scene.declare(max_size=1)
    await scene.submit("a")
    await (await scene.worker()).claim_one()
    assert (await scene.try_submit(group("b")))[0].word is Word.DONE


async def test_a_submit_to_a_queue_that_nobody_declared_stores_nothing(scene: Scene):
    outcomes = await scene.try_submit(group("a"), group("b"), queue="nowhere")
    assert [outcome.word for outcome in outcomes] == [Word.NO_QUEUE, Word.NO_QUEUE]
    assert await scene.store.do(Find(["a", "b"])) == [None, None]


async def test_a_refused_submit_gives_no_ticket_away(scene: Scene):
    await scene.declare(max_size=1)
    await scene.try_submit(group("a", "b"))
    await scene.submit("c")
    assert (await scene.task("c")).ticket == 1


async def test_a_claim_sent_along_is_granted_what_is_next_not_what_was_submitted(scene: Scene):
    await scene.declare()
    await scene.submit("first")
    worker = await scene.worker()
    submitted = await scene.submit_and_claim([group("second")], worker.request())
    assert submitted.grant is not None
    assert [task.id for task in submitted.grant.tasks] == ["first"]
    assert (await scene.task("second")).status is TaskStatus.QUEUED


async def test_a_claim_sent_along_may_bring_what_the_same_call_stored(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    submitted = await scene.submit_and_claim(
        [group(call("low", priority=LOW)), group(call("high", priority=HIGH))], worker.request()
    )
    assert submitted.grant is not None
    assert [task.id for task in submitted.grant.tasks] == ["high"]


async def test_a_repeated_submit_with_a_claim_repeats_both(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    request = worker.request()
    first = await scene.submit_and_claim([group("a")], request)
    again = await scene.submit_and_claim([group("a")], request)
    assert again.outcomes[0].word is Word.SAME
    assert first.grant is not None
    assert again.grant is not None
    assert again.grant.word is Word.SAME
    assert again.grant.tasks == first.grant.tasks


async def test_a_claim_sent_along_to_an_undeclared_queue_says_so(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    request = attrs.evolve(worker.request(), incarnation="w9")
    submitted = await scene.submit_and_claim([group("a")], request, queue="nowhere")
    assert submitted.grant is not None
    assert submitted.grant.word is Word.NO_QUEUE


async def test_a_submit_tells_the_stores_time(scene: Scene):
    await scene.declare()
    await scene.advance(1_234)
    assert (await scene.store.submit("orders", [group("a")])).now_ms == START_MS + 1_234


async def test_of_concurrent_submits_of_one_id_exactly_one_is_stored(scene: Scene):
    await scene.declare()
    rivals = [scene.try_submit(group(call("a", nonce=f"rival {n}"))) for n in range(20)]
    words = [outcomes[0].word for outcomes in await asyncio.gather(*rivals)]
    assert sorted(words) == [Word.DONE] + [Word.DUPLICATE] * 19
    assert await scene.waiting() == 1


async def test_a_thousand_tasks_go_in_at_once_and_come_out_in_order(scene: Scene):
    await scene.declare(max_workers=1_000)
    ids = [f"task {n}" for n in range(1_000)]
    assert (await scene.try_submit(group(*ids)))[0].word is Word.DONE
    worker, found = await scene.worker(), list[str]()
    while len(found) < len(ids):  # a claim may bring fewer than it wants
        brought = await worker.claim_ids(1_000 - len(found))
        assert brought
        found += brought
    assert found == ids


# --- posting


class Told:
    """What a posted submit tells, and when."""

    def __init__(self) -> None:
        self.futures: list[asyncio.Future[Submitted]] = []

    def __call__(self, posted: "asyncio.Future[Submitted]") -> None:
        assert posted.done()
        self.futures.append(posted)


async def posted(scene: Scene, *ids: str, told: Told) -> "asyncio.Future[Submitted]":
    future = scene.store.post(QUEUE, [group(task_id) for task_id in ids], ALONE, told)
    assert not told.futures  # never before it returns
    return future


async def test_a_posted_submit_tells_its_answer_once_whether_anybody_awaits_it_or_not(scene: Scene):
    await scene.declare()
    for ids, words in ((["a", "b"], [Word.DONE, Word.DONE]), (["b", "c"], [Word.SAME, Word.DONE])):
        told = Told()
        future = await posted(scene, *ids, told=told)
        answer = await future
        await asyncio.sleep(0)
        assert told.futures == [future]
        assert [outcome.word for outcome in answer.outcomes] == words
        assert answer.now_ms == START_MS


async def test_posted_submits_of_one_moment_are_all_told(scene: Scene):
    await scene.declare(max_size=1000)
    told = [Told() for _ in range(20)]
    futures = [
        scene.store.post(QUEUE, [group(f"task-{n}")], ALONE, each) for n, each in enumerate(told)
    ]
    await asyncio.gather(*futures)
    await asyncio.sleep(0)
    assert [each.futures for each in told] == [[future] for future in futures]
    assert None not in await scene.store.do(Find([f"task-{n}" for n in range(20)]))


async def test_a_posted_submit_that_is_cancelled_tells_so_once_and_the_next_has_its_answer(
    scene: Scene,
):
    await scene.declare()
    await scene.submit("first")
    told = Told()
    future = await posted(scene, "cancelled", told=told)
    was_in_time = future.cancel()  # a store may have the answer at once
    await asyncio.wait([future])
    for _ in range(3):
        await asyncio.sleep(0)
    assert told.futures == [future]
    assert future.cancelled() == was_in_time
    told = Told()
    answer = await (await posted(scene, "next", told=told))
    assert [outcome.word for outcome in answer.outcomes] == [Word.DONE]


async def test_a_posted_submit_brings_a_claim_as_any_does(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    answer = await scene.store.post(QUEUE, [group("a")], Along(claim=worker.request(1)), Told())
    assert answer.grant is not None
    assert [task.id for task in answer.grant.tasks] == ["a"]
