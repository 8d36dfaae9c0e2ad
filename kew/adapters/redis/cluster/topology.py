"""Which node of a Cluster serves each slot that kew uses, shared by all partitions of a process.

The map is read when the first store is opened, and when a node can't be used or is silent; a node that refers a call to
another one corrects it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from kew.adapters.redis.address import Address
from kew.adapters.redis.cluster.confirming import NodeConfirmation
from kew.adapters.redis.cluster.node import Node
from kew.adapters.redis.cluster.slots import SlotRange, host_of, read_map, served
from kew.adapters.redis.endpoint import Endpoint
from kew.adapters.redis.wire import ReplyError
from kew.app.ports import Refused
from kew.log import logger

SILENT: Final = (
    1.0  # seconds without an answer, after which others are asked whether the node still serves
)
LOOK_EVERY: Final = 0.5  # seconds between two looks for such nodes, which ask nothing


class Cluster:
    """The nodes, and who serves what. `address`: what all nodes have in common, and how messages name the cluster.

    `version` is the number of times that the map was read.
    """

    def __init__(self, address: Address, seeds: Sequence[Endpoint]) -> None:
        self.address = address
        self.version = 0
        self._seeds = tuple(seeds)
        self._known: tuple[Endpoint, ...] = ()  # all nodes of the map, replicas too
        self._slots: dict[int, str] = {}  # those that kew uses, with a key of each
        self._nodes: dict[Endpoint, Node] = {}
        self._owners: dict[int, Node] = {}
        self._reading: asyncio.Task[Refused | None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._on_change: list[Callable[[], None]] = []
        self._closing = set[asyncio.Task[None]]()  # nodes that are gone

    def twin(self) -> Cluster:
        """The same cluster for another event loop."""
        twin = Cluster(self.address, self._known or self._seeds)
        twin._slots |= self._slots
        return twin

    def use(self, slot: int, key: str) -> None:
        """Know who serves this slot from now on. `key` is one in it, which may be written."""
        self._slots[slot] = key

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call this whenever another node serves one of the slots."""
        self._on_change.append(callback)

    def off_change(self, callback: Callable[[], None]) -> None:
        """Call this no more."""
        if callback in self._on_change:
            self._on_change.remove(callback)

    # --- who serves a slot

    async def owner(self, slot: int) -> Node:
        """The node that serves it. Raises `Refused` if none is known."""
        if slot not in self._owners:
            await self.refresh(self.version)
        return self._owners[slot]

    @property
    def owners(self) -> Mapping[int, Node]:
        """The node of each slot that kew uses, as far as is known."""
        return self._owners

    def node(self, endpoint: Endpoint) -> Node:
        """The node there, with its connections."""
        node = self._nodes.get(endpoint)
        if node is None:
            confirmation = None
            if not self.address.durability.is_default:
                confirmation = NodeConfirmation(
                    f"Redis at {endpoint}", self.address, lambda: self._keys_at(endpoint)
                )
            node = self._nodes[endpoint] = Node(endpoint, self.address, confirmation)
            node.open()
        return node

    def _keys_at(self, endpoint: Endpoint) -> Sequence[str]:
        """A key of each slot that the node serves; of all slots if it serves none, and refuses to write any."""
        served = [
            self._slots[slot] for slot, node in self._owners.items() if node.endpoint == endpoint
        ]
        return served or [*self._slots.values()]

    def referred(self, error: ReplyError, asked: Node) -> Node:
        """The node that "MOVED slot host:port" or "ASK slot host:port" names; after MOVED it serves the slot."""
        code, slot, where = str(error).split(" ")[:3]
        host, _, port = where.rpartition(":")
        node = self.node(Endpoint(host_of(host.encode(), asked.endpoint.host), int(port)))
        if code == "MOVED" and self._owners.get(int(slot)) is not node:
            self._owners[int(slot)] = node
            self._changed()
        return node

    # --- reading the map

    async def refresh(self, seen: int) -> None:
        """Read the map, unless that was done since version `seen`. Raises `Refused` if no node has a usable one."""
        if self.version != seen:
            return
        refused = await asyncio.shield(self._read_once())
        if refused is not None:
            raise Refused(str(refused)) from refused.__cause__

    def suspect(self) -> None:
        """A node didn't answer: read the map in the background."""
        self._read_once()

    def _read_once(self) -> asyncio.Task[Refused | None]:
        """The task that reads it; one at a time."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read(), name="kew cluster map")
        return self._reading

    async def _read(self) -> Refused | None:
        """Why the map could not be read; None: it was."""
        known = random.sample(self._known, len(self._known))
        places = [*known, *(seed for seed in self._seeds if seed not in known)]
        try:
            self._apply(await read_map(places, self.address, self._slots))
        except Refused as refused:
            return refused
        except asyncio.CancelledError:  # by `close`; calls that wait for the map aren't cancelled
            return Refused(f"the connections to {self.address.where} were closed")
        return None

    def _apply(self, found: Sequence[SlotRange]) -> None:
        """This is the map now."""
        before = dict(self._owners)
        named = {each for one in found for each in (one.primary, *one.replicas)}
        gone = self._nodes.keys() - named - set(self._known)  # and were gone in the last map
        self._known = tuple(named)
        self._owners = {
            slot: self.node(one.primary) for slot, one in served(found, self._slots).items()
        }
        self.version += 1
        for node in set(before.values()) - set(self._owners.values()):
            self._leave(node)
        for endpoint in gone:
            closing = asyncio.create_task(self._nodes.pop(endpoint).close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        if before != self._owners:
            self._changed()

    def _leave(self, node: Node) -> None:
        """It serves nothing of kew's any more: a demoted primary, or one that is gone."""
        for link in node.silent(SILENT):  # their calls would wait in vain
            link.wire.hang_up()
        route = node.address.route
        route.start_generation(f"{node.endpoint} serves no partition any more")
        route.replaced(node.address.name)

    def _changed(self) -> None:
        nodes = {str(node.endpoint) for node in self._owners.values()}
        logger.debug("the partitions are at %s now", ", ".join(sorted(nodes)))
        for node in self._nodes.values():
            if node.confirmation is not None:
                node.confirmation.choose()
        for callback in list(self._on_change):
            callback()

    # --- opening and closing

    def open(self) -> None:
        """Keep connections from now on, in this event loop."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._reading, self._looking = loop, None, None
        if self._looking is None:
            self._looking = loop.call_later(LOOK_EVERY, self._look)
        for node in self._nodes.values():
            node.open()

    def _look(self) -> None:
        """A node that is frozen, or cut off, breaks no connection."""
        self._looking = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look)
        if any(node.silent(SILENT) for node in set(self._owners.values())):
            self.suspect()

    async def close(self) -> None:
        """Disconnect."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        for node in self._nodes.values():
            await node.close()
        await asyncio.gather(*self._closing, return_exceptions=True)
