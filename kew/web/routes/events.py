"""Server-sent events: what changes in the queues."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from kew.web.feed import Feed
from kew.web.problems import ApiError, documented
from kew.web.routes.common import Manager

router = APIRouter(tags=["queues"])
EVENTS: Final = {
    "description": (
        "An endless stream. Its events: `queues`, with what `/api/queues` answers, at once and whenever it has "
        "changed, at most once a second; and `problem`, with a `detail`, while the store doesn't answer."
    ),
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


@router.get(
    "/api/events",
    response_class=StreamingResponse,
    responses={200: EVENTS, **documented()},
)
async def events(request: Request, here: Manager) -> StreamingResponse:
    """Follow all queues, and what needs attention. A stream ends after ten minutes; open another then."""
    feed: Feed = request.app.state.feed
    if feed.is_full:
        raise ApiError(503, "too-many-streams", "too many streams are open; close some of them")
    return StreamingResponse(feed.stream(), media_type="text/event-stream")
