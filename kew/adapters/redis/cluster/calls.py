"""Calls of one partition: each goes to the node that serves its slot, and follows where nodes refer it to.

What a node surely didn't do is sent again here, for a short while; everything else is for the caller to repeat, with
the same identity.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from operator import attrgetter
from typing import Any, Final, TypeGuard

from redis.exceptions import AuthenticationError

from kew.adapters.redis.cluster.node import Node
from kew.adapters.redis.cluster.topology import Cluster
from kew.adapters.redis.connections import Connections, LibraryMissing, Link
from kew.adapters.redis.durability import Unconfirmed
from kew.adapters.redis.functions import Pools
from kew.adapters.redis.refusals import is_redirect, leads_elsewhere
from kew.adapters.redis.wire import ReplyError
from kew.app.ports import Refused, StoreError

PATIENCE: Final = 2.0  # seconds in which a call is sent again
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.1
UNCONFIRMED: Final = ("questions", "heartbeats")
HOPS: Final = 3  # that a call follows before it pauses: nodes that disagree refer it to each other
# A function that reads has met a key that has moved already. One that writes names `Keys.guards`, and never begins.
HALF_MOVED: Final = "access a non local key"


class SlotConnections(Connections):
    """The connections of one kind ("work") to whichever node serves the slot."""

    def __init__(self, cluster: Cluster, slot: int, kind: str) -> None:
        self._cluster = cluster
        self._slot = slot
        self._of = attrgetter(kind)
        # ASKING is for the next command alone, and what confirms it is another one: better to wait.
        self._may_ask = cluster.address.durability.is_default or kind in UNCONFIRMED

    async def call(self, request: bytes, within: float | None = None) -> Any:
        """See `Pool.call`."""
        loop = asyncio.get_running_loop()
        sent_until = loop.time() + min(PATIENCE, within or PATIENCE)
        again, hops = _pauses(), 0
        asked: Node | None = None  # the node that an ASK named, for one attempt
        while True:
            cluster, asking, seen = self._cluster, asked, self._cluster.version
            node = asking or await cluster.owner(self._slot)
            asked = None
            try:
                return await self._of(node.pools).call(
                    request, within, is_asking=asking is not None
                )
            except StoreError as error:
                cause = error.__cause__
                if self._is_referred(cause):
                    referred = cluster.referred(cause, node)
                    asked = referred if cause.code == "ASK" else None
                    hops += 1
                    if hops % HOPS:
                        continue
                elif not _may_be_sent_again(error, is_asking=asking is not None):
                    if isinstance(cause, OSError | Unconfirmed):
                        cluster.suspect()
                    raise
                pause = next(again)
                if loop.time() + pause > sent_until:
                    if isinstance(cause, ReplyError) and cause.code in ("TRYAGAIN", "ASK"):
                        raise self._migrating(node, cause) from cause
                    raise
            if _is_outage(cause):
                await self._refreshed(seen)
            await asyncio.sleep(pause)

    def _migrating(self, node: Node, cause: ReplyError) -> Refused:
        return Refused(
            f"{node.address.name} has been migrating slot {self._slot} for longer than a call waits: "
            f"finish the migration, or let `redis-cli --cluster fix {node.endpoint}` do it ({cause})"
        )

    def _is_referred(self, cause: BaseException | None) -> TypeGuard[ReplyError]:
        """The node names another one for this call."""
        codes = ("MOVED", "ASK") if self._may_ask else ("MOVED",)
        return isinstance(cause, ReplyError) and cause.code in codes

    async def _refreshed(self, seen: int) -> None:
        """Know the nodes that serve now; as before if no node answers."""
        try:
            await self._cluster.refresh(seen)
        except Refused:
            return  # the next attempt says so, or finds the node again

    # --- calls without a coroutine of their own

    def at_hand(self) -> Link | None:
        """See `Pool.at_hand`."""
        node = self._cluster.owners.get(self._slot)
        link: Link | None = None if node is None else self._of(node.pools).at_hand()
        return link

    def release(self, link: Link, reply: Any) -> None:
        """See `Pool.release`."""
        link.pool.release(link, reply)

    def abandon(self, link: Link) -> None:
        """See `Pool.abandon`."""
        link.pool.abandon(link)

    def unsent(self, link: Link) -> None:
        """See `Pool.unsent`."""
        link.pool.unsent(link)

    def give_up_at(self, within: float | None = None) -> float:
        """See `Pool.give_up_at`."""
        timeout = self._cluster.address.timeout
        return asyncio.get_running_loop().time() + min(timeout, within or timeout)

    def store_error_of(self, error: Exception, within: float | None = None) -> Exception:
        """See `Pool.store_error_of`. The next call goes where a node referred this one to."""
        node = self._cluster.owners.get(self._slot)
        if node is None:
            return error
        if isinstance(error, ReplyError) and error.code == "MOVED":
            self._cluster.referred(error, node)
        elif isinstance(error, OSError | Unconfirmed):
            self._cluster.suspect()
        raised: Exception = self._of(node.pools).store_error_of(error, within)
        return raised

    # --- the cluster opens and closes its nodes

    def open(self) -> None:
        """Nothing: see `Cluster.open`."""

    async def close(self) -> None:
        """Nothing: see `Cluster.close`."""

    async def warm(self, count: int) -> None:
        """See `Pool.warm`."""
        node = await self._cluster.owner(self._slot)
        await self._of(node.pools).warm(count)


def slot_pools(cluster: Cluster, slot: int, key: str) -> Pools:
    """The connections of each kind for one slot, in which `key` is."""
    cluster.use(slot, key)
    questions = commands = SlotConnections(cluster, slot, "questions")
    if not cluster.address.durability.is_default:
        commands = SlotConnections(cluster, slot, "commands")
    return Pools(
        work=SlotConnections(cluster, slot, "work"),
        questions=questions,
        commands=commands,
        heartbeats=SlotConnections(cluster, slot, "heartbeats"),
    )


def _pauses() -> Iterator[float]:
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)


def _may_be_sent_again(error: StoreError, *, is_asking: bool) -> bool:
    """It was not carried out, and time or another node may change that."""
    if HALF_MOVED in str(error):
        return True
    if isinstance(error, LibraryMissing):
        return is_asking  # else the caller loads it
    return isinstance(error, Refused) and (
        is_redirect(error.__cause__) or _is_outage(error.__cause__)
    )


def _is_outage(cause: BaseException | None) -> bool:
    """The node can't be reached, or can't be used now."""
    if isinstance(cause, ReplyError):
        return leads_elsewhere(cause) and not is_redirect(cause)
    return isinstance(cause, Exception) and not isinstance(cause, AuthenticationError)
