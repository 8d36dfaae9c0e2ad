"""The table of a submit's fates, against what it means: a fold over everything that was answered so far."""

from __future__ import annotations

import itertools

import pytest

from kew.app.submitting.fates import FATES, MAY_BE_STORED, Fate, Turn

ANSWERS = [turn for turn in Turn if turn is not Turn.SEND]
ENDS = {Fate.ANSWERED, Fate.ANSWERED_IN_DOUBT}


def fate_after(turns: tuple[Turn, ...]) -> Fate:
    fate = Fate.QUEUED
    for turn in turns:
        fate = FATES[FATES[fate, Turn.SEND], turn]
    return fate


@pytest.mark.parametrize("sendings", range(1, 5))
def test_a_submit_is_in_doubt_once_a_sending_had_no_answer(sendings: int) -> None:
    before_the_last = itertools.product(
        (Turn.REFUSAL, Turn.SILENCE, Turn.LOSS), repeat=sendings - 1
    )
    for turns in itertools.product(before_the_last, ANSWERS):
        fate = fate_after((*turns[0], turns[1]))
        was_silent = Turn.SILENCE in turns[0]
        if turns[1] is Turn.ANSWER:
            assert fate is (Fate.ANSWERED_IN_DOUBT if was_silent else Fate.ANSWERED)
        else:
            assert fate is (
                Fate.IN_DOUBT if was_silent or turns[1] is Turn.SILENCE else Fate.REFUSED
            )


def test_what_is_under_way_or_in_doubt_may_be_stored() -> None:
    assert {Fate.SENT, Fate.REPEATED, Fate.IN_DOUBT} == MAY_BE_STORED


def test_only_what_is_under_way_is_answered_and_only_what_rests_is_sent() -> None:
    under_way = {fate for fate, turn in FATES if turn is not Turn.SEND}
    resting = {fate for fate, turn in FATES if turn is Turn.SEND}
    assert under_way == {Fate.SENT, Fate.REPEATED}
    assert resting == set(Fate) - under_way - ENDS
    assert set(FATES) == {
        *itertools.product(under_way, ANSWERS),
        *((one, Turn.SEND) for one in resting),
    }
