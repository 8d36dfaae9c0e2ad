"""What a rate and keys cost: the same drain without limits, with a rate, with 1,000 keys, and with both, in turns.

The rate and the limit of each key are in force, but high enough to hold back no task.
"""

from benchmarks import turns
from benchmarks.contenders import KEW
from benchmarks.figure import Figure, Run, Values

KEYS = 1_000
KINDS: turns.Kinds = {
    turns.PLAIN: {},
    "rate": {"has_rate": True},
    "keys": {"keys": KEYS},
    "both": {"has_rate": True, "keys": KEYS},
}


def run(run: Run) -> Values:
    return turns.drained(run, KINDS)


FIGURE = Figure(
    name="limited",
    title="Drain with a rate and with keys",
    measures=turns.measures(
        {
            turns.PLAIN: "without limits",
            "rate": "with a rate",
            "keys": "with 1,000 keys",
            "both": "with both",
        }
    ),
    run=run,
    takes=(KEW,),
    rounds=1,
)
