"""Emptying a queue: what waits is cancelled in bounded steps, up to the last task that was there at the beginning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from kew.domain.events import CancelRequested
from kew.domain.lifecycle import step
from kew.domain.queue import NOTHING, Change
from kew.domain.task import Task, without_payload
from kew.domain.view import View

EVER: Final = 10**15  # ms: every waiting task is due by then


@attrs.frozen(kw_only=True)
class Emptied:
    """What one step did: it `cancelled` these tasks (without payload), and passed over `kept`, which came later.

    `more`: there are tasks that it didn't look at; the next step passes over `skip` of them. `scan`: how far a store
    has looked for keys; -1: it has not begun.
    """

    cancelled: Sequence[Task] = ()
    kept: int = 0
    more: bool = False
    skip: int = 0
    scan: int = -1


def empty(view: View, upto: int, skip: int, limit: int, now: int) -> tuple[Change, Emptied]:
    """Cancel the waiting tasks with tickets up to `upto`, of at most `limit`, after the first `skip`."""
    found = view.waiting_by(EVER, skip + limit)[skip:]
    settings = view.state.settings
    chosen = [task for task in found if task.ticket <= upto]
    cancelled = [step(task, CancelRequested(), now, settings)[0] for task in chosen]
    kept = len(found) - len(cancelled)
    emptied = Emptied(
        cancelled=tuple(map(without_payload, cancelled)),
        kept=kept,
        more=len(found) == limit,
        skip=skip + kept,
    )
    return (Change(cancelled) if cancelled else NOTHING), emptied
