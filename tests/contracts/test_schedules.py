"""A schedule's tick is submitted at most once, in the step that moves the schedule on, and never before it is due."""

from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from kew.app.notices import SettingsChanged, Woken
from kew.app.ports import (
    Command,
    Find,
    ListSchedules,
    PutSchedule,
    SteerSchedule,
    Tick,
    TickAnswer,
)
from kew.domain.requests import Word
from kew.domain.schedule import (
    Overlap,
    Schedule,
    ScheduleVerb,
    StoredSchedule,
    TickCommit,
    call_of,
    tick_nonce,
)
from kew.domain.task import Task
from tests.support.scene import QUEUE, START_MS, Scene, call

EVERY = 60_000
FIRST = START_MS + EVERY


def schedule(name: str = "nightly", **changes: Any) -> Schedule:
    given: dict[str, Any] = {"every_ms": EVERY, "starts_at": START_MS, **changes}
    return Schedule(name=name, queue=QUEUE, call=call("template"), **given)


async def put(scene: Scene, edition: str = "e1", **changes: Any) -> Word:
    return await scene.store.do(PutSchedule(schedule(**changes), edition))


async def listed(scene: Scene) -> Sequence[StoredSchedule]:
    return (await scene.store.do(ListSchedules())).schedules


async def steer(scene: Scene, verb: ScheduleVerb, note: str = "", name: str = "nightly") -> Word:
    return await scene.store.do(SteerSchedule(QUEUE, name, verb, note))


async def tick(
    scene: Scene,
    upto: int = FIRST,
    *,
    after: int | None = None,
    submits: bool = True,
    **changes: Any,
) -> TickAnswer:
    """The next tick as a process that has just looked would commit it."""
    (known,) = await listed(scene)
    commit = TickCommit(
        name="nightly",
        edition=known.edition,
        after=known.after if after is None else after,
        upto=upto,
        overlap=known.schedule.overlap,
        call=call_of(known.schedule, upto, tick_nonce(known.edition, 0)) if submits else None,
    )
    return await scene.store.do(Tick(QUEUE, attrs.evolve(commit, **changes)))


def after_of(answer: TickAnswer) -> int | None:
    return answer.schedule.after if answer.schedule else None


async def tasks(scene: Scene, *dues: str) -> list[str]:
    found = await scene.store.do(Find([f"nightly@{due}" for due in dues]))
    return [task.status.value if isinstance(task, Task) else "none" for task in found]


async def test_a_schedule_is_listed_as_it_was_put(scene: Scene):
    await scene.declare()
    one = schedule("a", cron="0 9 * * mon-fri", tz="Europe/Berlin", overlap=Overlap.ALLOW)
    other = schedule("b:ü/x", by_code=True, jitter_ms=5, ends_at=FIRST)
    other = attrs.evolve(other, call=attrs.evolve(other.call, payload=b"\x00\xff", key="é =,%"))
    assert await scene.store.do(PutSchedule(other, "e2")) is Word.DONE
    assert await scene.store.do(PutSchedule(one, "e1")) is Word.DONE
    assert list(await listed(scene)) == [
        StoredSchedule(schedule=one, edition="e1", after=START_MS),
        StoredSchedule(schedule=other, edition="e2", after=START_MS),
    ]


async def test_an_equal_schedule_changes_nothing(scene: Scene):
    await put(scene)
    await scene.advance(5)
    assert await put(scene, "e2") is Word.SAME
    (known,) = await listed(scene)
    assert (known.edition, known.after) == ("e1", START_MS)


async def test_other_times_begin_anew_and_other_rules_do_not(scene: Scene):
    await put(scene)
    await scene.advance(5)
    assert await put(scene, "e2", overlap=Overlap.ONE) is Word.DONE
    (known,) = await listed(scene)
    assert (known.edition, known.after) == ("e2", START_MS)
    await put(scene, "e3", every_ms=7)
    (known,) = await listed(scene)
    assert (known.edition, known.after) == ("e3", START_MS + 5)


