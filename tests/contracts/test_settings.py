"""Shared settings: the latest declaration wins, for all processes, and has a version."""

import attrs

from kew.app.declaring import Declared, InForce
from kew.app.ports import Declare, Queues, ReadSettings
from kew.domain.config import Settings
from kew.domain.requests import Word
from tests.support.scene import Scene, group

ODD = Settings(
    priority=3,
    max_workers=7,
    max_size=11,
    breaker_failures=0,
    breaker_reset_ms=1,
    breaker_probes=5,
    max_retries=9,
    retry_delay_ms=123_456,
    max_deliveries=0,
    task_ttl_ms=366 * 24 * 3_600_000,
    dead_letter_ttl_ms=61_000,
)


async def test_a_declared_queue_has_the_settings_declared(scene: Scene):
    assert await scene.store.do(Declare("orders", ODD, "one")) == Declared("one", None)
    assert await scene.store.do(ReadSettings("orders")) == InForce(ODD, 1, "one")
    assert (await scene.status()).state.settings == ODD


async def test_an_undeclared_queue_has_no_settings(scene: Scene):
    assert await scene.store.do(ReadSettings("nowhere")) is None


async def test_the_latest_declaration_wins_and_tells_what_it_replaced(scene: Scene):
    await scene.store.do(Declare("orders", ODD, "one"))
    other = attrs.evolve(ODD, max_size=12)
    assert await scene.store.do(Declare("orders", other, "two")) == Declared("two", ODD)
    assert await scene.store.do(ReadSettings("orders")) == InForce(other, 2, "two")


async def test_an_equal_declaration_changes_nothing_not_even_the_version(scene: Scene):
    await scene.store.do(Declare("orders", ODD, "one"))
    assert await scene.store.do(Declare("orders", ODD, "two")) == Declared("one", None)
    assert await scene.store.do(ReadSettings("orders")) == InForce(ODD, 1, "one")


async def test_a_declaration_that_replaces_nothing_creates_a_queue(scene: Scene):
    declared = await scene.store.do(Declare("orders", ODD, "one", replaces=False))
    assert declared == Declared("one", None)
    assert await scene.store.do(ReadSettings("orders")) == InForce(ODD, 1, "one")


async def test_a_declaration_that_replaces_nothing_leaves_the_settings_in_force(scene: Scene):
    await scene.store.do(Declare("orders", ODD, "one"))
    other = attrs.evolve(ODD, max_size=12)
    await scene.store.do(Declare("orders", other, "two"))
    for settings in (ODD, other, Settings()):
        declared = await scene.store.do(Declare("orders", settings, "three", replaces=False))
        assert declared == Declared("two", None)
        assert await scene.store.do(ReadSettings("orders")) == InForce(other, 2, "two")


async def test_a_declaration_leaves_tasks_breaker_and_pause_as_they_are(scene: Scene):
    await scene.declare(breaker_failures=1)
    await scene.submit("a", "b")
    worker = await scene.worker()
    await worker.fail(await worker.claim_one())
    before = (await scene.status()).state
    await scene.declare(breaker_failures=1, max_size=5)
    after = (await scene.status()).state
    assert after == attrs.evolve(before, version=2, settings=after.settings, edition=after.edition)
    assert after.edition != before.edition
    assert await scene.waiting() == 1


async def test_a_changed_size_holds_for_the_next_submit(scene: Scene):
    await scene.declare(max_size=1)
    await scene.submit("a")
    await scene.declare(max_size=2)
    assert (await scene.try_submit(group("b")))[0].word is Word.DONE
    await scene.declare(max_size=1)
    assert (await scene.try_submit(group("c")))[0].word is Word.FULL
    assert await scene.waiting() == 2


async def test_a_changed_ttl_holds_for_what_ends_from_then_on(scene: Scene):
    await scene.declare(task_ttl_ms=70_000)
    await scene.submit("a")
    await scene.declare(task_ttl_ms=90_000)
    await scene.cancel("a")
    task = await scene.task("a")
    assert task.expires_at - task.ended_at == 90_000


async def test_queues_are_listed_in_order_of_their_names(scene: Scene):
    for name in ("orders", "Mails", "a.b-c_9"):
        await scene.declare(name)
    assert list(await scene.store.do(Queues())) == ["Mails", "a.b-c_9", "orders"]


async def test_a_namespace_without_queues_lists_none(scene: Scene):
    assert list(await scene.store.do(Queues())) == []


async def test_settings_of_one_queue_are_not_those_of_another(scene: Scene):
    await scene.store.do(Declare("orders", ODD, "one"))
    await scene.store.do(Declare("mails", Settings(), "two"))
    assert await scene.store.do(ReadSettings("orders")) == InForce(ODD, 1, "one")
    assert await scene.store.do(ReadSettings("mails")) == InForce(Settings(), 1, "two")


async def test_settings_declared_after_a_purge_have_another_edition_though_the_version_is_the_same(
    scene: Scene,
):
    await scene.declare(max_size=1)
    worker = await scene.worker()
    before = (await worker.ask()).edition
    await scene.purge()
    await scene.declare(max_size=2)
    worker = await scene.worker("w2")
    status = await scene.status()
    assert status.state.version == 1
    assert (await worker.ask()).edition == status.state.edition != before
