"""The store's metrics for Prometheus, as `kew metrics` serves them."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Response

from kew.web.problems import ApiError, documented
from kew.web.routes.common import Manager

router = APIRouter(tags=["metrics"])
TEXT: Final[dict[str, Any]] = {
    "description": "Prometheus's text format",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}


@router.get("/api/metrics", response_class=Response, responses={200: TEXT, **documented(501)})
async def metrics(here: Manager) -> Response:
    """What the store says of all queues. Let Prometheus scrape this once, not from every process."""
    try:
        from kew.metrics import CONTENT_TYPE, exposition
    except ImportError as missing:
        raise ApiError(501, "not-installed", str(missing)) from None
    return Response(await exposition(here), headers={"Content-Type": CONTENT_TYPE})
