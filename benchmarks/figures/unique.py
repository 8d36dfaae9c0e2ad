"""What uniqueness costs: the same drain of tasks without and with a unique key each (`Unique`), in turns."""

from benchmarks import turns
from benchmarks.contenders import KEW
from benchmarks.figure import Figure, Run, Values

KINDS: turns.Kinds = {turns.PLAIN: {}, "unique": {"is_unique": True}}


def run(run: Run) -> Values:
    return turns.drained(run, KINDS)


FIGURE = Figure(
    name="unique",
    title="Drain of unique tasks",
    measures=turns.measures({turns.PLAIN: "of plain tasks", "unique": "of unique tasks"}),
    run=run,
    takes=(KEW,),
    rounds=1,
)
