"""Dead letters of a queue: in pages, in groups, and what operators do to many of them."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request

from kew import TaskQueueManager
from kew.web import models, requests
from kew.web.problems import documented
from kew.web.routes.common import Answer, Manager, Queue

router = APIRouter(tags=["dead letters"])
CHANGE = documented(400, 404, 409, 413)
MOST_COUNTED: Final = 1_000
SAMPLE: Final = 10


@router.get(
    "/api/queues/{queue}/dead-letters", response_model=models.TaskPage, responses=documented(404)
)
async def dead_letters(
    here: Manager, named: Queue, wanted: Annotated[requests.DeadLetterQuery, Query()]
) -> Answer:
    """A page of dead letters, those first that ended last; each with its last attempt."""
    return Answer((await here.dead_letters(named.name, **wanted.model_dump())).to_dict())


@router.get(
    "/api/queues/{queue}/dead-letter-groups",
    response_model=models.Groups,
    responses=documented(404),
)
async def groups(here: Manager, named: Queue) -> Answer:
    """The groups of dead letters, that which failed last first."""
    found = await here.dead_letter_groups(named.name)
    return Answer({"groups": [each.to_dict() for each in found]})


@router.post(
    "/api/queues/{queue}/dead-letters/replay",
    response_model=models.ReplayedMany | models.Preview,
    responses=CHANGE,
)
async def replay(
    request: Request, here: Manager, named: Queue, body: requests.ReplayMany | None = None
) -> Answer:
    """Replay dead letters, or count them (`dry_run`). With `every`, so many seconds lie between two."""
    wanted = body or requests.ReplayMany()
    request.state.details = wanted.model_dump(exclude_none=True)
    if wanted.dry_run:
        return await _preview(here, named.name, wanted)
    count = await here.replay_dead_letters(
        named.name,
        group=wanted.group,
        function=wanted.function,
        limit=wanted.limit,
        every=wanted.every,
    )
    return Answer({"replayed": count})


@router.post(
    "/api/queues/{queue}/dead-letters/purge",
    response_model=models.PurgedMany | models.Preview,
    responses=CHANGE,
)
async def purge(
    request: Request, here: Manager, named: Queue, body: requests.Many | None = None
) -> Answer:
    """Remove dead letters for good, or count them (`dry_run`)."""
    wanted = body or requests.Many()
    request.state.details = wanted.model_dump(exclude_none=True)
    if wanted.dry_run:
        return await _preview(here, named.name, wanted)
    count = await here.purge_dead_letters(
        named.name, group=wanted.group, function=wanted.function, limit=wanted.limit
    )
    return Answer({"removed": count})


async def _preview(here: TaskQueueManager, queue: str, wanted: requests.Many) -> Answer:
    """How many would be affected, and some of them."""
    most = min(wanted.limit, MOST_COUNTED)
    page = await here.dead_letters(queue, group=wanted.group, function=wanted.function, limit=most)
    answer: dict[str, Any] = {
        "count": len(page.tasks),
        "more": page.cursor is not None and len(page.tasks) < wanted.limit,
        "sample": [dict(task) for task in page.tasks[:SAMPLE]],
    }
    return Answer(answer)
