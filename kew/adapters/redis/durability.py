"""Durability by choice: what changes something is answered once replicas, or a disk, have it.

After the command, the same connection sends WAIT (or WAITAOF) in the same bytes, so this takes no further round trip.
Redis waits for what *this connection* wrote last, and newer versions ignore a command that changed nothing. A repeat
changes nothing, and what it repeats was written on another connection. So an empty message goes before each WAIT: it is
replicated like a write, and what is confirmed after it includes everything before it.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Final

import attrs

from kew.adapters.redis.library import Argument
from kew.adapters.redis.refusals import is_redirect
from kew.adapters.redis.standstill import Standstill
from kew.adapters.redis.wire import OnReply, ReplyError, Wire, packed
from kew.compat import override
from kew.domain.durability import check_durability
from kew.domain.errors import InvalidConfigError

MOST_REPLICAS: Final = 10
CONFIRM_WITHIN: Final = (
    2.0  # seconds that replicas have; a disk that syncs each second takes up to one
)
SHARE_OF_TIMEOUT: Final = 0.5  # of the time for an answer, which WAIT must not exceed


@attrs.frozen
class Durability:
    """What an answer promises.

    level: "default" (the primary has it in memory), "replicated" (so have `replicas` replicas) or "fsync" (the
        append-only files of the primary and of `replicas` replicas were synced to disk).
    """

    level: str = "default"
    replicas: int = 0

    @property
    def is_default(self) -> bool:
        """Whether nothing is waited for."""
        return self.level == "default"

    @property
    def command(self) -> str:
        """What waits for it."""
        return "WAITAOF" if self.level == "fsync" else "WAIT"

    def wait(self, ms: int) -> bytes:
        """That command, as Redis reads it."""
        words: tuple[Argument, ...] = (self.replicas, ms)
        return packed(self.command, *((1, *words) if self.level == "fsync" else words))

    def missing(self, reply: Any) -> str:
        """What the reply to that command lacks; "" if nothing."""
        local, replicas = reply if self.level == "fsync" else (1, reply)
        if local < 1:
            return "the primary has not synced it to its disk"
        if replicas < self.replicas:
            where = " on their disks" if self.level == "fsync" else ""
            return f"{replicas} of {self.replicas} replicas have it{where}"
        return ""


def read_durability(options: MutableMapping[str, Any]) -> Durability:
    """Take `durability` and `replicas` out of a URL's options. Raises `InvalidConfigError`."""
    level, replicas = options.pop("durability", "default"), options.pop("replicas", None)
    check_durability(level)
    if replicas is None:
        return Durability(level, int(level == "replicated"))
    fewest = int(level == "replicated")
    if level == "default" or not (replicas.isascii() and replicas.isdecimal()):
        raise InvalidConfigError("replicas takes a number, and durability=replicated or fsync")
    if not fewest <= int(replicas) <= MOST_REPLICAS:
        raise InvalidConfigError(
            f"replicas takes {fewest} to {MOST_REPLICAS} with durability={level}"
        )
    return Durability(level, int(replicas))


class Unconfirmed(ReplyError):
    """A command was carried out, but replicas or the disk didn't confirm it in time.

    `reply`: what it was answered. `refusal`: of the WAIT itself.
    """

    def __init__(self, missing: str, refusal: ReplyError | None = None) -> None:
        super().__init__(f"it was done, but may be lost in a failover or a crash: {missing}")
        self.missing = missing
        self.refusal = refusal
        self.reply: Any = None

    @property
    @override
    def code(self) -> str:
        return "UNCONFIRMED"


class Confirmation:
    """What is sent after each command, and how its reply is judged.

    `packed` is what is sent: something that is replicated, and the command that waits for it.
    """

    def __init__(
        self, durability: Durability, marker: bytes, timeout: float, standstill: Standstill
    ) -> None:
        self._durability = durability
        self._standstill = standstill
        self.seconds = min(CONFIRM_WITHIN, SHARE_OF_TIMEOUT * timeout)
        self._wait = durability.wait(max(1, round(self.seconds * 1000)))
        self.packed = marker + self._wait

    def fault(self, reply: Any) -> Unconfirmed | None:
        """Why a reply confirms nothing; None: it does."""
        if isinstance(reply, ReplyError):
            fault = Unconfirmed(f"{self._durability.command} was refused ({reply})", reply)
        elif missing := self._durability.missing(reply):
            fault = Unconfirmed(f"after {self.seconds:g} s, {missing}")
        else:
            if self._standstill.since is not None:
                self._standstill.end()
            return None
        if not is_redirect(reply):  # else the next call goes elsewhere
            self._standstill.goes_on(fault.missing)
        return fault

    async def close(self) -> None:
        """Look for no successor any more."""
        await self._standstill.close()


class ConfirmingWire(Wire):
    """A wire whose replies are passed on once they are confirmed. An error is passed on at once."""

    def __init__(self, wire: Wire, confirmation: Confirmation) -> None:
        self._wire = wire
        self._confirmation = confirmation

    @property
    @override
    def is_ended(self) -> bool:
        return self._wire.is_ended

    @override
    def ask(self, request: bytes, give_up_at: float, on_reply: OnReply) -> None:
        held = _Held(on_reply, self._confirmation)
        self._wire.ask(request + self._confirmation.packed, give_up_at, held.replied)
        # These two were sent along.
        self._wire.ask(b"", give_up_at, held.marked)
        self._wire.ask(b"", give_up_at, held.confirmed)

    @override
    def drop(self) -> None:
        self._wire.drop()

    @property
    @override
    def oldest_ends_at(self) -> float:
        return self._wire.oldest_ends_at

    @override
    def hang_up(self) -> None:
        self._wire.hang_up()


class _Held:
    """A reply until it is confirmed."""

    __slots__ = ("_confirmation", "_is_over", "_on_reply", "_reply")

    def __init__(self, on_reply: OnReply, confirmation: Confirmation) -> None:
        self._on_reply = on_reply
        self._confirmation = confirmation
        self._reply: Any = None
        self._is_over = False

    def replied(self, reply: Any) -> None:
        self._reply = reply
        if isinstance(reply, Exception):
            self._pass_on(reply)

    def marked(self, reply: Any) -> None:
        """Without the message, WAIT might not wait for what a repeat repeats."""
        if isinstance(reply, Exception) and not self._is_over:
            self._pass_on(self._fault(reply) if isinstance(reply, ReplyError) else reply)

    def confirmed(self, reply: Any) -> None:
        if self._is_over:
            return
        is_lost = isinstance(reply, Exception) and not isinstance(reply, ReplyError)
        self._pass_on(reply if is_lost else self._fault(reply) or self._reply)

    def _fault(self, reply: Any) -> Unconfirmed | None:
        fault = self._confirmation.fault(reply)
        if fault is not None:
            fault.reply = self._reply
        return fault

    def _pass_on(self, reply: Any) -> None:
        if not self._is_over:
            self._is_over = True
            self._on_reply(reply)
