"""Removing the record of a task that has ended, so that its id can be used again."""

from __future__ import annotations

from kew.app.ports import Forget, TaskStore
from kew.app.repeat import ask
from kew.domain.existing import TaskNotEndedError
from kew.domain.requests import LifeRef, Word
from kew.domain.task import Task


async def forget(store: TaskStore, task: Task) -> None:
    """Remove it, as it was found. Raises `TaskNotEndedError`."""
    [word] = await ask(store, Forget(task.queue, [LifeRef(task.id, task.life)]))
    if word not in (Word.DONE, Word.MISSING):  # it runs or waits, perhaps since it was replayed
        raise TaskNotEndedError(task.id)
