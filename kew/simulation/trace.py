"""What happened in a run: a hash to compare two runs by, and lines for a person to read.

The hash covers every step in order, every movement of time, every task's name and every note.
Nothing that differs between two processes with one seed may enter it: no address, no `hash()` of
text, no real time.
"""

from __future__ import annotations

import hashlib
from array import array
from typing import Final

# What the numbers of a trace mean: a positive integer is a step of the task with this ordinal, a
# negative number is time moving to its absolute value, and these two are a plain callback and a
# name or note, whose text is hashed beside.
CALLBACK: Final = 0.0
TEXT: Final = 0.5

_FLUSH_AT: Final = 4096


class Trace:
    """Everything that a run did, in order.

    `steps` is public for speed alone: the loop appends a number to it at each step. `lines` stays
    empty unless `keep_lines`. After `seal()` nothing is noted any more.
    """

    def __init__(self, *, keep_lines: bool) -> None:
        self.steps = array("d")
        self.lines: list[str] = []
        self._keep_lines = keep_lines
        self._texts: list[str] = []
        self._step_hash = hashlib.blake2b(digest_size=16)
        self._text_hash = hashlib.blake2b(digest_size=16)
        self._is_sealed = False

    def move_to(self, now: float) -> None:
        """Time has moved."""
        self.steps.append(-now)
        self.flush_if_long()

    def name(self, text: str) -> None:
        """A task of this name was made: in the hash, but not in the lines."""
        self.steps.append(TEXT)
        self._texts.append(text)

    def note(self, line: str) -> None:
        """Something worth reading happened."""
        if self._is_sealed:
            return
        self.name(line)
        if self._keep_lines:
            self.lines.append(line)

    def flush_if_long(self) -> None:
        """Bound the memory that waits to be hashed. When it is called makes no difference."""
        if len(self.steps) >= _FLUSH_AT:
            self._flush()

    def seal(self) -> None:
        """The run is over."""
        self._is_sealed = True

    def digest(self) -> str:
        """The hash of all so far, as 32 hexadecimal digits."""
        self._flush()
        return hashlib.blake2b(
            self._step_hash.digest() + self._text_hash.digest(), digest_size=16
        ).hexdigest()

    def _flush(self) -> None:
        self._step_hash.update(self.steps)
        del self.steps[:]
        self._text_hash.update("\0".join([*self._texts, ""]).encode())  # each ends with a zero
        self._texts.clear()
