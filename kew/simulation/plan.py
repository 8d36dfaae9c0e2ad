"""What one seed decides before anything runs: the faults, how many processes, how long, which traffic."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

import attrs

from kew.simulation.faults import APART, LOSSY, USUAL, Fault
from kew.simulation.policies import PolicyName

CALM: Final = 0.1  # of all seeds: no fault at all, and stricter oracles
STORES: Final = ("memory", "lua", "partitions")
ODDS_APART: Final = 0.25  # of all seeds, the calm ones too: each of these faults has these odds
EVERYTHING: Final = 0.5  # up to here: every fault; the rest has each fault with even odds


@attrs.frozen(kw_only=True)
class Plan:
    """One run. Equal plans run equally; times are simulated seconds.

    `rate` multiplies how often faults happen. `processes` are those that work, of which the first
    runs every function; `submitters` more only submit. `errands` are what users do over the first
    part of `horizon`, after which the faults stop; `without` names features that are left out.
    `store` is "memory", or "lua": the Redis adapter and its library on a Redis in this process, or "partitions": three
    memory stores under a router.
    """

    seed: int
    workload: str = "mixed"
    faults: frozenset[Fault] = frozenset()
    rate: float = 1.0
    policy: PolicyName = "uniform"
    processes: int = 3
    submitters: int = 1
    errands: int = 60
    horizon: float = 240.0
    tick: float = 4.0
    without: frozenset[str] = frozenset()
    store: str = "memory"

    @property
    def is_calm(self) -> bool:
        """Nothing goes wrong by itself."""
        return not self.faults

    @property
    def is_quiet(self) -> bool:
        """Nothing goes wrong by itself but that notifications are missing, which processes know."""
        return self.faults <= {Fault.DEAF}

    def random(self, purpose: str) -> Random:
        """The run's chance for one purpose: no purpose disturbs another."""
        return Random(f"{purpose}:{self.seed}")

    def recipe(self) -> str:
        """All of it but the seed, in a line."""
        faults = ",".join(fault for fault in Fault if fault in self.faults) or "none"
        return (
            f"workload={self.workload} faults={faults} rate={self.rate:g} policy={self.policy} "
            f"processes={self.processes}+{self.submitters} errands={self.errands} "
            f"horizon={self.horizon:g} tick={self.tick:g} store={self.store}"
        )


ELSEWHERE: Final = tuple(fault for fault in USUAL if fault not in APART)


def _apart(seed: int, *, is_calm: bool) -> frozenset[Fault]:
    """Drawn by itself, so that the rest of a seed's plan stays as it is. A calm seed is deaf at most."""
    random = Random(f"connections:{seed}")
    drawn = frozenset(fault for fault in APART if random.random() < ODDS_APART)
    return drawn & {Fault.DEAF} if is_calm else drawn


def draw_plan(
    seed: int,
    *,
    workload: str = "mixed",
    faults: Sequence[Fault] | None = None,
    lossy: bool = False,
    store: str = "memory",
) -> Plan:
    """The plan of a seed; `faults` are those to draw from."""
    random = Random(f"plan:{seed}")
    kinds = tuple(faults) if faults is not None else (*ELSEWHERE, *(LOSSY if lossy else ()))
    mood = random.random()
    odds = 0.0 if mood < CALM else 1.0 if mood < EVERYTHING else 0.5
    return Plan(
        seed=seed,
        workload=workload,
        store=store,
        faults=frozenset(kind for kind in kinds if random.random() < odds)
        | (_apart(seed, is_calm=odds == 0) if faults is None else frozenset()),
        rate=random.choice((0.4, 1.0, 2.0)),
        policy=random.choice(("uniform", "uniform", "pct", "fifo")),
        processes=random.choice((2, 2, 3, 4)),
        submitters=random.choice((0, 1, 1)),
        errands=random.choice((20, 40, 80)),
        horizon=random.choice((120.0, 240.0, 360.0)),
        tick=random.choice((4.0, 8.0)),
    )
