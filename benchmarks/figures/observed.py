"""What seeing costs: the same drain plain, with metrics, with traces, and with both, in turns.

Metrics are `MetricsObserver`, which nothing scrapes meanwhile. Traces are the SDK's, each span recorded and handed on
in batches by a thread, to an exporter that throws them away. Submits are traced, so every attempt links to one.
"""

from benchmarks import turns
from benchmarks.contenders import KEW
from benchmarks.figure import Figure, Run, Values

KINDS: turns.Kinds = {
    turns.PLAIN: {},
    "metrics": {"has_metrics": True},
    "tracing": {"has_tracing": True},
    "both": {"has_metrics": True, "has_tracing": True},
}


def run(run: Run) -> Values:
    return turns.drained(run, KINDS)


FIGURE = Figure(
    name="observed",
    title="Drain with metrics and traces",
    measures=turns.measures(
        {
            turns.PLAIN: "without either",
            "metrics": "with metrics",
            "tracing": "with traces",
            "both": "with both",
        }
    ),
    run=run,
    takes=(KEW,),
    rounds=1,
)
