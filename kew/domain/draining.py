"""A draining queue accepts nothing and finishes what it has, retries included.

It is an override of `max_size`: no task more may wait. So it costs a submit nothing, no declaration undoes it, and a
process of an older version obeys it too: it answers that the queue is full.
"""

from __future__ import annotations

import attrs

from kew.domain.config import Settings
from kew.domain.holding import DRAINING, PAUSED, Hold
from kew.domain.overrides import with_overrides
from kew.domain.view import QueueState


def is_draining(settings: Settings) -> bool:
    """Whether the queue accepts nothing; a declared `max_size` is at least 1."""
    return settings.max_size == 0


def drained(state: QueueState, hold: Hold, edition: str) -> QueueState:
    """The state of a queue that accepts nothing more."""
    state = with_overrides(state, {"max_size": 0}, edition=edition)
    return attrs.evolve(state, holds={**state.holds, DRAINING: hold})


def resumed(state: QueueState, edition: str) -> QueueState:
    """The state of a queue that accepts tasks and starts them."""
    state = with_overrides(state, {}, without=("max_size",), edition=edition)
    return attrs.evolve(state, paused=False, holds={})


def paused(state: QueueState, hold: Hold) -> QueueState:
    """The state of a queue that starts nothing."""
    return attrs.evolve(state, paused=True, holds={**state.holds, PAUSED: hold})
