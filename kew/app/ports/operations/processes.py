"""What the processes that work on a queue do: announce themselves, look for work, clear up."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from kew.app.declaring import Announced
from kew.app.ports.answers import PresentProcess, Swept
from kew.app.ports.operation import Operation
from kew.domain.explaining import SlotLimit
from kew.domain.requests import Peeked


@attrs.frozen
class Announce(Operation[Announced]):
    """This process serves the queue for `ttl_ms` from now, and can run these functions too.

    Functions add up over calls; the answer counts them, so a process notices when the store has lost some. Closures
    are not announced: their names say whose they are. `slots` are for people who ask why a task doesn't run; a mere
    renewal doesn't change them. `report` is what the process says of itself, for people; with "" the last one stays.
    """

    name = "announce"

    queue: str
    incarnation: str
    functions: Sequence[str]
    ttl_ms: int
    slots: SlotLimit | None = None
    report: str = ""


@attrs.frozen
class Depart(Operation[None]):
    """End the presence of a process that stops; its lanes and functions are forgotten by maintenance."""

    name = "depart"

    queue: str
    incarnation: str


@attrs.frozen
class Peek(Operation[Peeked]):
    """When the queue may need a worker, and whether tasks wait in it: a hint that costs one plain command."""

    name = "peek"
    changes = False

    queue: str


@attrs.frozen
class Processes(Operation[Sequence[PresentProcess]]):
    """The processes that work on queues of the namespace and whose presence lasts, by their incarnations."""

    name = "processes"
    changes = False
    is_awaited = True


@attrs.frozen
class Sweep(Operation[Swept]):
    """Bounded maintenance: recover, remove expired records, forget dead workers, fail their closures.

    Leases and presences that a step back of the clock made too long are shortened; `presence_ms` is how long a
    presence lasts. Workers are dead if their presence had ended by `gone_by`, an instant by the store's
    clock (None, or one that lies ahead since the clock stepped back: none is judged dead).
    """

    name = "sweep"

    queue: str
    limit: int
    presence_ms: int
    gone_by: int | None
