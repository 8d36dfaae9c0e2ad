"""What a store answers to a process that declares a queue, asks for its settings, or announces itself."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from kew.domain.config import Settings, SettingValue, with_values
from kew.domain.requests import Word


@attrs.frozen
class Declared:
    """The edition of the settings now in force, and the declared ones that this replaced (None: same or first).

    `in_force`: the settings in force, which may be overridden; None: as declared.
    """

    edition: str
    replaced: Settings | None
    in_force: Settings | None = None


@attrs.frozen
class InForce:
    """A queue's settings, how often they were changed, and their edition, which identifies them.

    `declared`: what the code declares in place of each setting that is overridden.
    """

    settings: Settings
    version: int
    edition: str
    declared: Mapping[str, SettingValue] = attrs.field(factory=dict)
    ticket: int = attrs.field(default=0, eq=False)  # of the last task that was stored
    waiting: int = attrs.field(default=0, eq=False)  # tasks

    @property
    def by_code(self) -> Settings:
        """The settings as the code declares them."""
        return with_values(self.settings, self.declared)


@attrs.frozen
class Announced:
    """DONE or NO_QUEUE, how many functions of the process the store knows now, and the store's instant.

    `functions` None: the announcement only renewed a presence that lasts, so the store did not count them.
    """

    word: Word
    functions: int | None
    now_ms: int
