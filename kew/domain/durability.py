"""What an answer of a store may promise to survive."""

from __future__ import annotations

from typing import Final, Literal, get_args

from kew.domain.errors import InvalidConfigError

Durability = Literal["default", "replicated", "fsync"]
LEVELS: Final[tuple[str, ...]] = get_args(Durability)


def check_durability(level: object) -> None:
    """Raise `InvalidConfigError` unless it is a durability."""
    if level not in LEVELS:
        raise InvalidConfigError(f"durability takes {', '.join(LEVELS[:-1])} or {LEVELS[-1]}")
