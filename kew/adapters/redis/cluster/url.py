"""Reading the URL of a Cluster: some of its nodes, and into how many partitions a namespace is divided."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import attrs

from kew.adapters.redis.address import Address, address
from kew.adapters.redis.endpoint import Endpoint, endpoints
from kew.domain.errors import InvalidConfigError

SCHEMES: Final = ("redis+cluster", "rediss+cluster")
FORM: Final = (
    "redis+cluster://[[user]:password@]host:port,host:port/?partitions=64, rediss+cluster://... for TLS; "
    "special characters are written as %XX"
)
PORT: Final = 6379
PARTITIONS: Final = 64
MOST_PARTITIONS: Final = 1024


@attrs.frozen(kw_only=True)
class ClusterUrl:
    """What a URL says. `address` is what all nodes have in common; its `where` lists the nodes of the URL."""

    address: Address
    seeds: tuple[Endpoint, ...]
    partitions: int


def cluster_url(
    url: str, *, connect_timeout: float = 2.0, timeout: float = 5.0, client_name: str = ""
) -> ClusterUrl:
    """Read the URL of a cluster. Raises `InvalidConfigError`, which quotes no part of it."""
    read = _read(url)
    if read is None:
        raise InvalidConfigError(
            f"the URL of the Redis Cluster can't be read; it looks like {FORM}"
        )
    seeds, query, plain = read
    partitions = _partitions(query.pop("partitions", str(PARTITIONS)))
    if query.get("durability") == "fsync":  # on one disk alone, it would be lost in a failover
        query.setdefault("replicas", "1")
    if query:
        plain += f"?{urlencode(query)}"
    base = address(plain, connect_timeout=connect_timeout, timeout=timeout, client_name=client_name)
    if base.database:
        raise InvalidConfigError(
            "a Redis Cluster has one database only, number 0: remove the number from the URL, and give each "
            "application a namespace of its own"
        )
    where = ",".join(map(str, seeds))
    return ClusterUrl(
        address=attrs.evolve(base, where=where, is_node=True),
        seeds=tuple(seeds),
        partitions=partitions,
    )


def _read(url: str) -> tuple[list[Endpoint], dict[str, str], str] | None:
    """The nodes, the options, and the URL of the first node without options."""
    try:
        parts = urlsplit(url)
        user, at, hosts = parts.netloc.rpartition("@")
        seeds = endpoints(hosts, PORT)
        query = dict(
            parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        )
    except ValueError:
        return None
    path = parts.path.strip("/")
    if (
        "@" in user + parts.path + parts.query
        or parts.fragment
        or not (not path or path.isdecimal())
    ):
        return None
    scheme = parts.scheme.partition("+")[0]
    return seeds, query, f"{scheme}://{user}{at}{seeds[0]}/{path}"


def _partitions(text: str) -> int:
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= MOST_PARTITIONS:
        return int(text)
    raise InvalidConfigError(
        f"the URL of the Redis Cluster: partitions takes a whole number from 1 to {MOST_PARTITIONS}"
    )
