"""Errors as problem details (RFC 9457): what each error of kew and of HTTP becomes."""

from __future__ import annotations

import http
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from kew.domain.errors import (
    InvalidConfigError,
    InvalidTaskError,
    QueueDrainingError,
    QueueFullError,
    QueueInUseError,
    QueueNotFoundError,
    ResultUnreadableError,
    StoreUnavailableError,
    StoreUnsuitableError,
    TaskNotFoundError,
    TaskQueueError,
    TaskUnreadableError,
    UnknownFunctionError,
)
from kew.domain.schedule_errors import MissingExtraError, ScheduleNotFoundError

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER: Final = "2"  # seconds, when the store doesn't answer
LONGEST_DETAIL: Final = 2000


class FieldError(BaseModel):
    """What is wrong with one field of a request."""

    field: str = Field(description="Where it is, such as `body.note`")
    message: str


class Problem(BaseModel):
    """An error, as RFC 9457 describes it."""

    type: str = Field(
        description="A URI that names the kind of error: `urn:kew:problem:` and `code`"
    )
    title: str
    status: int
    detail: str = Field(description="What happened, and what to do")
    code: str = Field(description="The kind of error, for programs")
    errors: list[FieldError] | None = Field(default=None, description="Each invalid field")


class ProblemResponse(JSONResponse):
    """Problem details as JSON."""

    media_type = MEDIA_TYPE


class ApiError(HTTPException):
    """An error that the API answers with a problem of this status and code.

    (An `HTTPException`, since FastAPI lets no other error out of the reading of a body.)
    """

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, detail, dict(headers) if headers else None)
        self.code = code

    def response(self) -> ProblemResponse:
        """It, as a response."""
        return problem(self.status_code, self.code, self.detail, headers=self.headers)


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> ProblemResponse:
    """A problem as a response."""
    body: dict[str, Any] = {
        "type": f"urn:kew:problem:{code}",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": detail[:LONGEST_DETAIL],
        "code": code,
    }
    if errors:
        body["errors"] = [each.model_dump() for each in errors]
    return ProblemResponse(body, status_code=status, headers=dict(headers or {}))


ERRORS: Final[tuple[tuple[type[TaskQueueError], int, str], ...]] = (
    (QueueNotFoundError, 404, "queue-not-found"),
    (TaskNotFoundError, 404, "task-not-found"),
    (ScheduleNotFoundError, 404, "schedule-not-found"),
    (InvalidTaskError, 422, "invalid-task"),
    (InvalidConfigError, 422, "invalid-value"),
    (UnknownFunctionError, 409, "function-unknown"),
    (QueueInUseError, 409, "queue-in-use"),
    (QueueDrainingError, 409, "queue-draining"),
    (QueueFullError, 409, "queue-full"),
    (ResultUnreadableError, 409, "result-unreadable"),
    (TaskUnreadableError, 409, "task-unreadable"),
    (MissingExtraError, 501, "not-installed"),
    (StoreUnavailableError, 503, "store-unavailable"),
    (StoreUnsuitableError, 503, "store-unsuitable"),
)
"""What kew's errors become. One that isn't listed means that the manager can't be used now."""


def problem_of(error: TaskQueueError) -> ProblemResponse:
    """An error of kew as a response."""
    status, code = next(
        ((status, code) for kind, status, code in ERRORS if isinstance(error, kind)),
        (503, "not-ready"),
    )
    headers = {"Retry-After": RETRY_AFTER} if status == 503 else None
    return problem(status, code, str(error), headers=headers)


HTTP_CODES: Final = {400: "bad-request", 404: "not-found", 405: "method-not-allowed"}


def _of_http(request: Request, error: Exception) -> ProblemResponse:
    if isinstance(error, ApiError):
        return error.response()
    assert isinstance(error, HTTPException)
    code = HTTP_CODES.get(error.status_code, "http-error")
    detail = {
        400: "the body can't be read: send JSON in UTF-8",
        404: "there is nothing at this address",
        405: f"{request.method} isn't possible at this address",
    }.get(error.status_code, str(error.detail))
    return problem(error.status_code, code, detail, headers=error.headers)


def _of_validation(request: Request, error: Exception) -> ProblemResponse:
    """Names fields and what is wrong with them, never what they contained: it may be a secret."""
    assert isinstance(error, RequestValidationError)
    errors = [
        FieldError(field=".".join(map(str, each["loc"])), message=str(each["msg"]))
        for each in error.errors()
    ]
    named = "; ".join(f"{each.field}: {each.message}" for each in errors[:5])
    return problem(422, "invalid-request", f"the request is invalid: {named}", errors=errors)


def _of_kew(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, TaskQueueError)
    return problem_of(error)


def _of_bug(request: Request, error: Exception) -> ProblemResponse:
    return unexpected()


def unexpected() -> ProblemResponse:
    """A bug, of which the response says nothing."""
    return problem(500, "unexpected", "an unexpected error occurred; the server's log has it")


def install(app: FastAPI) -> None:
    """Let every error of this application become a problem."""
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(TaskQueueError, _of_kew)
    app.add_exception_handler(Exception, _of_bug)


DESCRIPTIONS: Final = {
    400: "The request can't be read",
    401: "No valid token or session",
    403: "Not allowed: read-only, from another site, or this identity may not",
    404: "There is no such queue, task or schedule",
    405: "This method isn't possible here",
    409: "The state of the queue or task doesn't allow it",
    413: "The body is too large",
    422: "A field is unknown, missing or invalid",
    500: "An unexpected error",
    501: "An extra isn't installed",
    503: "The store doesn't answer, or the manager isn't ready",
}

Documented = dict[int | str, dict[str, Any]]


def documented(*statuses: int) -> Documented:
    """These errors, for OpenAPI, and those that every request may meet."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": DESCRIPTIONS[status], "content": content}
        for status in sorted({401, 403, 422, 500, 503, *statuses})
    }
