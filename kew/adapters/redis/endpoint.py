"""Where one server listens, as URLs list several of them."""

from __future__ import annotations

from urllib.parse import urlsplit

import attrs


@attrs.frozen
class Endpoint:
    """A host and its port."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def endpoints(text: str, default_port: int) -> list[Endpoint]:
    """Those of "host[:port],host[:port]". Raises ValueError."""
    return [_endpoint(each, default_port) for each in text.split(",")]


def _endpoint(text: str, default_port: int) -> Endpoint:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("no host")
    return Endpoint(parts.hostname, parts.port or default_port)
