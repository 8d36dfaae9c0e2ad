"""The factory: from a manager or a URL to an ASGI application."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

from kew import TaskQueueManager, __version__
from kew.domain.errors import InvalidConfigError
from kew.web.backend import Backend
from kew.web.feed import Feed
from kew.web.guard import Guard, Rules
from kew.web.identities import COOKIE, HOW_TO_MAKE, Authentication, Authorize, checked_tokens
from kew.web.problems import ApiError, FieldError, Problem, install
from kew.web.redaction import Redact, Redaction
from kew.web.routes import ROUTERS
from kew.web.routes.common import exact_body, exact_query

STATIC: Final = Path(__file__).with_name("static")


class Admin(Guard):
    """The ASGI application that `admin` makes."""

    def __init__(self, app: FastAPI, rules: Rules, backend: Backend) -> None:
        super().__init__(app, rules)
        self._api = app
        self._backend = backend

    def openapi(self) -> dict[str, Any]:
        """The description that `/api/openapi.json` gives."""
        return self._api.openapi()

    async def close(self) -> None:
        """Close the store that was opened for a URL. A server does this by itself; a mounted application needs it."""
        await self._backend.close()


def admin(
    manager_or_url: TaskQueueManager | str,
    *,
    namespace: str | None = None,
    token: str | Mapping[str, str] | None = None,
    authorize: Authorize | None = None,
    allow_changes: bool = False,
    loopback_only: bool = False,
    show_payloads: bool = True,
    redact: Redact | None = None,
) -> Admin:
    """The admin API and its page, as an ASGI application that can be mounted into another, or served by itself.

    - `manager_or_url`: an initialized manager, which stays the caller's, or a store's URL, with a `namespace`. A URL is
      opened by the first request.
    - `token`: what callers send as `Authorization: Bearer`; or tokens by the names that the log gives their holders.
    - `authorize`: a callable (plain or async) that takes the request, and returns who makes it (a name, or an
      `Identity`) or None to refuse it. A `PermissionError` forbids it. It is asked where no token fits.
    - `allow_changes`: without it, the API is read-only.
    - `loopback_only`: without a token and `authorize`, only this machine is answered. Otherwise one of these is
      needed.
    - `show_payloads`: whether arguments and results of tasks are shown. Errors always are.
    - `redact`: a function that takes a `TaskInfo` and a dict with `args` and `kwargs`, or with `result`, and returns
      what is shown of it, or None to hide it.

    Raises `InvalidConfigError`.
    """
    authentication = Authentication(checked_tokens(token), authorize)
    if authentication.is_open and not loopback_only:
        raise InvalidConfigError(
            "the admin API needs authentication: give admin() a token= or authorize=, or loopback_only=True to answer "
            f"this machine only ({HOW_TO_MAKE})"
        )
    backend = Backend(manager_or_url, namespace)
    rules = Rules(
        authentication=authentication,
        allow_changes=allow_changes,
        is_local=authentication.is_open,
    )
    app = _application(backend)
    app.state.backend, app.state.authentication = backend, authentication
    app.state.allow_changes, app.state.feed = allow_changes, Feed(backend.overview)
    app.state.redaction = Redaction(shows_any=show_payloads, redact=redact)
    return Admin(app, rules, backend)


def _application(backend: Backend) -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await backend.close()

    app = FastAPI(
        title="kew admin API",
        version=__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.openapi = functools.partial(_openapi, app)  # type: ignore[method-assign]  # as FastAPI documents it
    install(app)
    for router in ROUTERS:
        app.include_router(router, dependencies=[Depends(exact_query), Depends(exact_body)])
    app.mount("/static", StaticFiles(directory=STATIC, check_dir=False))
    app.add_route("/", _index)
    return app


async def _index(request: object) -> FileResponse:
    page = STATIC / "index.html"
    if not page.exists():
        raise ApiError(404, "not-found", "this installation has no page; the API is at /api/info")
    return FileResponse(page)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The API's description, with problem details and the ways to authenticate."""
    if app.openapi_schema is None:
        found = get_openapi(title=app.title, version=app.version, routes=app.routes)
        components = found.setdefault("components", {})
        template = "#/components/schemas/{model}"
        for model in (Problem, FieldError):
            schema = model.model_json_schema(ref_template=template)
            schema.pop("$defs", None)
            components["schemas"][model.__name__] = schema
        components["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
        }
        found["security"] = [{"token": []}, {"session": []}]
        app.openapi_schema = found
    return app.openapi_schema
