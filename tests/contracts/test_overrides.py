"""Overrides: they apply in place of what the code declares, whatever it declares, until they are removed."""

from typing import Any

import pytest

from kew.app.declaring import InForce
from kew.app.notices import SettingsChanged
from kew.app.ports import Command, Declare, ReadSettings, SetOverrides
from kew.domain.config import Settings
from kew.domain.holding import Signature
from kew.domain.requests import Word
from tests.support.idle import WOKEN
from tests.support.scene import Scene


async def override(
    scene: Scene, *removed: str, edition: str = "by-hand", by: str = "", **values: Any
) -> Word:
    return await scene.store.do(SetOverrides("orders", values, removed, edition, by))


async def in_force(scene: Scene) -> InForce:
    found = await scene.store.do(ReadSettings("orders"))
    assert found is not None
    state = (await scene.status()).state
    assert (state.settings, state.declared) == (found.settings, dict(found.declared))
    assert (state.version, state.edition) == (found.version, found.edition)
    return found


async def test_an_override_is_in_force_in_place_of_what_the_code_declares(scene: Scene):
    await scene.declare(max_workers=5, max_retries=2)
    assert await override(scene, max_workers=1) is Word.DONE
    assert await in_force(scene) == InForce(
        Settings(max_workers=1, max_retries=2), 2, "by-hand", {"max_workers": 5}
    )
    await scene.submit("a", "b")
    worker = await scene.worker()
    assert await worker.claim_ids() == ["a"]


async def test_an_override_remembers_who_set_it_and_when(scene: Scene):
    await scene.declare(max_workers=5)
    await override(
        scene, by="ada@ops-1: x~y;z", max_workers=1, max_retries=9, rates=((3, 1_000, 0),)
    )
    first = scene.now
    await scene.advance(5_000)
    await override(scene, by="eve", max_workers=1, max_retries=4)
    await override(scene, "rates", by="eve")
    await scene.declare(max_workers=7)
    assert (await scene.status()).state.signed == {
        "max_workers": Signature(first, "ada@ops-1: x~y;z"),
        "max_retries": Signature(first + 5_000, "eve"),
    }


async def test_what_drains_a_queue_is_signed_by_its_hold(scene: Scene):
    await scene.declare(max_size=5)
    await override(scene, by="ada", max_size=7)
    await scene.control(Command.DRAIN)
    assert (await scene.status()).state.signed == {}
    await scene.control(Command.RESUME)
    assert (await scene.status()).state.signed == {}


async def test_a_declaration_changes_what_is_declared_and_no_override(scene: Scene):
    await scene.declare(max_workers=5)
    await override(scene, max_workers=1)
    declared = await scene.declare_settings(Settings(max_workers=7, max_retries=4))
    assert declared.replaced == Settings(max_workers=5)
    assert declared.in_force == Settings(max_workers=1, max_retries=4)
    found = await in_force(scene)
    assert found.settings == Settings(max_workers=1, max_retries=4)
    assert found.by_code == Settings(max_workers=7, max_retries=4)
    assert (found.version, found.edition) == (3, declared.edition)


async def test_an_equal_declaration_changes_nothing_under_an_override(scene: Scene):
    await scene.declare(max_workers=5)
    await override(scene, max_workers=1, timeout_ms=500, rates=((3, 1_000, 0),))
    before = await in_force(scene)
    declared = await scene.declare_settings(Settings(max_workers=5))
    assert (declared.edition, declared.replaced) == ("by-hand", None)
    assert declared.in_force == before.settings
    assert await in_force(scene) == before


async def test_a_removed_override_leaves_what_the_code_declares_by_then(scene: Scene):
    await scene.declare(max_workers=5)
    await override(scene, max_workers=1, max_retries=9)
    await scene.declare(max_workers=7)
    assert await override(scene, "max_workers", edition="back") is Word.DONE
    found = await in_force(scene)
    assert found.settings == Settings(max_workers=7, max_retries=9)
    assert dict(found.declared) == {"max_retries": 0}
    assert (found.version, found.edition) == (4, "back")


