"""What maintenance changes in a queue, besides taking back what is held under ended leases."""

from __future__ import annotations

from kew.domain.events import Orphaned
from kew.domain.lifecycle import step
from kew.domain.queue import NOTHING, Change, attempts_of
from kew.domain.task import Task
from kew.domain.view import View


def orphan(view: View, task: Task, now: int) -> Change:
    """Fail a waiting closure whose process has gone."""
    event = Orphaned()
    after = step(task, event, now, view.state.settings)[0]
    return Change((after,), attempts=attempts_of(task, event, after, now))


def shortened(view: View, now: int, limit: int) -> Change:
    """Leases that would last longer than any that was granted, at most `limit`, end when the longest would.

    They were granted or extended while the clock was ahead, before it stepped back. Without this a dead worker's lease
    would last as long as the step was.
    """
    latest = now + view.state.longest_lease_ms
    tasks = [task.moved(lease_until=latest) for task in view.leased_beyond(latest, limit)]
    return Change(tasks) if tasks else NOTHING
