"""What people do to a queue as a whole: each a function from a view of the queue to the change wanted."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from kew.domain import breaker as breakers
from kew.domain import breaker_history, draining, overrides
from kew.domain.breaker import Cause
from kew.domain.config import Settings, SettingValue
from kew.domain.gates import fold as gates
from kew.domain.holding import Hold, Signature
from kew.domain.key_limits import OwnLimits
from kew.domain.lifecycle import Effect
from kew.domain.queue import NOTHING, Change, counted_by
from kew.domain.view import View


def pause(view: View, hold: Hold) -> Change:
    """Grant no more leases; running tasks go on."""
    return Change((), draining.paused(view.state, hold))


def drain(view: View, hold: Hold, edition: str) -> Change:
    """Accept no more tasks; those that wait and run go on."""
    return Change((), draining.drained(view.state, hold, edition))


def resume(view: View, edition: str) -> Change:
    """Accept tasks and grant leases again, which also ends a snooze."""
    return Change((), draining.resumed(gates.resumed(view.state), edition))


def configure(view: View, settings: Settings, edition: str) -> Change:
    """The latest declaration wins; an equal one changes nothing, not even the version. Overrides stay in force."""
    state = overrides.redeclared(view.state, settings, edition)
    return NOTHING if state is view.state else Change((), state)


def override(
    view: View,
    values: Mapping[str, SettingValue],
    without: Collection[str],
    edition: str,
    signature: Signature | None = None,
) -> Change:
    """Put these settings in force in place of what the code declares, and no longer those `without`.

    A draining queue has no `max_size` that could be changed.
    """
    if draining.is_draining(view.state.settings):
        values = {name: value for name, value in values.items() if name != "max_size"}
        without = set(without) - {"max_size"}
    state = overrides.with_overrides(
        view.state, values, without=without, edition=edition, signature=signature
    )
    return NOTHING if state is view.state else Change((), state)


def record_failure(view: View, now: int) -> Change:
    """Count a failure that a person observed."""
    judged = breaker_history.judged(view.state, now)
    epoch = judged.breaker.epoch
    counted = counted_by(view.state, Effect.COUNT_FAILURE, epoch, now)
    return Change((), breaker_history.failed(judged, now, epoch=epoch), counted=counted)


def open_breaker(view: View, now: int, by: str = "") -> Change:
    """Open the breaker, as its failures would."""
    after = breakers.opened(view.state.breaker, view.state.settings, now)
    return Change((), breaker_history.moved(view.state, after, now, Cause.OPERATOR, by))


def reset_breaker(view: View, now: int, by: str = "") -> Change:
    """Close the breaker."""
    after = breakers.reset(view.state.breaker)
    return Change((), breaker_history.moved(view.state, after, now, Cause.OPERATOR, by))


def limit_key(view: View, key: str, own: OwnLimits | None) -> Change:
    """Give a key limits of its own, in place of those that it had; None: none any more."""
    if own is None and key not in view.key_limits:
        return NOTHING
    return Change(key_limits=[(key, own)])
