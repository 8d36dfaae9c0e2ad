"""What the endpoints share."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Depends, Path, Request
from fastapi.responses import JSONResponse

from kew import QueueHandle, TaskQueueManager
from kew.app.json_values import json_value
from kew.web.backend import Backend
from kew.web.guard import SAFE_METHODS, SLASH
from kew.web.identities import LONGEST_NAME, Identity
from kew.web.problems import ApiError

EMPTY: Final = (b"", b"{}")


class Answer(JSONResponse):
    """Any value of kew as JSON; what JSON doesn't have becomes text or null, as in `TaskInfo.to_json`."""

    def render(self, content: Any) -> bytes:
        """The bytes."""
        return super().render(json_value(content))


def backend(request: Request) -> Backend:
    """What this application looks at."""
    found: Backend = request.app.state.backend
    return found


async def manager(request: Request) -> TaskQueueManager:
    """The manager, ready."""
    return await backend(request).manager()


def exact_query(request: Request) -> None:
    """Refuse parameters that the endpoint doesn't have, and those that are given twice."""
    given = [name for name, _ in request.query_params.multi_items()]
    twice = {name for name in given if given.count(name) > 1}
    takes_some = bool(request.scope["route"].dependant.query_params)
    wrong = twice or ({*given} if not takes_some else set())
    if wrong:
        why = "is given twice" if twice else "is no parameter of this endpoint"
        raise ApiError(422, "invalid-request", f"query.{min(wrong)[:LONGEST_NAME]} {why}")


async def exact_body(request: Request) -> None:
    """Refuse fields for an endpoint that takes none; an empty object is as good as nothing."""
    if request.method in SAFE_METHODS or request.scope["route"].body_field is not None:
        return
    if (await request.body()).strip() not in EMPTY:
        raise ApiError(422, "invalid-request", "this endpoint takes no fields")


def identity(request: Request) -> Identity:
    """Who makes the request; the guard has found out."""
    found: Identity = request.state.identity
    return found


Manager = Annotated[TaskQueueManager, Depends(manager)]
Caller = Annotated[Identity, Depends(identity)]


def named_queue(
    queue: Annotated[str, Path(description="The queue's name")], here: Manager
) -> QueueHandle:
    """The queue that the path names. Raises `QueueNotFoundError`."""
    return here.queue(queue)


def named_task(
    task_id: Annotated[str, Path(description="The task's id, with `/` as `%2F`")],
) -> str:
    """The id that the path names."""
    return task_id.replace(SLASH, "/")


Queue = Annotated[QueueHandle, Depends(named_queue)]
TaskId = Annotated[str, Depends(named_task)]
