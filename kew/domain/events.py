"""What can happen to a task: the only arguments of `lifecycle.step`."""

from __future__ import annotations

import attrs


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
    """The run failed. The worker decided: again after `retry_after_ms`, or for good where that is None."""

    error: str
    retry_after_ms: int | None


@attrs.frozen
class Lost:
    """The lease ended without a word from its worker."""


@attrs.frozen
class Released:
    """The worker hands the task back without an outcome; `started` tells whether its code began to run."""

    started: bool


@attrs.frozen
class CancelRequested:
    """Somebody wants the task not to run, or to stop."""


@attrs.frozen
class Orphaned:
    """The only process that could have run it (a closure, a lambda) has gone."""


@attrs.frozen
class Replayed:
    """A person puts an ended task back."""


SettleEvent = Succeeded | Failed | Released
Event = Claimed | Succeeded | Failed | Lost | Released | CancelRequested | Orphaned | Replayed
