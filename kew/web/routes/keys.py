"""Limits that single keys of a queue have of their own."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request

from kew.web import models, requests
from kew.web.guard import SLASH
from kew.web.problems import documented
from kew.web.routes.common import Answer, Queue

router = APIRouter(tags=["keys"])
CHANGE = documented(400, 404, 413)
ONE = "/api/queues/{queue}/key-limits/{key}"


def named_key(key: Annotated[str, Path(description="The key, with `/` as `%2F`")]) -> str:
    """The key that the path names."""
    return key.replace(SLASH, "/")


Key = Annotated[str, Depends(named_key)]


@router.get(
    "/api/queues/{queue}/key-limits", response_model=models.KeyLimits, responses=documented(404)
)
async def key_limits(named: Queue) -> Answer:
    """The limits that keys have of their own, by key."""
    return Answer({"limits": [each.to_dict() for each in await named.key_limits()]})


@router.put(ONE, response_model=models.KeyLimits, responses=CHANGE)
async def set_key_limit(
    request: Request, named: Queue, key: Key, body: requests.KeyLimitBody
) -> Answer:
    """Give a key limits of its own, in place of those that it had; what is null stays as `per_key` declares."""
    request.state.details = body.model_dump(exclude_none=True)
    await named.set_key_limit(key, **body.limits())
    return await key_limits(named)


@router.delete(ONE, response_model=models.KeyLimits, responses=CHANGE)
async def remove_key_limit(named: Queue, key: Key) -> Answer:
    """Let a key have the limits of `per_key` again."""
    await named.remove_key_limit(key)
    return await key_limits(named)
