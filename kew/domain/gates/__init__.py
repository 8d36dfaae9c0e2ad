"""Gates: every rule that can hold a task back, a file for each. A new control is a new file and one entry here."""

from __future__ import annotations

from typing import Final

from kew.domain.gates.breaker import CircuitBreaker
from kew.domain.gates.functions import Functions
from kew.domain.gates.gate import Gate
from kew.domain.gates.key_rate import KeyRate
from kew.domain.gates.keys import Keys
from kew.domain.gates.limit import Limit
from kew.domain.gates.paused import Paused
from kew.domain.gates.rate import RateGate
from kew.domain.gates.sharing import Sharing
from kew.domain.gates.snoozed import SnoozedQueue

GATES: Final[tuple[Gate, ...]] = (
    Paused(),
    SnoozedQueue(),
    Limit(),
    CircuitBreaker(),
    RateGate(),
    Sharing(),
    Keys(),
    KeyRate(),
    Functions(),
)
"""In this order: sharing divides what those before it leave."""
