"""Who did something to a queue, and when."""

from __future__ import annotations

from typing import Final

import attrs

from kew.domain.errors import InvalidConfigError, shown

LONGEST_NAME: Final = 500


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
