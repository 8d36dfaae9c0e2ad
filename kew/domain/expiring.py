"""Tasks that are not worth starting after a while: one that no process has taken by then ends as cancelled.

The time counts from the moment of storing, by the store's clock. A task that was taken once doesn't expire, and neither
does one that a person replayed.
"""

from __future__ import annotations

from kew.domain.events import Expired
from kew.domain.lifecycle import step
from kew.domain.queue import NOTHING, Change
from kew.domain.view import View


def expire(view: View, now: int, limit: int) -> Change:
    """End what has expired, the earliest first, at most `limit`."""
    settings = view.state.settings
    tasks = [step(task, Expired(), now, settings)[0] for task in view.unstarted(now, limit)]
    return Change(tasks) if tasks else NOTHING
