"""Schedules: all of them, one of them, and what operators do to one."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Request

from kew import ScheduleInfo
from kew.web import reports, requests
from kew.web.guard import SLASH
from kew.web.problems import documented
from kew.web.routes.common import Answer, Manager

router = APIRouter(tags=["schedules"])
CHANGE = documented(400, 404, 409, 413)
ONE: Final = "/api/schedules/{schedule}"
MOST_IDS: Final = 1_000  # in an answer


def named_schedule(
    schedule: Annotated[str, Path(description="The schedule's name, with `/` as `%2F`")],
) -> str:
    """The name in the path."""
    return schedule.replace(SLASH, "/")


Named = Annotated[str, Depends(named_schedule)]


@router.get("/api/schedules", response_model=reports.Schedules, responses=documented(404))
async def schedules(here: Manager, wanted: Annotated[requests.ScheduleQuery, Query()]) -> Answer:
    """All schedules or those of a queue, by name, each with its next ticks."""
    found = await here.schedules.list(wanted.queue)
    return Answer({"schedules": [_row(each, wanted.next) for each in found]})


def _row(info: ScheduleInfo, count: int) -> dict[str, object]:
    return {**info.to_dict(), "next_times": list(info.next_times(count))}


@router.get(ONE, response_model=reports.ScheduleRow, responses=documented(404))
async def schedule(
    here: Manager, named: Named, wanted: Annotated[requests.NextQuery, Query()]
) -> Answer:
    """One schedule, with its next ticks."""
    return await shown(here, named, wanted)


async def shown(here: Manager, named: Named, wanted: requests.NextQuery | None = None) -> Answer:
    """A schedule, with its next ticks."""
    count = (wanted or requests.NextQuery()).next
    return Answer(_row(await here.schedules.get(named), count))


@router.post(f"{ONE}/pause", response_model=reports.ScheduleRow, responses=CHANGE)
async def pause(
    request: Request, here: Manager, named: Named, body: requests.Note | None = None
) -> Answer:
    """Submit none of its ticks until it is resumed."""
    note = body.note if body else ""
    request.state.details = {"note": note}
    await here.schedules.pause(named, note)
    return await shown(here, named)


@router.post(f"{ONE}/resume", response_model=reports.ScheduleRow, responses=CHANGE)
async def resume(here: Manager, named: Named) -> Answer:
    """Go on with the next tick; `backfill` makes up for the others."""
    await here.schedules.resume(named)
    return await shown(here, named)


@router.post(f"{ONE}/run", response_model=reports.ScheduleRun, responses=CHANGE)
async def run(here: Manager, named: Named) -> Answer:
    """Submit its task now, beside its ticks."""
    handle = await here.schedules.run_now(named)
    return Answer({"task_id": handle.task_id})


@router.post(
    f"{ONE}/backfill",
    response_model=reports.Backfilled,
    responses=documented(400, 404, 409, 413, 501),
)
async def backfill(
    request: Request, here: Manager, named: Named, body: requests.Backfill
) -> Answer:
    """Submit the ticks of a time that have no task, or list them (`dry_run`)."""
    request.state.details = {
        "start": body.start.isoformat(),
        "end": body.end.isoformat(),
        "dry_run": body.dry_run,
    }
    ids = await here.schedules.backfill(named, body.start, body.end, dry_run=body.dry_run)
    return Answer({"count": len(ids), "task_ids": list(ids[:MOST_IDS])})


@router.delete(ONE, response_model=reports.ScheduleRemoved, responses=CHANGE)
async def remove(here: Manager, named: Named) -> Answer:
    """Remove it. If code still declares it, it is back when a process starts."""
    await here.schedules.remove(named)
    return Answer({"removed": named})
