"""Checkpoints as a rule: under a live lease, and never an earlier one in place of a later one."""

import pytest

from kew.domain.checkpoints import save
from kew.domain.queue import NOTHING
from kew.domain.requests import Word
from kew.domain.task import Checkpoint, without_payload
from tests.support.tasks import NOW, lease_ref, queue, running, task

SAVED = Checkpoint(attempt=1, number=4, size=3, data=b"old")


@pytest.mark.parametrize(
    ("before", "number", "word"),
    [
        (None, 1, Word.DONE),
        (SAVED, 5, Word.DONE),
        (SAVED, 4, Word.SAME),
        (SAVED, 3, Word.SAME),
        (Checkpoint(attempt=0, number=9, size=0), 1, Word.DONE),
    ],
)
def test_a_later_checkpoint_of_the_attempt_replaces_the_last_one(
    before: Checkpoint | None, number: int, word: Word
):
    found = running(attempt=1, lease_until=NOW + 1, checkpoint=before)
    change, answer = save(queue(found), lease_ref(), number, b"new", NOW)
    assert answer is word
    if word is Word.DONE:
        [after] = change.tasks
        assert after.checkpoint == Checkpoint(attempt=1, number=number, size=3, data=b"new")
    else:
        assert change is NOTHING


def test_a_run_that_is_to_stop_may_still_save():
    found = running(attempt=1, lease_until=NOW + 1, cancel_requested=True)
    assert save(queue(found), lease_ref(), 1, b"", NOW)[1] is Word.CANCEL


@pytest.mark.parametrize(
    "found",
    [
        queue(running(lease_until=NOW)),
        queue(running(lease_until=NOW + 1, lease="w2.0.1.1")),
        queue(task()),
        queue(),
    ],
)
def test_nothing_is_saved_without_the_current_lease(found):
    assert save(found, lease_ref(), 1, b"", NOW) == (NOTHING, Word.STALE)


def test_a_reader_gets_no_data():
    found = without_payload(running(checkpoint=SAVED))
    assert found.checkpoint == Checkpoint(attempt=1, number=4, size=3)
