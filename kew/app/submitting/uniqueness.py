"""How often a function may be on its way: `Unique`, `Debounce`, `Throttle`, `Latest`, and the unique keys of calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, Literal, cast

import attrs

from kew.app.submitting.keying import KeyOf, KeyOption, key_finder, key_text
from kew.domain.backoff import LONGEST_DELAY, is_within
from kew.domain.errors import InvalidConfigError, InvalidTaskError, shown
from kew.domain.keys import latest_key
from kew.domain.task import PINNED
from kew.domain.unique import FINISHED, LATEST, STARTED, Conflict, UniqueKey, unique_key

UNTIL: Final = {"started": STARTED, "finished": FINISHED}
CONFLICTS: Final = {"join": Conflict.JOIN, "raise": Conflict.RAISE, "replace": Conflict.REPLACE}
ONE_OF_THEM: Final = "give one of unique, debounce, throttle and latest"
ONE_KEY: Final = "the tasks of a Latest have a key of their own: give no key"
PICKLED_NAME: Final = "pickled:"


def _ms(name: str, value: object) -> int:
    seconds: Any = value.total_seconds() if isinstance(value, timedelta) else value
    if not is_within(seconds, 0.001, LONGEST_DELAY):
        raise InvalidConfigError(
            f"{name} takes seconds or a timedelta, more than 0, not {shown(value)}"
        )
    return round(float(seconds) * 1000)


@attrs.frozen
class Unique:
    """One task of a key at a time. Raises `InvalidConfigError` for an impossible value.

    `by`: the name of an argument, a tuple of names, or a function of the arguments; None: all calls of the function are
    alike. `until`: a task holds its key until it has "started" or "finished", or so many seconds (or a timedelta) from
    its submit. `conflict`: a submit that meets the holder returns it ("join"), raises `UniqueTaskError` ("raise"), or
    gives the waiting holder its own arguments ("replace"; `UniqueTaskError` if the holder doesn't wait).
    """

    by: KeyOption | None = None
    until: Literal["started", "finished"] | float | timedelta = "finished"
    conflict: Literal["join", "raise", "replace"] = "join"

    def __attrs_post_init__(self) -> None:
        """Check the values."""
        if self.conflict not in CONFLICTS:
            names = ", ".join(map(repr, CONFLICTS))
            raise InvalidConfigError(f"conflict is one of {names}, not {shown(self.conflict)}")
        if isinstance(self.until, str) and self.until not in UNTIL:
            raise InvalidConfigError(
                f"until is 'started', 'finished', seconds or a timedelta, not {shown(self.until)}"
            )
        self.key("key")

    def key(self, text: str) -> UniqueKey:
        """As a task has it."""
        until = UNTIL[self.until] if isinstance(self.until, str) else str(_ms("until", self.until))
        return UniqueKey(text, until, CONFLICTS[self.conflict])

    @property
    def delay_ms(self) -> int | None:
        """How long after its submit a call is due; None: as the submit says."""
        return None


@attrs.frozen
class Debounce:
    """Run once when it has been quiet: a submit gives the waiting task its arguments, and postpones it.

    `by`: as for `Unique`. `quiet`: how long after the last submit the task is due, and `at_most`: how long after the
    first one at the latest (seconds or timedeltas). Raises `InvalidConfigError` for an impossible value.
    """

    by: KeyOption | None = None
    quiet: float | timedelta = attrs.field(kw_only=True)
    at_most: float | timedelta = attrs.field(kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Check the values."""
        if _ms("at_most", self.at_most) < _ms("quiet", self.quiet):
            raise InvalidConfigError("at_most of Debounce can't be less than quiet")

    def key(self, text: str) -> UniqueKey:
        """As a task has it."""
        return UniqueKey(text, STARTED, Conflict.REPLACE, _ms("at_most", self.at_most))

    @property
    def delay_ms(self) -> int | None:
        """How long after its submit a call is due."""
        return _ms("quiet", self.quiet)


@attrs.frozen
class Throttle:
    """Run at most once in a time: the first submit stores a task, and the others join it until the time has passed.

    `by`: as for `Unique`. `every`: seconds or a timedelta, from the submit of the first. Raises `InvalidConfigError`
    for an impossible value.
    """

    by: KeyOption | None = None
    every: float | timedelta = attrs.field(kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Check the value."""
        _ms("every", self.every)

    def key(self, text: str) -> UniqueKey:
        """As a task has it."""
        return UniqueKey(text, str(_ms("every", self.every)), Conflict.JOIN)

    @property
    def delay_ms(self) -> int | None:
        """How long after its submit a call is due; None: as the submit says."""
        return None


@attrs.frozen
class Latest:
    """One runs and at most one waits, with the newest arguments: a submit gives the waiting task its own.

    `by`: as for `Unique`. A run that would have to wait again, for a retry, say, is cancelled if a later call waits.
    Its tasks have a `key` of their own, so they take no other.
    """

    by: KeyOption | None = None

    def key(self, text: str) -> UniqueKey:
        """As a task has it."""
        return UniqueKey(text, LATEST, Conflict.REPLACE)

    @property
    def delay_ms(self) -> int | None:
        """How long after its submit a call is due; None: as the submit says."""
        return None


KINDS: Final = {"unique": Unique, "debounce": Debounce, "throttle": Throttle, "latest": Latest}
Uniqueness = Unique | Debounce | Throttle | Latest


def chosen(options: object) -> Uniqueness | None:
    """The one of `KINDS` that the options have. Raises `InvalidConfigError`."""
    found = [(name, value) for name in KINDS if (value := getattr(options, name)) is not None]
    if not found:
        return None
    if len(found) > 1:
        raise InvalidConfigError(ONE_OF_THEM)
    [(name, value)] = found
    kind = KINDS[name]
    if not isinstance(value, kind):
        raise InvalidConfigError(f"{name} takes {kind.__name__}(...), not {shown(value)}")
    return cast("Uniqueness", value)


class Turn(str):
    """The key of a call whose uniqueness asks for one, as a task has it."""

    __slots__ = ()


@attrs.frozen
class UniqueOf:
    """Finds the unique key of each call of one function."""

    how: Uniqueness
    key_of: KeyOf | None

    def text_of(
        self, task_id: str, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> str:
        """The unique key of a call of the function of this name; "": it has none. Raises `InvalidTaskError`."""
        value: object = ()
        if self.key_of is not None:
            try:
                value = self.key_of.of(args, kwargs)
            except Exception as error:
                reason = f"its unique key can't be found: {type(error).__name__}: {error}"
                raise InvalidTaskError(task_id, reason) from error
            if value is None:
                return ""
        if name.startswith((PINNED, PICKLED_NAME)):
            raise InvalidTaskError(
                task_id,
                "a closure, lambda or bound method can't be unique: submit a module-level function",
            )
        own = f"/{key_text(task_id, value)}" if self.key_of is not None else ""
        return str(self.how.key(f"{name}{own}"))

    def turn_of(self, text: str) -> Turn | None:
        """The key of the turns of a call that has this unique key; None: as if it had none."""
        return (
            Turn(latest_key(unique_key(text).key))
            if text and isinstance(self.how, Latest)
            else None
        )


def unique_finder(how: Uniqueness | None, function: Any, key: object) -> UniqueOf | None:
    """Finds the unique keys of the calls of a function that has this option `key`. Raises `InvalidConfigError`."""
    if how is None:
        return None
    if key is not None and isinstance(how, Latest):
        raise InvalidConfigError(ONE_KEY)
    return UniqueOf(how, None if how.by is None else key_finder(how.by, function, "by"))


@lru_cache(maxsize=1024)
def finder_of_submit(how: Uniqueness, function: Any) -> UniqueOf:
    """The same for what one submit asks for."""
    return UniqueOf(how, None if how.by is None else key_finder(how.by, function, "by"))
