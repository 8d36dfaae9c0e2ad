"""One answer from those of all partitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from kew.app.ports import (
    ListedSchedules,
    Operation,
    PresentProcess,
    Processes,
    Queues,
)
from kew.domain.partitions import RESERVED
from kew.domain.schedule import StoredSchedule


def queues(answers: Sequence[Sequence[str]]) -> Sequence[str]:
    """All names, sorted."""
    return sorted(name for names in answers for name in names if name != RESERVED)


def processes(answers: Sequence[Sequence[PresentProcess]]) -> Sequence[PresentProcess]:
    """Each process once, with its queues of all partitions, and what it said last."""
    found: dict[str, PresentProcess] = {}
    for each in (process for answer in answers for process in answer):
        known = found.get(each.incarnation, each)
        newest = max(known, each, key=lambda one: -1 if one.seen_at is None else one.seen_at)
        found[each.incarnation] = PresentProcess(
            each.incarnation,
            dict(sorted({**known.queues, **each.queues}.items())),
            newest.seen_at,
            newest.report,
        )
    return [process for _, process in sorted(found.items())]


def schedules(answers: Sequence[ListedSchedules]) -> ListedSchedules:
    """By name. One that is being moved may be in two partitions: then the one that was dealt with last."""
    found: dict[str, StoredSchedule] = {}
    for each in (stored for answer in answers for stored in answer.schedules):
        known = found.setdefault(each.schedule.name, each)
        if each.after > known.after:
            found[each.schedule.name] = each
    return ListedSchedules(
        now_ms=max(answer.now_ms for answer in answers),
        schedules=[stored for _, stored in sorted(found.items())],
        unreadable=tuple(sorted(name for answer in answers for name in answer.unreadable)),
    )


MERGED: Final[Mapping[type[Operation[Any]], Callable[[Any], Any]]] = {
    Queues: queues,
    Processes: processes,
}
"""The queries that go to every partition, and how their answers become one."""
