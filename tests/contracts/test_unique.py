"""Tasks of which there is one at a time, by a key of their own."""

import pytest

from kew.app.ports import Forget, ReplayAll
from kew.domain.events import Succeeded
from kew.domain.requests import Along, GroupOutcome, LifeRef, Settlement, Word
from kew.domain.task import TaskStatus
from tests.support.scene import QUEUE, Scene, call, group

LARGE = bytes(5000)
UNTIL_STARTED, UNTIL_FINISHED, FOR_A_SECOND = "sj:key", "fj:key", "1000j:key"
ANY = (UNTIL_STARTED, UNTIL_FINISHED, FOR_A_SECOND)
DEBOUNCED = "sp3000:key"


def met(*pairs: tuple[str, str]) -> GroupOutcome:
    return GroupOutcome(Word.DONE, met=pairs)


async def submit(scene: Scene, task_id: str, unique: str, **options) -> GroupOutcome:
    (outcome,) = await scene.try_submit(group(call(task_id, unique=unique, **options)))
    return outcome


async def is_free(scene: Scene, unique: str) -> bool:
    """A submit stores a task, which is cancelled at once."""
    outcome = await submit(scene, "probe", unique)
    if outcome.met or outcome.word is not Word.DONE:
        return False
    await scene.cancel("probe")
    life = (await scene.task("probe")).life
    assert list(await scene.store.do(Forget(QUEUE, [LifeRef("probe", life)]))) == [Word.DONE]
    return True


@pytest.mark.parametrize("unique", ANY)
async def test_a_second_submit_joins_the_task_that_holds_the_key(scene: Scene, unique: str):
    await scene.declare()
    assert await submit(scene, "a", unique) == GroupOutcome(Word.DONE)
    assert await submit(scene, "b", unique) == met(("b", "a"))
    assert await scene.find("b") is None
    assert await scene.waiting() == 1
    other = unique.replace("key", "other")
    assert await submit(scene, "c", other) == GroupOutcome(Word.DONE)


async def test_a_key_is_its_queue_s_own(scene: Scene):
    await scene.declare()
    await scene.declare("mails")
    await submit(scene, "a", UNTIL_FINISHED)
    [outcome] = await scene.try_submit(group(call("b", unique=UNTIL_FINISHED)), queue="mails")
    assert outcome == GroupOutcome(Word.DONE)


async def test_a_key_with_any_letters_is_kept(scene: Scene):
    await scene.declare()
    odd = "fj:ü 100%,a=b\n:/{}"
    await submit(scene, "a", odd, key="b,c=", cost=2)
    assert (await scene.task("a")).call.unique == odd
    assert await submit(scene, "b", odd) == met(("b", "a"))


async def test_a_submit_that_may_not_meet_another_is_refused(scene: Scene):
    await scene.declare()
    await submit(scene, "a", "fr:key")
    assert await submit(scene, "b", "fr:key") == GroupOutcome(Word.HELD, "a")
    assert await scene.find("b") is None


