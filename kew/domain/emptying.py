"""Emptying a queue: what waits is cancelled in bounded steps, up to the last task that was there at the beginning."""

from __future__ import annotations

from typing import Final

import attrs

from kew.domain.events import CancelRequested
from kew.domain.lifecycle import step
from kew.domain.queue import NOTHING, Change
from kew.domain.view import View

EVER: Final = 10**15  # ms: every waiting task is due by then


@attrs.frozen(kw_only=True)
class Emptied:
    """What one step did: `cancelled` so many of the waiting tasks, and passed over those `kept`, which came later.

    `more`: there are tasks that it didn't look at.
    """

    cancelled: int = 0
    kept: int = 0
    more: bool = False


def empty(view: View, upto: int, skip: int, limit: int, now: int) -> tuple[Change, Emptied]:
    """Cancel the waiting tasks with tickets up to `upto`, of at most `limit`, after the first `skip`."""
    found = view.waiting_by(EVER, skip + limit)[skip:]
    settings = view.state.settings
    chosen = [task for task in found if task.ticket <= upto]
    cancelled = [step(task, CancelRequested(), now, settings)[0] for task in chosen]
    emptied = Emptied(
        cancelled=len(cancelled),
        kept=len(found) - len(cancelled),
        more=len(found) == limit,
    )
    return (Change(cancelled) if cancelled else NOTHING), emptied
