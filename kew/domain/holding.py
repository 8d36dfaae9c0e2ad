"""Why and since when a queue is paused (it starts nothing) or draining (it accepts nothing)."""

from __future__ import annotations

from typing import Final

import attrs

from kew.domain.errors import InvalidConfigError, shown

PAUSED: Final = "paused"
DRAINING: Final = "draining"
LONGEST_NOTE: Final = 500


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
