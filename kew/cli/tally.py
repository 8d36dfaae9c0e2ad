"""The state of the demo's files so far: counts, and the files that the summary names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import attrs

from kew import QueuePriority, TaskInfo, TaskStatus
from kew.cli.folder import File, Folder

GONE = "its record is gone: the namespace was cleaned up during the run"


@attrs.frozen(kw_only=True)
class Digested:
    """A file that was read. `waited`: seconds from its submit to its end."""

    file: File
    sha256: str
    lines: int
    size: int
    seconds: float
    waited: float


@attrs.define
class Tally:
    """`open`: the files whose tasks have not ended. Recording an end twice changes nothing."""

    folder: Folder
    open: dict[str, File] = attrs.field(init=False)
    now: list[Digested] = attrs.field(factory=list)
    before: list[Digested] = attrs.field(factory=list)
    dead: dict[str, tuple[File, str]] = attrs.field(factory=dict)
    retried: dict[str, tuple[File, int]] = attrs.field(factory=dict)
    left: int = 0
    held: int = 0
    tried_again: int = 0

    def __attrs_post_init__(self) -> None:
        """At first, every file is open."""
        self.open = {file.task_id: file for file in self.folder.files}

    @property
    def ended(self) -> int:
        """How many tasks have ended."""
        return len(self.folder.files) - len(self.open)

    @property
    def all_digested(self) -> list[Digested]:
        """The files digested by this run and by earlier runs."""
        return [*self.before, *self.now]

    def found(self, info: TaskInfo | None) -> None:
        """Record a file's state before this run; None: no earlier run has submitted it."""
        if info is None:
            return
        if info.status is TaskStatus.COMPLETED:
            self._complete(info, self.before)
        elif info.status in (TaskStatus.FAILED, TaskStatus.CANCELLED):
            self.tried_again += 1
        else:
            self.left += 1
            self.held += info.status is TaskStatus.PROCESSING

    def ended_as(self, info: TaskInfo) -> None:
        """Record that an attempt ended, or that a task was found to have ended."""
        file = self.open.get(info.task_id)
        if file is None:
            return
        if info.retry_count:
            self.retried[info.task_id] = (file, info.retry_count)
        if info.status is TaskStatus.COMPLETED:
            self._complete(info, self.now)
        elif info.status in (TaskStatus.FAILED, TaskStatus.CANCELLED):
            self.bury(file, info.error or info.status.value)

    def bury(self, file: File, error: str) -> None:
        """Record that this file will not be digested."""
        self.dead[file.task_id] = (file, error)
        self.open.pop(file.task_id, None)

    def _complete(self, info: TaskInfo, where: list[Digested]) -> None:
        file = self.open.pop(info.task_id, None)
        if file is not None:
            where.append(_digested(file, info))

    def fingerprint(self) -> str:
        """One digest over the names and digests of all files. It depends only on the files, not on the runs."""
        whole = hashlib.sha256()
        for one in sorted(self.all_digested, key=lambda digested: digested.file.path):
            whole.update(one.file.task_id.encode() + b"\0" + one.sha256.encode() + b"\n")
        return whole.hexdigest()[:16]


def _digested(file: File, info: TaskInfo) -> Digested:
    result: dict[str, Any] = info.result
    waited = 0.0
    if info.completed_time and info.queued_time:
        waited = (info.completed_time - info.queued_time).total_seconds()
    return Digested(
        file=file,
        sha256=result["sha256"],
        lines=result["lines"],
        size=result["bytes"],
        seconds=result["seconds"],
        waited=waited,
    )


def average_wait(digested: Iterable[Digested], priority: QueuePriority) -> tuple[int, float]:
    """The number of files with this priority, and their average time from submit to end in seconds."""
    waits = [one.waited for one in digested if one.file.priority is priority]
    return len(waits), sum(waits) / len(waits) if waits else 0.0
