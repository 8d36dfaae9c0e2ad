"""What is done to a queue as a whole, and asked about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from kew.app.declaring import Declared, InForce
from kew.app.ports.answers import Command, Examined, QueueStatus, SomeKeyLimits
from kew.app.ports.operation import Operation
from kew.domain.config import Settings, SettingValue
from kew.domain.emptying import Emptied
from kew.domain.history import Past
from kew.domain.key_limits import OwnLimits
from kew.domain.requests import Word


@attrs.frozen
class Declare(Operation[Declared]):
    """Create the queue or make these its settings: the latest declaration wins. With `replaces` False, only create
    it: the settings of an existing queue stay.

    `edition` is unique to this declaration. It identifies the settings if the declaration changes anything.
    """

    name = "declare"

    queue: str
    settings: Settings
    edition: str
    replaces: bool = True


@attrs.frozen
class ReadSettings(Operation[InForce | None]):
    """The settings in force; None: the queue is not declared."""

    name = "settings"
    changes = False

    queue: str


@attrs.frozen
class Queues(Operation[Sequence[str]]):
    """The names of the declared queues, sorted."""

    name = "queues"
    changes = False
    is_awaited = True


@attrs.frozen
class Status(Operation[QueueStatus | None]):
    """The queue at this moment; None if there is none."""

    name = "status"
    changes = False
    is_awaited = True

    queue: str


@attrs.frozen
class History(Operation[Past | None]):
    """What happened in the last `steps` steps of `step_ms`, a minute or an hour; None: there is no such queue."""

    name = "history"
    changes = False
    is_awaited = True

    queue: str
    step_ms: int
    steps: int


@attrs.frozen
class Pasts(Operation[Sequence[Past | None]]):
    """What `History` answers for each of these queues; None in place of one that there is not."""

    name = "pasts"
    changes = False
    is_awaited = True

    queues: tuple[str, ...]
    step_ms: int
    steps: int


@attrs.frozen
class Statuses(Operation[Sequence[QueueStatus | None]]):
    """These queues, each at one moment; None in place of one that there is not."""

    name = "statuses"
    changes = False
    is_awaited = True

    queues: tuple[str, ...]


@attrs.frozen
class Examine(Operation[Examined | None]):
    """Compare a piece of an index with the records, from entry `first` on, `limit` at most; None: there is no queue.

    `part`: one of `EXAMINED_PARTS`, or of those that an answer names as `longer`.
    """

    name = "examine"
    changes = False
    is_awaited = True

    queue: str
    part: str
    first: int
    limit: int


@attrs.frozen
class Control(Operation[Word]):
    """Carry a command out once per (incarnation, increasing sequence): DONE, SAME or NO_QUEUE.

    `note`: why a person pauses or drains the queue, or who opens or closes its breaker.
    """

    name = "control"
    is_awaited = True

    queue: str
    command: Command
    incarnation: str
    sequence: int
    note: str = ""


@attrs.frozen
class SetOverrides(Operation[Word]):
    """Put these settings in force in place of what the code declares, until they are `removed`: DONE, SAME or NO_QUEUE.

    The processes that serve the queue are notified. `edition` is unique to this request, as that of a declaration.
    `by`: who sets them.
    """

    name = "override"
    is_awaited = True

    queue: str
    values: Mapping[str, SettingValue]
    removed: tuple[str, ...]
    edition: str
    by: str = ""


@attrs.frozen
class LimitKey(Operation[Word]):
    """Give a key limits of its own, in place of those that it had; None: none any more. DONE, SAME or NO_QUEUE.

    They last for `lasts_ms`; 0: until they are removed.
    """

    name = "limit_key"
    is_awaited = True

    queue: str
    key: str
    own: OwnLimits | None
    lasts_ms: int = 0


@attrs.frozen
class ListKeyLimits(Operation[SomeKeyLimits | None]):
    """Some limits that keys have of their own, about `limit`; None: there is no such queue.

    `scan`: where the page before ended, at first 0. Limits that are there all the time are on a page, perhaps on two.
    `key`: those of this key alone, if it isn't "".
    """

    name = "key_limits"
    changes = False

    queue: str
    key: str = ""
    scan: int = 0
    limit: int = 1_000


@attrs.frozen
class Empty(Operation[Emptied | None]):
    """Cancel the waiting tasks with tickets up to `upto`, of at most `limit`; None: there is no such queue.

    `skip` and `scan`: where the last step ended, as its answer says; without them it begins at the first.
    """

    name = "empty"
    is_awaited = True

    queue: str
    upto: int
    skip: int
    limit: int
    scan: int = -1


@attrs.frozen
class Purge(Operation[bool]):
    """Remove a queue with all its tasks, settings and workers, and nothing else; False: it has another edition.

    So a late purge spares what was declared since. An empty edition removes only what an interrupted purge left.
    """

    name = "purge"
    is_awaited = True

    queue: str
    edition: str
