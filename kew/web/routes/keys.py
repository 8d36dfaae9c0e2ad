"""Limits that single keys of a queue have of their own."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request

from kew.web import models, requests
from kew.web.guard import SLASH
from kew.web.problems import documented
from kew.web.routes.common import Answer, Queue

router = APIRouter(tags=["keys"])
READ = documented(404)
CHANGE = documented(400, 404, 413)
ONE = "/api/queues/{queue}/key-limits/{key}"


def named_key(key: Annotated[str, Path(description="The key, with `/` as `%2F`")]) -> str:
    """The key that the path names."""
    return key.replace(SLASH, "/")


Key = Annotated[str, Depends(named_key)]


@router.get("/api/queues/{queue}/key-limits", response_model=models.KeyLimits, responses=READ)
async def key_limits(named: Queue, wanted: Annotated[requests.KeyLimitQuery, Query()]) -> Answer:
    """A page of the limits that keys have of their own, or those of one key."""
    found = await named.key_limits(key=wanted.key, limit=wanted.limit, cursor=wanted.cursor)
    return Answer(found.to_dict())


@router.put(ONE, response_model=models.KeyLimits, responses=CHANGE)
async def set_key_limit(
    request: Request, named: Queue, key: Key, body: requests.KeyLimitBody
) -> Answer:
    """Give a key limits of its own, in place of those that it had; what is null stays as `per_key` declares.

    Answers the first page of all.
    """
    request.state.details = body.model_dump(exclude_none=True)
    await named.set_key_limit(key, **body.limits())
    return Answer((await named.key_limits()).to_dict())


@router.delete(ONE, response_model=models.KeyLimits, responses=CHANGE)
async def remove_key_limit(named: Queue, key: Key) -> Answer:
    """Let a key have the limits of `per_key` again. Answers the first page of all."""
    await named.remove_key_limit(key)
    return Answer((await named.key_limits()).to_dict())
