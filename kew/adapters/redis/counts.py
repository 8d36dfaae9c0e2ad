"""What a queue remembers besides its settings and breaker, as text: `lua/include/state.lua` and its gates write it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import attrs

COUNTS: Final = 12  # numbers in a queue's counts
MEMORY: Final = "gate:"  # a field of a queue's state: what a gate remembers
BESIDE: Final = ("snoozed",)  # gates whose memory follows the counts
KEYED: Final = re.compile(rb" keys=([0-9,]+)")
STEP_BACK_MS: Final = 1_000  # the least step back of the store's clock that operations follow

# --- what gates remember


def read_memories(flat: Sequence[bytes]) -> dict[str, tuple[int, ...]]:
    """What gates remember, from fields and values of a queue's state; other fields are passed over."""
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    beside_counts = fields.get(b"counts", b"").decode().split()[COUNTS:]
    pairs = (pair.partition("=") for pair in beside_counts)
    beside = {name: numbers.replace(",", " ") for name, _, numbers in pairs if name in BESIDE}
    own = {
        field.decode().removeprefix(MEMORY): text.decode()
        for field, text in fields.items()
        if field.startswith(MEMORY.encode())
    }
    return {name: tuple(map(int, text.split())) for name, text in {**own, **beside}.items()}


# --- a queue's counts


@attrs.frozen
class Counts:
    """What a queue's state says in numbers, in the order of its text; `wake_at` None: nothing is waited for."""

    version: int
    edition: str
    paused: bool
    ticket: int
    token: int
    waiting: tuple[int, int, int]
    parked: int
    wake_at: int | None
    line_at: int
    longest_lease_ms: int
    clock: int
    keyed: int = 0

    @property
    def all_waiting(self) -> int:
        """How many tasks wait, those with keys included."""
        return sum(self.waiting) + self.keyed

    def wait_ms(self, now: int) -> int | None:
        """How long until something may need a worker; `now`: what the store's clock probably says."""
        if self.wake_at is None:
            return None
        has_stepped_back = now <= self.clock - STEP_BACK_MS  # what was due may be due again
        return 0 if has_stepped_back else max(0, self.wake_at - now)


def read_counts(text: bytes) -> Counts:
    """The counts; `lua/include/state.lua` writes them."""
    changed, paused, ticket, token, high, medium, low, parked, wake_at, line_at, longest, clock = (
        text.split()[:COUNTS]  # a snooze may follow, and what newer versions add
    )
    version, _, edition = changed.decode().partition(":")
    return Counts(
        int(version),
        edition,
        paused == b"1",
        int(ticket),
        int(token),
        (int(high), int(medium), int(low)),
        int(parked),
        None if wake_at == b"-" else int(wake_at),
        int(line_at),
        int(longest),
        int(clock),
        _keyed_in(text),
    )


def _keyed_in(counts: bytes) -> int:
    """How many tasks wait in lines of keys."""
    found = KEYED.search(counts)
    return sum(map(int, found[1].split(b",")[4:7])) if found else 0
