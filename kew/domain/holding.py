"""Who did something to a queue, when and why, as when it is paused (starts nothing) or drains (accepts nothing)."""

from __future__ import annotations

from typing import Final

import attrs

from kew.domain.errors import InvalidConfigError, shown

PAUSED: Final = "paused"
DRAINING: Final = "draining"
LONGEST_NOTE: Final = 500
LONGEST_NAME: Final = 500


@attrs.frozen
class Hold:
    """Since when (ms by the store's clock), the note of the person who did it, and the process in which it was done.

    `by` is "" if an earlier version did it.
    """

    since_at: int
    note: str = ""
    by: str = ""


def check_note(note: object) -> str:
    """The note itself if it is a text of at most 500 characters, else `InvalidConfigError`."""
    if isinstance(note, str) and len(note) <= LONGEST_NOTE and note.isprintable():
        return note
    raise InvalidConfigError(
        f"note must be one line of at most {LONGEST_NOTE} characters (who pauses the queue, and why), not {shown(note)}"
    )


@attrs.frozen
class Signature:
    """When something was done (ms by the store's clock), and by whom; "" if that isn't known."""

    at: int
    by: str = ""


def check_by(by: object) -> str:
    """The name itself if it is a text of at most 500 printable characters, else `InvalidConfigError`."""
    if isinstance(by, str) and len(by) <= LONGEST_NAME and by.isprintable():
        return by
    raise InvalidConfigError(
        f"by must be one line of at most {LONGEST_NAME} characters (who does it), not {shown(by)}"
    )
