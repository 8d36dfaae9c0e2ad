"""What Redis was told of the functions that processes run: each is told once, and in calls that have an end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from kew.adapters.redis import records

AT_ONCE: Final = 1_000  # names, in a call


class Announced:
    """The names that were told, by queue and process."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], set[str]] = defaultdict(set)

    def news(self, queue: str, process: str, functions: Sequence[str]) -> list[str]:
        """Those that it was not told of."""
        said = self._said[queue, process]
        return [name for name in functions if name not in said]

    def everything(self, queue: str, process: str, functions: Sequence[str]) -> list[str]:
        """These, and what was told before."""
        return sorted(self._said[queue, process].union(functions))

    def note(self, queue: str, process: str, functions: Sequence[str]) -> None:
        """It was told of these."""
        self._said[queue, process].update(functions)

    def drop(self, queue: str, process: str, functions: Sequence[str]) -> None:
        """It is not told of these again."""
        self._said[queue, process].difference_update(functions)

    def forget(self, queue: str, process: str | None = None) -> None:
        """Of this process, or of all, everything has to be told anew."""
        for key in [key for key in self._said if key[0] == queue and process in (None, key[1])]:
            del self._said[key]


def pieces(functions: Sequence[str], gone: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """One call after another, at least one: how many of its names, which come first, are to be removed; its names."""
    added, removed = ([records.to_field(name) for name in names] for names in (functions, gone))
    while True:
        old, new = removed[:AT_ONCE], added[:AT_ONCE]
        yield len(old), [*old, *new]
        removed, added = removed[AT_ONCE:], added[AT_ONCE:]
        if not removed and not added:
            return
