"""Calls of which there is to be one at a time."""

from __future__ import annotations

from typing import Any, Final

from kew.app.submitting.uniqueness import Debounce, Latest, Throttle, Unique
from kew.domain.errors import QueueProcessorError, TaskAlreadyExistsError, TaskNotFoundError
from kew.domain.existing import TaskNotEndedError
from kew.simulation.feature import ANY_END, MAIN, RISKY, Feature, User, Workload
from kew.simulation.handlers import perform_alone

HOW: Final[dict[str, Any]] = {
    "once": {"unique": Unique(by=lambda script: "once")},
    "refused": {"unique": Unique(by=lambda script: "once", conflict="raise")},
    "newest": {"unique": Unique(by=lambda script: "newest", until="started", conflict="replace")},
    "queued": {"unique": Unique(by=lambda script: "queued", until="started")},
    "seldom": {"throttle": Throttle(by=lambda script: "seldom", every=4)},
    "latest": {"latest": Latest(by=lambda script: "latest")},
    "quiet": {"debounce": Debounce(by=lambda script: "quiet", quiet=1, at_most=3)},
}


async def submit_uniquely(user: User) -> None:
    """Some calls of one key, after which the task is cancelled, replayed or forgotten now and then."""
    queue, how = user.random.choice((MAIN, MAIN, RISKY)), user.random.choice(list(HOW))
    function = user.manager.task()(perform_alone)
    for _ in range(user.random.choice((1, 2, 4))):
        asked = user.expect(queue, ANY_END)
        fails = user.random.random() < 0.2
        script = user.script(**({"failures": 99} if fails else {}))
        try:
            asked.delay_ms = 1000 if how == "quiet" else 0
            submit = function.options(task_id=asked.id, queue=queue, **HOW[how])
            handle = await submit.submit(script)
            if handle.created:
                user.facts.accepted(asked.id)
            await user.pause(0.0, 0.5, 3.0)
            if user.random.random() < 0.25:
                await handle.cancel()
            if user.random.random() < 0.25:
                await user.manager.replay_task(handle)
            if user.random.random() < 0.1:
                await handle.forget()
        except (QueueProcessorError, TaskAlreadyExistsError, TaskNotFoundError, TaskNotEndedError):
            pass


FEATURES = (Feature("unique", submit_uniquely, 0.4),)
WORKLOADS = (Workload("unique", (Feature("unique", submit_uniquely, 3.0),)),)
