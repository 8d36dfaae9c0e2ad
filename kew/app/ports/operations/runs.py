"""What every task goes through: it is submitted, claimed and settled, and its lease is extended.

The port has methods for the first three, which save the value.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import attrs

from kew.app.ports.answers import Settled, Submitted
from kew.app.ports.operation import Operation
from kew.domain.progress import ProgressReport
from kew.domain.requests import ALONE, Along, ClaimRequest, Grant, Group, LeaseRef, Settlement, Word


@attrs.frozen
class Submit(Operation[Submitted]):
    """Apply settlements; store groups in order, each whole or not at all, later ones seeing earlier ones; then claim.

    `along` has the settlements, each under its lease's identity, and the ordinary claim. A group whose `after` isn't in
    is refused as EARLY.
    """

    name = "submit"
    is_awaited = True
    is_shared = True

    queue: str
    groups: Collection[Group]
    along: Along = ALONE

    @property
    def settlements(self) -> Sequence[Settlement]:
        """The outcomes that it reports."""
        return self.along.settlements


@attrs.frozen
class Claim(Operation[Grant]):
    """Recover a bounded number of ended leases, then grant.

    An answer may be cut if tasks are large: fewer than there are, and `wait_ms` 0.
    """

    name = "claim"

    queue: str
    request: ClaimRequest


@attrs.frozen
class Settle(Operation[Settled]):
    """Apply outcomes in order, each under its lease's identity; then the ordinary claim."""

    name = "settle"

    queue: str
    settlements: Sequence[Settlement]
    claim: ClaimRequest | None = None


@attrs.frozen
class Extend(Operation[Sequence[Word]]):
    """Prolong live leases to `lease_ms` from now: DONE, CANCEL (live, and it is to stop) or STALE, in order.

    `reports`: what these runs have to report, one for each of `refs`, or none at all. A stale one is discarded.
    """

    name = "extend"

    queue: str
    refs: Sequence[LeaseRef]
    lease_ms: int
    reports: Sequence[ProgressReport | None] = ()


@attrs.frozen
class SaveCheckpoint(Operation[Word]):
    """Keep what a run saved, in place of what its task saved before: DONE, CANCEL (kept, and it is to stop) or STALE.

    `number` grows within an attempt. SAME: this or a later one is there.
    """

    name = "checkpoint"
    is_awaited = True

    queue: str
    ref: LeaseRef
    number: int
    data: bytes
