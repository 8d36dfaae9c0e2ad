"""The map of a Cluster: which node serves which slots, as any of the nodes says.

Three nodes are asked at a time, and the first usable answer counts. One that is out of date leads to a node that refers
a call on, or can't be used; then others are asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import attrs
from redis.exceptions import RedisError

from kew.adapters.redis.address import Address
from kew.adapters.redis.cluster.node import NodeAddress, node_address
from kew.adapters.redis.endpoint import Endpoint
from kew.adapters.redis.refusals import without_stop
from kew.adapters.redis.wire import ReplyError, packed
from kew.app.ports import Refused

SLOTS: Final = packed("CLUSTER", "SLOTS")
ANSWER: Final = 1.0  # seconds that nodes have to connect and answer, before others are asked
ASKED_AT_ONCE: Final = 3


@attrs.frozen
class SlotRange:
    """Slots from `first` to `last` that one primary serves, and where its replicas are."""

    first: int
    last: int
    primary: Endpoint
    replicas: tuple[Endpoint, ...]


async def slots_by(address: NodeAddress, seconds: float) -> list[SlotRange]:
    """Who serves which slots, by this node. Raises `RedisError`, OSError or `ReplyError`."""
    wire = await address.wire()
    try:
        reply = await wire.answer(SLOTS, seconds)
    finally:
        wire.drop()
    if isinstance(reply, ReplyError):
        raise reply
    return list(read_slots(reply, address.options["host"]))


def read_slots(reply: Any, asked: str) -> Iterable[SlotRange]:
    """The reply to CLUSTER SLOTS of a node at `asked`, which is its own host if it doesn't know that."""
    for first, last, primary, *replicas in reply:
        serves, *others = (
            Endpoint(host_of(each[0], asked), each[1]) for each in (primary, *replicas)
        )
        yield SlotRange(first, last, serves, tuple(others))


def host_of(named: bytes | None, asked: str) -> str:
    """The host that a node at `asked` names; one that is empty or unknown is its own."""
    host = (named or b"").decode(errors="replace")
    return asked if host in ("", "?") else host


def served(found: Iterable[SlotRange], slots: Collection[int]) -> dict[int, SlotRange]:
    """The range of each of the slots that has one."""
    ordered = sorted(slots)
    return {slot: one for one in found for slot in ordered if one.first <= slot <= one.last}


async def read_map(
    places: Sequence[Endpoint], base: Address, slots: Collection[int]
) -> list[SlotRange]:
    """The map by the first of these nodes that has one with all the slots. Raises `Refused`."""
    unusable: list[Unusable] = []
    for first in range(0, len(places), ASKED_AT_ONCE):
        asked = places[first : first + ASKED_AT_ONCE]
        asking = [asyncio.create_task(_map_by(node_address(each, base), slots)) for each in asked]
        try:
            for answer in asyncio.as_completed(asking):
                try:
                    return await answer
                except Unusable as error:
                    unusable.append(error)
        finally:
            for each in asking:
                each.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
    reasons = "; ".join(map(str, unusable))
    refused = Refused(
        f"no node of the cluster {base.where} says which node serves what ({reasons})"
    )
    raise refused from (unusable[-1].__cause__ if unusable else None)


class Unusable(Exception):
    """A node gave no map, or one that lacks a slot."""


async def _map_by(address: NodeAddress, slots: Collection[int]) -> list[SlotRange]:
    try:
        async with asyncio.timeout(ANSWER):
            found = await slots_by(address, ANSWER)
    except (RedisError, OSError, ReplyError) as error:
        reason = without_stop(error) or "no answer in time"
        raise Unusable(f"{address.where}: {reason}") from error
    unserved = set(slots) - set(served(found, slots))
    if unserved:
        raise Unusable(f"{address.where}: no node serves slot {min(unserved)}")
    return found
