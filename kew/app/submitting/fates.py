"""What is known of a submit: whether it was sent, and whether it may have been stored.

A submit that got no answer is sent again under the same identity. The answer to the repeat is certain if every sending
before it was refused. If one of them had no answer, it may still arrive, and do what the repeat did not.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping


class Fate(enum.StrEnum):
    """The state of a submit, by all its sendings so far."""

    QUEUED = "queued"  # not sent yet
    SENT = "sent"  # under way, and each sending before was refused
    REFUSED = "refused"  # surely not stored
    IN_DOUBT = "in doubt"  # a sending has no answer
    REPEATED = "repeated"  # under way, and a sending before has no answer
    ANSWERED = "answered"
    ANSWERED_IN_DOUBT = "answered in doubt"  # a sending before may yet arrive


class Turn(enum.StrEnum):
    """What happens to a submit."""

    SEND = "send"
    ANSWER = "answer"
    REFUSAL = "refusal"  # the sending was surely not carried out
    SILENCE = "silence"  # no answer: it may have been, or may yet be
    LOSS = "loss"  # the store has lost the queue, which is declared before the next sending


FATES: Mapping[tuple[Fate, Turn], Fate] = {
    (Fate.QUEUED, Turn.SEND): Fate.SENT,
    (Fate.SENT, Turn.ANSWER): Fate.ANSWERED,
    (Fate.SENT, Turn.REFUSAL): Fate.REFUSED,
    (Fate.SENT, Turn.SILENCE): Fate.IN_DOUBT,
    (Fate.SENT, Turn.LOSS): Fate.REFUSED,
    (Fate.REFUSED, Turn.SEND): Fate.SENT,
    (Fate.IN_DOUBT, Turn.SEND): Fate.REPEATED,
    (Fate.REPEATED, Turn.ANSWER): Fate.ANSWERED_IN_DOUBT,
    (Fate.REPEATED, Turn.REFUSAL): Fate.IN_DOUBT,
    (Fate.REPEATED, Turn.SILENCE): Fate.IN_DOUBT,
    (Fate.REPEATED, Turn.LOSS): Fate.IN_DOUBT,
}
"""A pair that isn't listed is a bug."""

ON_ANSWER: Mapping[Fate, Fate] = {
    fate: then for (fate, turn), then in FATES.items() if turn is Turn.ANSWER
}
"""The part of the table that each submit needs."""
FIRST_SENT = FATES[Fate.QUEUED, Turn.SEND]
"""The fate of all submits while they are under way for the first time."""

MAY_BE_STORED = frozenset({Fate.SENT, Fate.IN_DOUBT, Fate.REPEATED})
"""Of the fates without an answer: those in which nothing can be said."""
