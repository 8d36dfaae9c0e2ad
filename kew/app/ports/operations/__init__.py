"""Everything that can be asked of a store, as values.

The list at the end is the only one. The port's stand-ins, the simulator's faults, the witness, the differential test
and the observer read it, and what they need to know of an operation stands on its class.

Each operation is atomic, is judged by the store's own clock, and may be repeated with the same arguments: its identity
makes that safe. One that doesn't answer raises `Refused` (surely not done) or `Ambiguous` (perhaps done).
"""

from __future__ import annotations

from typing import Any, Final

from kew.app.ports.operation import Operation
from kew.app.ports.operations.processes import Announce, Depart, Peek, Processes, Sweep
from kew.app.ports.operations.queues import (
    Control,
    Declare,
    Empty,
    Examine,
    History,
    LimitKey,
    ListKeyLimits,
    Pasts,
    Purge,
    Queues,
    ReadSettings,
    SetOverrides,
    Status,
    Statuses,
)
from kew.app.ports.operations.runs import Claim, Extend, SaveCheckpoint, Settle, Submit
from kew.app.ports.operations.schedules import (
    ListSchedules,
    PutSchedule,
    SteerSchedule,
    Tick,
)
from kew.app.ports.operations.tasks import (
    Cancel,
    CancelAll,
    Discard,
    Explain,
    Find,
    Forget,
    Hasten,
    ListFailed,
    ListGroups,
    ListUnreadable,
    ListWaiting,
    ReadAttempts,
    ReadPayload,
    Replay,
    ReplayAll,
    Running,
    Watch,
)

__all__ = [
    "OPERATIONS",
    "Announce",
    "Cancel",
    "CancelAll",
    "Claim",
    "Control",
    "Declare",
    "Depart",
    "Discard",
    "Empty",
    "Examine",
    "Explain",
    "Extend",
    "Find",
    "Forget",
    "Hasten",
    "History",
    "LimitKey",
    "ListFailed",
    "ListGroups",
    "ListKeyLimits",
    "ListSchedules",
    "ListUnreadable",
    "ListWaiting",
    "Pasts",
    "Peek",
    "Processes",
    "Purge",
    "PutSchedule",
    "Queues",
    "ReadAttempts",
    "ReadPayload",
    "ReadSettings",
    "Replay",
    "ReplayAll",
    "Running",
    "SaveCheckpoint",
    "SetOverrides",
    "Settle",
    "Status",
    "Statuses",
    "SteerSchedule",
    "Submit",
    "Sweep",
    "Tick",
    "Watch",
]

OPERATIONS: Final[tuple[type[Operation[Any]], ...]] = (
    *(
        Declare,
        ReadSettings,
        Queues,
        Status,
        Statuses,
        History,
        Pasts,
        Examine,
        Control,
        SetOverrides,
        LimitKey,
        ListKeyLimits,
    ),
    *(Empty, Purge),
    *(Announce, Depart, Peek, Processes, Sweep),
    *(Submit, Claim, Settle, Extend, SaveCheckpoint),
    *(PutSchedule, SteerSchedule, ListSchedules, Tick),
    *(Find, ReadPayload, Watch, Cancel, CancelAll, Hasten, Replay, Discard),
    *(Explain, Running, ListWaiting, ListUnreadable),
    *(ListFailed, ListGroups, ReadAttempts, ReplayAll, Forget),
)
"""Every operation of a store."""
