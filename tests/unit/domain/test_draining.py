"""A draining queue accepts nothing; what it has goes on."""

import attrs
import pytest

from kew import InvalidConfigError
from kew.domain import commands, task_commands
from kew.domain import queue as rules
from kew.domain.config import Settings
from kew.domain.draining import is_draining
from kew.domain.holding import DRAINING, LONGEST_NOTE, Hold, check_note
from kew.domain.overrides import as_overrides
from kew.domain.queue import NOTHING
from kew.domain.requests import GroupOutcome, Word
from kew.domain.snapshot import Snapshot
from kew.domain.task import TaskStatus
from tests.support.tasks import NOW, call, ended, group, queue, request, task

HOLD = Hold(NOW, "Eve")


def drained(before: Snapshot) -> Snapshot:
    return before.after(commands.drain(before, HOLD, "two"))


def test_draining_is_a_state_that_resuming_ends():
    before = queue(settings=Settings(max_size=5), edition="one")
    during = drained(before).state
    assert is_draining(during.settings)
    assert not is_draining(before.state.settings)
    assert (during.holds, during.declared) == ({DRAINING: HOLD}, {"max_size": 5})
    after = drained(before).after(commands.resume(drained(before), "three")).state
    assert after == attrs.evolve(before.state, version=3, edition="three")


def test_draining_is_shown_as_no_override():
    assert as_overrides(drained(queue()).state) == {}


def test_draining_again_keeps_the_settings_and_takes_the_new_note():
    once = drained(queue())
    again = once.after(commands.drain(once, Hold(NOW + 1, "Bob"), "three")).state
    assert again == attrs.evolve(once.state, holds={DRAINING: Hold(NOW + 1, "Bob")})


def test_a_draining_queue_refuses_new_tasks_and_knows_old_ones():
    before = drained(queue(task()))
    assert rules.submit(before, group(call("new")), NOW) == (NOTHING, GroupOutcome(Word.DRAINING))
    assert rules.submit(before, group(call()), NOW) == (NOTHING, GroupOutcome(Word.SAME))


def test_a_draining_queue_grants_what_waits():
    _, grant = rules.claim(drained(queue(task())), request(), NOW)
    assert [one.id for one in grant.tasks] == ["t"]


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (TaskStatus.FAILED, Word.DRAINING),
        (TaskStatus.CANCELLED, Word.DRAINING),
        (TaskStatus.COMPLETED, Word.ILLEGAL),
    ],
)
def test_a_draining_queue_refuses_a_replay(status: TaskStatus, word: Word):
    assert task_commands.replay(drained(queue(ended(status=status))), "t", None, NOW) == (
        NOTHING,
        word,
    )


@pytest.mark.parametrize("note", ["", "Eve: the disk is full", "ä🙂", "x" * LONGEST_NOTE])
def test_a_note_is_one_line(note: str):
    assert check_note(note) == note


@pytest.mark.parametrize("note", [None, 7, "two\nlines", "nul \x00", "x" * (LONGEST_NOTE + 1)])
def test_anything_else_is_no_note(note: object):
    with pytest.raises(InvalidConfigError, match="note must be one line of at most 500"):
        check_note(note)