async def test_a_key_held_until_the_start_is_free_once_its_task_has_started(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await submit(scene, "a", UNTIL_STARTED)
    task = await worker.claim_one()
    assert await is_free(scene, UNTIL_STARTED)
    await worker.fail(task, retry_after_ms=1000)
    assert await is_free(scene, UNTIL_STARTED)
    await submit(scene, "b", UNTIL_STARTED)
    assert await submit(scene, "c", UNTIL_STARTED) == met(("c", "b"))


async def test_a_key_held_until_the_end_is_held_through_retries(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await submit(scene, "a", UNTIL_FINISHED)
    task = await worker.claim_one()
    assert not await is_free(scene, UNTIL_FINISHED)
    await worker.fail(task, retry_after_ms=0)
    assert not await is_free(scene, UNTIL_FINISHED)
    await worker.succeed(await worker.claim_one())
    assert await is_free(scene, UNTIL_FINISHED)


async def test_a_key_is_free_when_its_task_fails(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    for unique in (UNTIL_FINISHED, FOR_A_SECOND):
        await submit(scene, f"a{unique}", unique)
        await worker.fail(await worker.claim_one())
        assert await is_free(scene, unique)


@pytest.mark.parametrize("unique", ANY)
async def test_a_key_is_free_when_its_task_is_cancelled(scene: Scene, unique: str):
    await scene.declare()
    await submit(scene, "a", unique)
    await scene.cancel("a")
    assert await is_free(scene, unique)


@pytest.mark.parametrize("unique", ANY)
async def test_a_key_is_free_when_its_task_expires_unstarted(scene: Scene, unique: str):
    await scene.declare()
    await submit(scene, "a", unique, start_by_ms=500)
    await scene.advance(500)
    await scene.sweep()
    assert await is_free(scene, unique)


@pytest.mark.parametrize("unique", [*ANY, "fp:key", DEBOUNCED, "lp:key"])
async def test_a_task_that_has_expired_holds_no_key_even_before_it_is_cancelled(
    scene: Scene, unique: str
):
    await scene.declare()
    await submit(scene, "a", unique, start_by_ms=500)
    await scene.advance(499)
    assert await submit(scene, "b", unique) == met(("b", "a"))
    await scene.advance(1)
    assert await submit(scene, "c", unique, payload=b"new") == GroupOutcome(Word.DONE)
    assert await submit(scene, "d", unique) == met(("d", "c"))
    worker = await scene.worker()
    await scene.advance(3_000)
    await worker.claim(2)
    assert (await scene.task("a")).status is TaskStatus.CANCELLED
    assert (await scene.task("c")).lease


async def test_a_key_is_free_when_its_task_was_lost_for_good(scene: Scene):
    await scene.declare(max_deliveries=0)
    worker = await scene.worker()
    await submit(scene, "a", UNTIL_FINISHED)
    await worker.claim_one(lease_ms=100)
    await scene.advance(100)
    assert not await is_free(scene, UNTIL_FINISHED)
    await scene.sweep()
    assert await is_free(scene, UNTIL_FINISHED)


async def test_a_key_held_for_a_time_outlasts_its_completed_task(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await submit(scene, "a", FOR_A_SECOND)
    await worker.succeed(await worker.claim_one())
    await scene.sweep()
    await scene.advance(999)
    assert await submit(scene, "b", FOR_A_SECOND) == met(("b", "a"))
    await scene.advance(1)
    assert await is_free(scene, FOR_A_SECOND)


async def test_a_key_is_free_when_the_record_of_its_task_has_gone(scene: Scene):
    await scene.declare(task_ttl_ms=500)
    worker = await scene.worker()
    await submit(scene, "a", FOR_A_SECOND)
    await worker.succeed(await worker.claim_one())
    await scene.advance(500)
    assert await is_free(scene, FOR_A_SECOND)
    await submit(scene, "a", UNTIL_FINISHED)
    await scene.purge()
    await scene.declare()
    assert await is_free(scene, UNTIL_FINISHED)


async def test_the_id_of_a_task_that_held_a_key_may_be_used_without_it(scene: Scene):
    await scene.declare(task_ttl_ms=500)
    worker = await scene.worker()
    await submit(scene, "a", FOR_A_SECOND)
    await worker.succeed(await worker.claim_one())
    await scene.advance(500)
    await scene.submit("a")
    assert await is_free(scene, FOR_A_SECOND)


async def test_a_replayed_task_holds_its_key_again(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await submit(scene, "a", UNTIL_FINISHED)
    await worker.fail(await worker.claim_one())
    assert await scene.replay("a") is Word.DONE
    assert await submit(scene, "b", UNTIL_FINISHED) == met(("b", "a"))


async def test_a_task_is_not_replayed_while_another_holds_its_key(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    for task_id in ("a", "b"):
        await submit(scene, task_id, UNTIL_FINISHED)
        await worker.fail(await worker.claim_one())
    tasks = [await scene.task(task_id) for task_id in ("a", "b")]
    refs = [LifeRef(task.id, task.life) for task in tasks]
    assert list(await scene.store.do(ReplayAll(QUEUE, refs))) == [Word.DONE, Word.HELD]
    assert (await scene.task("b")).is_terminal
    await worker.succeed(await worker.claim_one())
    assert await scene.replay("b") is Word.DONE


async def test_a_replay_of_a_started_task_leaves_the_key_to_its_holder(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await submit(scene, "a", UNTIL_STARTED)
    await worker.fail(await worker.claim_one())
    await submit(scene, "b", UNTIL_STARTED, delay_ms=1000)
    assert await scene.replay("a") is Word.DONE
    assert await submit(scene, "c", UNTIL_STARTED) == met(("c", "b"))


async def test_a_task_is_replayed_once_the_one_that_held_its_key_has_started(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await submit(scene, "a", UNTIL_STARTED)
    await scene.cancel("a")
    await submit(scene, "b", UNTIL_STARTED)
    assert await scene.replay("a") is Word.HELD
    await worker.claim_one()
    assert await scene.replay("a") is Word.DONE


async def test_a_repeated_submit_gets_the_same_answer(scene: Scene):
    await scene.declare()
    both = group(call("a", unique=UNTIL_FINISHED), call("b", unique=UNTIL_FINISHED), call("c"))
    assert await scene.try_submit(both) == [met(("b", "a"))]
    assert await scene.try_submit(both) == [met(("b", "a"))]
    alone = group(call("a", unique=UNTIL_FINISHED))
    assert await scene.try_submit(alone) == [GroupOutcome(Word.SAME)]
    assert await scene.waiting() == 2


async def test_groups_of_one_call_see_each_other(scene: Scene):
    await scene.declare()
    groups = [group(call(task_id, unique=UNTIL_FINISHED)) for task_id in "abc"]
    assert await scene.try_submit(*groups) == [
        GroupOutcome(Word.DONE),
        met(("b", "a")),
        met(("c", "a")),
    ]


async def test_a_settlement_that_comes_with_a_submit_frees_the_key_first(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await submit(scene, "a", UNTIL_FINISHED)
    task = await worker.claim_one()
    done = Settlement(task_id="a", lease=task.lease, event=Succeeded(b""))
    next_one = group(call("b", unique=UNTIL_FINISHED))
    along = Along(claim=worker.request(), settlements=[done])
    submitted = await scene.store.submit(QUEUE, [next_one], along)
    assert list(submitted.outcomes) == [GroupOutcome(Word.DONE)]
    assert submitted.grant is not None
    assert [task.id for task in submitted.grant.tasks] == ["b"]


async def test_only_what_is_stored_needs_a_place(scene: Scene):
    await scene.declare(max_size=1)
    await submit(scene, "a", UNTIL_FINISHED)
    assert await submit(scene, "b", UNTIL_FINISHED) == met(("b", "a"))
    mixed = group(call("b", unique=UNTIL_FINISHED), call("c"))
    assert await scene.try_submit(mixed) == [GroupOutcome(Word.FULL)]


@pytest.mark.parametrize("payload", [b"new", LARGE])
@pytest.mark.parametrize("before", [b"old", LARGE[:2000]])
async def test_the_arguments_of_a_waiting_task_are_replaced(
    scene: Scene, payload: bytes, before: bytes
):
    await scene.declare()
    worker = await scene.worker()
    await submit(scene, "a", "fp:key", payload=before)
    await scene.submit("last")
    assert await submit(scene, "b", "fp:key", payload=payload) == met(("b", "a"))
    tasks = await worker.claim(2)
    assert [(task.id, task.call.payload) for task in tasks] == [("a", payload), ("last", b"")]
    assert await submit(scene, "b", "fp:key") == GroupOutcome(Word.HELD, "a")


async def test_arguments_are_replaced_within_a_call_and_within_a_group(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    twins = group(*(call(n, unique="sp:key", payload=n.encode() * 9) for n in "abc"))
    later = group(call("d", unique="sp:key", payload=LARGE))
    last = group(call("e", unique="sp:key", payload=b"e"))
    assert await scene.try_submit(twins, later, group("plain"), last) == [
        met(("b", "a"), ("c", "a")),
        met(("d", "a")),
        GroupOutcome(Word.DONE),
        met(("e", "a")),
    ]
    tasks = await worker.claim(9)
    assert [(task.id, task.call.payload) for task in tasks] == [("a", b"e"), ("plain", b"")]


async def test_a_group_that_is_refused_replaces_nothing(scene: Scene):
    await scene.declare(max_size=1)
    await submit(scene, "a", "sp:key", payload=b"old")
    mixed = group(call("b", unique="sp:key", payload=b"new"), call("c"))
    assert await scene.try_submit(mixed) == [GroupOutcome(Word.FULL)]
    worker = await scene.worker()
    assert (await worker.claim_one()).call.payload == b"old"


async def test_a_debounced_task_moves_with_each_submit_but_not_for_ever(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    for n in range(5):
        outcome = await submit(scene, f"t{n}", DEBOUNCED, delay_ms=1000, payload=b"%d" % n)
        assert outcome == (met((f"t{n}", "t0")) if n else GroupOutcome(Word.DONE))
        assert await worker.claim() == []
        await scene.advance(700)
    assert (await scene.task("t0")).ready_at - (await scene.task("t0")).queued_at == 3000
    task = await worker.claim_one()
    assert (task.id, task.call.payload) == ("t0", b"4")
    assert await submit(scene, "next", DEBOUNCED, delay_ms=1000) == GroupOutcome(Word.DONE)


@pytest.mark.parametrize("options", [{}, {"key": "acme"}, {"function": "stranger"}])
async def test_a_debounced_task_moves_from_wherever_it_waits(scene: Scene, options):
    await scene.declare()
    worker = await scene.worker()
    await submit(scene, "a", DEBOUNCED, **options)
    if "function" in options:
        assert await worker.claim() == []
        await worker.announce("stranger")
    assert await submit(scene, "b", DEBOUNCED, delay_ms=1000, **options) == met(("b", "a"))
    assert await worker.claim() == []
    await scene.advance(1000)
    assert (await worker.claim_one()).id == "a"
    assert await scene.waiting() == 0
