"""In which order tests run: the slow ones first, so that none begins when the other processes have nothing left.

pytest-xdist gives each process a share of the list, in its order, and an idle one takes half of what another still has,
from the end. So each share begins with some of the slow tests, the slowest before all others.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TypeVar

import pytest

T = TypeVar("T")
SLOW_S = 5.0  # what `pytest.mark.slow` says without a number


def seconds_of(item: pytest.Item) -> float:
    """About how long a test takes, by its marker; 0 for a quick one."""
    marker = item.get_closest_marker("slow")
    if marker is None:
        return 0.0
    return float(marker.args[0]) if marker.args else SLOW_S


def slow_first(items: Iterable[T], seconds: Callable[[T], float], *, shares: int) -> Sequence[T]:
    """The same items, dealt to shares of equal length, each in descending order of seconds."""
    ordered = sorted(items, key=seconds, reverse=True)
    slow = sum(seconds(item) > 0 for item in ordered)
    quick = iter(ordered[slow:])
    dealt: list[T] = []
    for share in range(shares):
        first = ordered[:slow][share::shares]
        length = (len(ordered) - len(dealt)) // (shares - share)
        dealt += [*first, *islice(quick, max(0, length - len(first)))]
    return [*dealt, *quick]