async def test_a_tick_is_submitted_once(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await put(scene)
    await scene.advance(EVERY)
    answer = await tick(scene)
    assert (answer.word, answer.now_ms) == (Word.DONE, FIRST)
    assert answer.schedule == (await listed(scene))[0]
    assert answer.schedule is not None
    assert (after_of(answer), answer.schedule.last_due) == (FIRST, FIRST)
    again = await tick(scene, after=START_MS)
    assert (again.word, again.schedule) == (Word.STALE, answer.schedule)
    assert await worker.claim_ids(5) == ["nightly@2025-06-15T15:07:40Z"]


async def test_no_tick_is_submitted_before_it_is_due(scene: Scene):
    await scene.declare()
    await put(scene)
    await scene.advance(EVERY - 1)
    assert (await tick(scene)).word is Word.AHEAD
    assert await tasks(scene, "2025-06-15T15:07:40Z") == ["none"]
    await scene.advance(1)
    assert (await tick(scene)).word is Word.DONE


@pytest.mark.parametrize("change", [{"edition": "other"}, {"after": 1}, {"upto": START_MS}])
async def test_a_process_that_believes_something_else_submits_nothing(scene: Scene, change: Any):
    await scene.declare()
    await put(scene)
    await scene.advance(EVERY)
    assert (await tick(scene, **change)).word is Word.STALE
    assert await tasks(scene, "2025-06-15T15:07:40Z") == ["none"]


async def test_a_tick_may_be_passed_over(scene: Scene):
    await scene.declare()
    await put(scene)
    await scene.advance(EVERY)
    answer = await tick(scene, submits=False)
    assert answer.word is Word.DONE
    assert answer.schedule is not None
    assert (after_of(answer), answer.schedule.last_due) == (FIRST, 0)
    assert await tasks(scene, "2025-06-15T15:07:40Z") == ["none"]


@pytest.mark.parametrize(
    ("overlap", "word", "moves"),
    [
        (Overlap.SKIP, Word.BUSY, True),
        (Overlap.ONE, Word.BUSY, False),
        (Overlap.ALLOW, Word.DONE, True),
    ],
)
async def test_a_tick_finds_that_of_the_one_before_still_running(
    scene: Scene, overlap: Overlap, word: Word, moves: bool
):
    await scene.declare()
    worker = await scene.worker()
    await put(scene, overlap=overlap)
    await scene.advance(EVERY)
    await tick(scene)
    await worker.claim(1)
    await scene.advance(EVERY)
    answer = await tick(scene, FIRST + EVERY)
    assert answer.word is word
    assert (after_of(answer) == FIRST + EVERY) is moves
    is_in = overlap is Overlap.ALLOW
    assert await tasks(scene, "2025-06-15T15:08:40Z") == ["queued" if is_in else "none"]


async def test_a_tick_follows_as_soon_as_the_one_before_has_ended(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await put(scene, overlap=Overlap.ONE)
    await scene.advance(EVERY)
    await tick(scene)
    (first,) = await worker.claim(1)
    await scene.advance(EVERY)
    assert (await tick(scene, FIRST + EVERY)).word is Word.BUSY
    await worker.succeed(first)
    assert (await tick(scene, FIRST + EVERY)).word is Word.DONE


async def test_a_queue_without_room_delays_a_tick(scene: Scene):
    await scene.declare(max_size=1)
    worker = await scene.worker()
    await put(scene)
    await scene.submit("before")
    await scene.advance(EVERY)
    answer = await tick(scene)
    assert (answer.word, after_of(answer)) == (Word.FULL, START_MS)
    await worker.claim(1)
    assert (await tick(scene)).word is Word.DONE


async def test_a_draining_queue_delays_a_tick(scene: Scene):
    await scene.declare()
    await put(scene)
    await scene.advance(EVERY)
    await scene.control(Command.DRAIN)
    answer = await tick(scene)
    assert (answer.word, after_of(answer)) == (Word.DRAINING, START_MS)


async def test_a_tick_for_a_queue_that_is_not_there_is_delayed(scene: Scene):
    await put(scene)
    await scene.advance(EVERY)
    answer = await tick(scene)
    assert (answer.word, after_of(answer)) == (Word.NO_QUEUE, START_MS)
    assert (await tick(scene, submits=False)).word is Word.DONE


async def test_an_id_that_is_in_use_counts_as_the_tick(scene: Scene):
    await scene.declare()
    await put(scene)
    await scene.submit("nightly@2025-06-15T15:07:40Z")
    await scene.advance(EVERY)
    answer = await tick(scene)
    assert (answer.word, after_of(answer)) == (Word.DUPLICATE, FIRST)


async def test_what_was_due_during_a_pause_was_not_missed(scene: Scene):
    await scene.declare()
    await put(scene)
    assert await steer(scene, ScheduleVerb.PAUSE, "moving: 'é' =,%\n") is Word.DONE
    assert await steer(scene, ScheduleVerb.PAUSE, "moving: 'é' =,%\n") is Word.SAME
    await scene.advance(EVERY)
    (known,) = await listed(scene)
    assert (known.paused_at, known.note) == (START_MS, "moving: 'é' =,%\n")
    assert (await tick(scene)).word is Word.STALE
    assert await steer(scene, ScheduleVerb.PAUSE, "still") is Word.DONE
    (known,) = await listed(scene)
    assert (known.paused_at, known.note) == (START_MS, "still")
    assert await steer(scene, ScheduleVerb.RESUME) is Word.DONE
    assert await steer(scene, ScheduleVerb.RESUME) is Word.SAME
    (known,) = await listed(scene)
    assert (known.paused_at, known.note, known.after) == (0, "", FIRST)


async def test_a_paused_schedule_stays_paused_when_it_is_put_again(scene: Scene):
    await put(scene)
    await steer(scene, ScheduleVerb.PAUSE, "why")
    await put(scene, "e2", every_ms=9)
    (known,) = await listed(scene)
    assert (known.paused_at, known.note, known.schedule.every_ms) == (START_MS, "why", 9)


async def test_a_removed_schedule_ticks_no_more(scene: Scene):
    await scene.declare()
    await put(scene)
    (known,) = await listed(scene)
    assert await steer(scene, ScheduleVerb.REMOVE) is Word.DONE
    assert [await steer(scene, verb) for verb in ScheduleVerb] == [Word.MISSING] * 3
    await scene.advance(EVERY)
    commit = TickCommit(name="nightly", edition=known.edition, after=known.after, upto=FIRST)
    answer = await scene.store.do(Tick(QUEUE, commit))
    assert (answer.word, answer.schedule) == (Word.MISSING, None)


async def test_the_processes_of_its_queue_are_notified(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    listener = await scene.listen(worker.incarnation)
    await put(scene)
    assert await listener.next() == SettingsChanged(QUEUE)
    assert await put(scene) is Word.SAME
    await steer(scene, ScheduleVerb.PAUSE)
    assert await listener.next() == SettingsChanged(QUEUE)


async def test_a_tick_wakes_an_idle_process(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await put(scene)
    await worker.claim(1)
    listener = await scene.listen(worker.incarnation)
    await scene.advance(EVERY)
    await tick(scene)
    assert await listener.next() == Woken(QUEUE)


async def test_a_purged_queue_takes_its_schedules_along(scene: Scene):
    await scene.declare()
    await put(scene)
    other = attrs.evolve(schedule("other"), queue="others")
    await scene.store.do(PutSchedule(other, "e2"))
    await scene.purge()
    assert [each.schedule.name for each in await listed(scene)] == ["other"]
