"""Who makes a request: by a token, by a session that a token began, or by the host's own rule."""

from __future__ import annotations

import base64
import hashlib
import hmac
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import attrs
from starlette.requests import Request

from kew.domain.errors import InvalidConfigError, shown
from kew.web.problems import ApiError

SHORTEST_TOKEN: Final = 16
LONGEST_NAME: Final = 200
COOKIE: Final = "kew_session"
SESSION_SECONDS: Final = 12 * 3600
HOW_TO_MAKE: Final = "make one: python -c 'import secrets; print(secrets.token_urlsafe())'"


@attrs.frozen
class Identity:
    """Who makes a request. The log names it with each change; `may_change` False: it may only read."""

    name: str = attrs.field()
    may_change: bool = True

    @property
    def shown(self) -> str:
        """The name in printable characters, as the log and the store have it."""
        return self.name if self.name.isprintable() else ascii(self.name)[1:-1][:LONGEST_NAME]

    @name.validator
    def _check(self, attribute: object, value: object) -> None:
        if not isinstance(value, str) or not value or len(value) > LONGEST_NAME:
            raise InvalidConfigError(
                f"an identity's name is a text of 1 to {LONGEST_NAME} characters, not {shown(value)}"
            )


Authorize = Callable[[Request], "Identity | str | Awaitable[Identity | str | None] | None"]
"""The host's own rule: who makes the request, or None to refuse it. It may be async, and raise `PermissionError`."""


def checked_tokens(token: str | Mapping[str, str] | None) -> dict[str, str]:
    """The tokens, by the names of their holders. Raises `InvalidConfigError`, which doesn't quote one."""
    if token is None:
        return {}
    tokens = {"token": token} if isinstance(token, str) else dict(token)
    for name, each in tokens.items():
        Identity(name)
        if not _is_good(each):
            raise InvalidConfigError(
                f"a token has {SHORTEST_TOKEN} or more ASCII characters without spaces ({HOW_TO_MAKE})"
            )
    if not tokens:
        raise InvalidConfigError(f"token={{}} names no token ({HOW_TO_MAKE})")
    return tokens


def _is_good(token: object) -> bool:
    is_text = isinstance(token, str) and token.isascii() and token.isprintable()
    return is_text and " " not in str(token) and len(str(token)) >= SHORTEST_TOKEN


class Authentication:
    """Finds out who makes a request. Tokens and signatures are compared in constant time."""

    def __init__(self, tokens: Mapping[str, str], authorize: Authorize | None) -> None:
        self._digests = {name: _digest(token) for name, token in tokens.items()}
        self._keys = {
            name: hashlib.sha256(b"kew session\0" + token.encode()).digest()
            for name, token in tokens.items()
        }
        self._authorize = authorize

    @property
    def has_tokens(self) -> bool:
        """Whether a token, and so a session, can be used."""
        return bool(self._digests)

    @property
    def is_open(self) -> bool:
        """Neither tokens nor a rule of the host."""
        return not self._digests and self._authorize is None

    async def identity(self, request: Request) -> Identity | None:
        """Who makes the request; None: it isn't known. Raises `ApiError` if the host's rule forbids it."""
        found = self._by_token(request) or self._by_session(request)
        if found is None and self._authorize is not None:
            found = await self._by_host(request, self._authorize)
        return found

    def of_token(self, token: str) -> Identity | None:
        """Who has this token. It is compared with each, so the time says nothing."""
        digest, found = _digest(token), None
        for name, each in self._digests.items():
            if hmac.compare_digest(digest, each):
                found = Identity(name)
        return found

    def _by_token(self, request: Request) -> Identity | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return self.of_token(token.strip()) if scheme.lower() == "bearer" else None

    async def _by_host(self, request: Request, authorize: Authorize) -> Identity | None:
        try:
            found = authorize(request)
            if inspect.isawaitable(found):
                found = await found
        except PermissionError as error:
            raise ApiError(403, "forbidden", "this identity may not use the admin API") from error
        if not found:
            return None
        if isinstance(found, Identity):
            return found
        if not isinstance(found, str):
            raise TypeError(
                f"authorize must return a name, a kew.web.Identity or None, not {shown(found)}"
            )
        return Identity(found)

    # --- sessions

    def session_of(self, identity: Identity) -> str:
        """A cookie's value: the name and when it ends, signed with a key that the token gives."""
        name = base64.urlsafe_b64encode(identity.name.encode()).decode()
        text = f"{int(time.time()) + SESSION_SECONDS}.{name}"
        return f"{text}.{self._signature(identity.name, text)}"

    def _by_session(self, request: Request) -> Identity | None:
        if "authorization" in request.headers:
            return None
        text, _, signature = request.cookies.get(COOKIE, "").rpartition(".")
        until, _, encoded = text.partition(".")
        try:
            name = base64.urlsafe_b64decode(encoded.encode()).decode()
        except ValueError:
            return None
        if not until.isdecimal() or not until.isascii() or len(until) > 12:
            return None
        if name not in self._keys or int(until) < time.time():
            return None
        is_genuine = hmac.compare_digest(
            self._signature(name, text).encode(), signature.encode("utf-8", "replace")
        )
        return Identity(name) if is_genuine else None

    def _signature(self, name: str, text: str) -> str:
        return hmac.new(self._keys[name], text.encode(), hashlib.sha256).hexdigest()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
