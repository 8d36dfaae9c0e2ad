"""What can happen to a task: the only arguments of `lifecycle.step`."""

from __future__ import annotations

import attrs

from kew.domain.errors import Scope
from kew.domain.reports import Report


@attrs.frozen(kw_only=True)
class Claimed:
    """A worker took the task under the lease `lease` for `lease_ms`."""

    lease: str
    lease_ms: int
    token: int
    epoch: int


@attrs.frozen
class Succeeded:
    """The run returned; `result` is its encoded value."""

    result: bytes


@attrs.frozen(kw_only=True)
class Failed:
    """The run failed. The worker decided: run again after `retry_after_ms`, or fail for good if that is None.

    `counts`: for the circuit breaker. A failure that doesn't count leaves the breaker as if the run had been released.
    `report`: for people who look for the cause.
    """

    error: str
    retry_after_ms: int | None
    counts: bool = True
    report: Report | None = None


@attrs.frozen(kw_only=True)
class Snoozed:
    """The run asked to come back after `after_ms`, without a failure, for the reason `error`.

    `scope`: what else doesn't start until then: nothing ("task"), the tasks of its key, or those of the queue.
    """

    error: str
    after_ms: int
    scope: Scope = "task"


@attrs.frozen
class Lost:
    """The lease ended without a word from its worker."""


@attrs.frozen
class Released:
    """The worker releases the task without an outcome; `started`: its code began to run."""

    started: bool


@attrs.frozen
class NotStarted:
    """The worker could not start the run, for the reason `error`: released, and counted like a loss."""

    error: str


@attrs.frozen
class CancelRequested:
    """A user cancelled the task: it must not run, or must stop."""


@attrs.frozen
class Orphaned:
    """The only process that could have run it (a closure, a lambda) has gone."""


@attrs.frozen
class Expired:
    """No process has taken the task in the time in which it is worth starting."""


@attrs.frozen
class Replayed:
    """A person makes an ended task wait again, for `after_ms` at least."""

    after_ms: int = 0


SettleEvent = Succeeded | Failed | Snoozed | Released | NotStarted
Event = Claimed | SettleEvent | Lost | CancelRequested | Orphaned | Expired | Replayed
