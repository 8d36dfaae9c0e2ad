"""What every request must pass before any of the API's code sees it, and what every response carries.

It refuses by default: a path that isn't listed as open needs an identity, and a method that isn't safe is a change.
Nothing of a refused request's body is read.
"""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import unquote, urlsplit

import attrs
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kew.domain.errors import TaskQueueError
from kew.log import logger
from kew.web.identities import Authentication, Identity
from kew.web.problems import ApiError, problem_of, unexpected

MOST_BODY_BYTES: Final = 256 * 1024
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
SESSION: Final = "/api/session"
OPEN: Final = frozenset({"", "/", "/favicon.ico", SESSION, "/api/health/live", "/api/health/ready"})
OPEN_FOLDER: Final = "/static/"
SAME_SITE: Final = ("same-origin", "none")
PROXY_HEADERS: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
SLASH: Final = "\udc2f"
"""A slash within a segment of the path: no id can contain this, since it can't be encoded."""

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
API_CACHE: Final = "no-store"
PAGE_CACHE: Final = "no-cache"  # browsers keep it, and ask each time whether it has changed


@attrs.frozen(kw_only=True)
class Rules:
    """What the host allows."""

    authentication: Authentication
    allow_changes: bool
    is_local: bool  # no authentication: only this machine is answered


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with a problem."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope = {**scope, "path": _routed_path(scope)}
        visit = Visit(scope, Request(scope), _path_below_mount(scope))
        answering = Answering(send, visit)
        try:
            await self._admit(visit)
            await self._app(scope, Body(receive).receive, answering.send)
        except ApiError as error:
            await answering.instead(error.response(), scope, receive)
        except TaskQueueError as error:
            await answering.instead(problem_of(error), scope, receive)
        except Exception:
            logger.exception("admin: a request failed unexpectedly")
            await answering.instead(unexpected(), scope, receive)
        finally:
            visit.log(answering.status)

    async def _admit(self, visit: Visit) -> None:
        """Raises `ApiError` for a request that is refused."""
        request, rules = visit.request, self._rules
        if rules.is_local and not _is_local(request):
            raise ApiError(
                403,
                "not-local",
                "without authentication, the admin API answers this machine only: give it a token",
            )
        if visit.is_change and _is_cross_site(request.headers):
            raise ApiError(403, "cross-site", "changes from another site are refused")
        _check_length(request.headers)
        if visit.is_open:
            return
        visit.identity = await self._identity(request)
        request.state.identity = visit.identity
        if visit.is_change and not rules.allow_changes:
            raise ApiError(403, "read-only", "this admin API is read-only (allow_changes is False)")
        if visit.is_change and not visit.identity.may_change:
            raise ApiError(403, "forbidden", f"{visit.identity.name} may only read")

    async def _identity(self, request: Request) -> Identity:
        if self._rules.is_local:
            return Identity("local")
        identity = await self._rules.authentication.identity(request)
        if identity is None:
            raise ApiError(
                401,
                "unauthenticated",
                "a valid token is needed: Authorization: Bearer <token>",
                headers={"WWW-Authenticate": 'Bearer realm="kew"'},
            )
        return identity


@attrs.define(eq=False)
class Visit:
    """One request."""

    scope: Scope
    request: Request
    path: str
    identity: Identity | None = None

    @property
    def is_api(self) -> bool:
        """Whether it is for the API, and not for the page."""
        return self.path.startswith("/api/")

    @property
    def is_open(self) -> bool:
        """Whether it needs no identity."""
        return self.path in OPEN or self.path.startswith(OPEN_FOLDER)

    @property
    def is_change(self) -> bool:
        """Whether it may change something."""
        return self.request.method not in SAFE_METHODS

    def log(self, status: int) -> None:
        """A line for each change, also for one that was refused: who, what, and what became of it."""
        if not self.is_change:
            return
        who = self.identity.name if self.identity else "an unknown caller"
        client = self.request.client.host if self.request.client else "an unknown address"
        details = getattr(self.request.state, "details", None)
        logger.info(
            "admin: %s (%s): %s %r%s: %s",
            ascii(who)[1:-1],
            client,
            self.request.method,
            self.path.replace(SLASH, "/"),
            f" {details!r}" if details else "",
            "done" if 200 <= status < 300 else f"refused with {status}",
        )


class Answering:
    """Sends the response, with the headers that every response has."""

    def __init__(self, send: Send, visit: Visit) -> None:
        self._send = send
        self._visit = visit
        self.status = 0

    async def send(self, message: Message) -> None:
        """Pass a message of the application on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS)
            headers["Cache-Control"] = API_CACHE if self._visit.is_api else PAGE_CACHE
        await self._send(message)

    async def instead(self, response: ASGIApp, scope: Scope, receive: Receive) -> None:
        """Send this response if none has begun. One that has begun ends where it is."""
        if not self.status:
            await response(scope, receive, self.send)


class Body:
    """A body of unknown length, which is read no further than is allowed."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read = 0

    async def receive(self) -> Message:
        """The next piece. Raises `ApiError` once it is too much."""
        message = await self._receive()
        self._read += len(message.get("body", b""))
        if self._read > MOST_BODY_BYTES:
            raise _too_large()
        return message


def _too_large() -> ApiError:
    return ApiError(
        413,
        "too-large",
        f"a request's body may have at most {MOST_BODY_BYTES} bytes",
        headers={"Connection": "close"},
    )


def _check_length(headers: Headers) -> None:
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdecimal():
        raise ApiError(400, "bad-request", "Content-Length is not a number")
    if len(length) > 12 or int(length) > MOST_BODY_BYTES:
        raise _too_large()


def _is_cross_site(headers: Headers) -> bool:
    """By what browsers say: pages can forge neither header. A program that sends none of them isn't a page."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in SAME_SITE
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


def _is_local(request: Request) -> bool:
    """From this machine, to it, and not through a proxy; a name that a page let point here isn't one of ours."""
    client = request.client.host if request.client else ""
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    is_proxied = any(name in request.headers for name in PROXY_HEADERS)
    is_ours = host == "localhost" or host.endswith(".localhost") or is_loopback(host)
    return is_loopback(client) and is_ours and not is_proxied


def is_loopback(host: str) -> bool:
    """Whether this is an address of the machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _routed_path(scope: Scope) -> str:
    """The path, in which an encoded slash stays a part of its segment: ids may contain one."""
    path: str = scope["path"]
    raw = scope.get("raw_path")
    if not raw or b"%2f" not in raw.lower():
        return path
    segments = raw.split(b"?")[0].decode("ascii", "replace").split("/")
    return "/".join(unquote(segment).replace("/", SLASH) for segment in segments)


def _path_below_mount(scope: Scope) -> str:
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(root) else path
