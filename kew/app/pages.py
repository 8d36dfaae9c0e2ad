"""How long a page of a list is."""

from __future__ import annotations

from typing import Final

from kew.domain.errors import InvalidConfigError, shown

MOST_IN_A_PAGE: Final = 1000


def page_size(limit: object) -> int:
    """How many entries a page has at most. Raises `InvalidConfigError`."""
    if type(limit) is int and 1 <= limit <= MOST_IN_A_PAGE:
        return limit
    raise InvalidConfigError(
        f"limit must be from 1 to {MOST_IN_A_PAGE} for one page, not {shown(limit)}"
    )
