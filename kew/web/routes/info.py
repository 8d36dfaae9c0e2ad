"""What this is, who is asking, and sessions of the page."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from kew import __version__
from kew.web import models, requests
from kew.web.identities import COOKIE, SESSION_SECONDS, Authentication
from kew.web.problems import ApiError, documented
from kew.web.routes.common import Answer, Caller, Manager

router = APIRouter(tags=["info"])
NO_TOKEN: Final[dict[str, Any]] = {
    "security": []
}  # what OpenAPI says of operations that need no token


@router.get("/api/info", response_model=models.Info, responses=documented())
async def info(request: Request, here: Manager, caller: Caller) -> Answer:
    """The version, the store, and who is asking."""
    read_only = not (request.app.state.allow_changes and caller.may_change)
    answer: dict[str, Any] = {
        "version": __version__,
        "store": here.store_address,
        "namespace": here.namespace,
        "read_only": read_only,
        "who": {"name": caller.name, "may_change": caller.may_change},
    }
    return Answer(answer)


@router.post(
    "/api/session", status_code=204, openapi_extra=NO_TOKEN, responses=documented(400, 413)
)
async def log_in(request: Request, body: requests.Token) -> Response:
    """Begin a session of a browser: a cookie that scripts can't read and other sites can't use."""
    authentication: Authentication = request.app.state.authentication
    identity = authentication.of_token(body.token)
    if identity is None:
        raise ApiError(401, "unauthenticated", "this token isn't valid")
    response = Response(status_code=204)
    response.set_cookie(
        COOKIE,
        authentication.session_of(identity),
        max_age=SESSION_SECONDS,
        path=request.scope.get("root_path", "") + "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


@router.delete("/api/session", status_code=204, openapi_extra=NO_TOKEN, responses=documented())
async def log_out(request: Request) -> Response:
    """End the session of this browser."""
    response = Response(status_code=204)
    response.delete_cookie(
        COOKIE,
        path=request.scope.get("root_path", "") + "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response