async def test_the_same_override_again_and_the_removal_of_none_change_nothing(scene: Scene):
    await scene.declare()
    await override(scene, max_workers=1)
    before = await in_force(scene)
    assert await override(scene, edition="again", max_workers=1) is Word.SAME
    assert await override(scene, "max_retries", edition="again") is Word.SAME
    assert await in_force(scene) == before


async def test_an_override_equal_to_what_is_declared_outlives_another_declaration(scene: Scene):
    await scene.declare(max_workers=5)
    await override(scene, max_workers=5)
    await scene.declare(max_workers=8)
    assert (await in_force(scene)).settings.max_workers == 5


@pytest.mark.parametrize(
    ("declared", "rates"),
    [((), ((3, 1_000, 0),)), (((3, 1_000, 0),), ()), (((3, 1_000, 0),), ((1, 500, 1),))],
)
async def test_rates_are_overridden_set_and_unset(scene: Scene, declared: Any, rates: Any):
    await scene.declare(rates=declared)
    await override(scene, rates=rates)
    found = await in_force(scene)
    assert (found.settings.rates, found.by_code.rates) == (rates, declared)
    await scene.declare(rates=declared, max_workers=3)
    assert (await in_force(scene)).settings.rates == rates
    await scene.submit(*"abcde")
    worker = await scene.worker()
    assert len(await worker.claim_ids()) == min((3, *(count for count, _, _ in rates)))
    await override(scene, "rates", edition="back")
    assert (await in_force(scene)) == InForce(
        Settings(rates=declared, max_workers=3), 4, "back", {}
    )


async def test_overrides_join_those_that_are_there(scene: Scene):
    await scene.declare()
    await override(scene, max_workers=1)
    await override(scene, edition="two", timeout_ms=2_500)
    await override(scene, edition="three", max_workers=2, breaker_failures=0)
    found = await in_force(scene)
    assert found.settings == Settings(max_workers=2, timeout_ms=2_500, breaker_failures=0)
    assert dict(found.declared) == {"max_workers": 10, "timeout_ms": 0, "breaker_failures": 3}


async def test_a_drained_queue_stays_drained_whatever_its_max_size_is_to_be(scene: Scene):
    await scene.declare(max_size=5)
    await scene.control(Command.DRAIN)
    assert await override(scene, max_size=9) is Word.SAME
    assert await override(scene, "max_size") is Word.SAME
    assert await override(scene, "max_size", max_workers=2) is Word.DONE
    found = await in_force(scene)
    assert (found.settings.max_size, found.settings.max_workers) == (0, 2)
    await scene.control(Command.RESUME)
    assert (await in_force(scene)).settings.max_size == 5


async def test_every_process_that_serves_the_queue_is_notified(scene: Scene):
    await scene.declare()
    await scene.worker("w1")
    gone = await scene.worker("w2")
    first, second = await scene.listen("w1"), await scene.listen("w2")
    await gone.depart()
    await override(scene, max_workers=1)
    assert await first.next() == SettingsChanged("orders")
    assert second.so_far() == []


async def test_an_override_that_makes_room_wakes_an_idle_process(scene: Scene):
    await scene.declare(max_workers=1)
    busy, idle = await scene.worker("w1"), await scene.worker("w2")
    listener = await scene.listen("w2")
    await scene.submit("a")
    await busy.claim_one()
    assert await idle.claim() == []
    await scene.submit("b")
    assert listener.so_far() == []
    await override(scene, max_workers=2)
    assert {await listener.next(), await listener.next()} == {SettingsChanged("orders"), WOKEN}


async def test_an_override_of_an_undeclared_queue_says_so(scene: Scene):
    assert await override(scene, max_workers=1) is Word.NO_QUEUE
    assert await scene.store.do(ReadSettings("orders")) is None


async def test_an_override_concerns_one_queue(scene: Scene):
    await scene.declare("orders")
    await scene.declare("mails")
    await override(scene, max_workers=1)
    declared = await scene.store.do(Declare("mails", Settings(), "new"))
    assert declared.in_force is None
    assert (await scene.status("mails")).state.settings == Settings()
