"""Lanes: the serial channels on which a worker claims, so that a claim can be repeated without being granted twice."""

from __future__ import annotations

from collections.abc import Iterator

from kew.domain.requests import ClaimRequest, make_claim_request

LANES = 4


class Lane:
    """One channel: its sequence grows by one with each claim, and the next is sent only after the last was answered."""

    __slots__ = ("number", "sequence")

    def __init__(self, number: int) -> None:
        self.number = number
        self.sequence = 0


class Claim:
    """A claim on its way: the request, the lane it holds, the slots reserved for it, and when it was first sent.

    `sent_at` is the event loop's time, `uptime` the instant by which its leases are judged.
    """

    __slots__ = ("lane", "request", "sent_at", "slots", "uptime")

    def __init__(
        self, request: ClaimRequest, lane: Lane, *, slots: int, sent_at: float, uptime: float
    ) -> None:
        self.request = request
        self.lane = lane
        self.slots = slots
        self.sent_at = sent_at
        self.uptime = uptime


class Lanes:
    """The lanes of one worker.

    `numbers` are the process's: no two lanes of its queues have the same, or two leases would.
    """

    def __init__(self, incarnation: str, numbers: Iterator[int]) -> None:
        self.incarnation = incarnation
        self._numbers = numbers
        self._asked_at: dict[int, float] = {}  # of claims on their way, by their lane's number
        self._free = [Lane(next(self._numbers)) for _ in range(LANES)]

    @property
    def are_all_free(self) -> bool:
        """No claim is on its way."""
        return len(self._free) == LANES

    @property
    def unanswered_since(self) -> float | None:
        """When the oldest claim on its way was first sent, in the event loop's time; None: there is none."""
        return min(self._asked_at.values(), default=None)

    def claim(
        self,
        *,
        want: int,
        slots: int,
        lease_ms: int,
        has_room: bool,
        holds: int,
        now: float,
        uptime: float,
    ) -> Claim | None:
        """The next claim of a free lane; None: all are waiting for answers."""
        if not self._free:
            return None
        lane = self._free.pop()
        lane.sequence += 1
        self._asked_at[lane.number] = now
        request = make_claim_request(
            self.incarnation, lane.number, lane.sequence, want, lease_ms, has_room, holds
        )
        return Claim(request, lane, slots=slots, sent_at=now, uptime=uptime)

    def answered(self, claim: Claim) -> None:
        """The claim's lane may be used again."""
        self._asked_at.pop(claim.lane.number, None)
        self._free.append(claim.lane)

    def unknown(self, claim: Claim) -> None:
        """The store doesn't know the lane (it forgot, or it is another store): a new one takes its place."""
        self._asked_at.pop(claim.lane.number, None)
        self._free.append(Lane(next(self._numbers)))
