"""What metrics and traces cost: the same drain plain, with metrics, with traces, with both, and sampled, in turns.

Metrics are `MetricsObserver`, which nothing scrapes meanwhile. Traces are those of OpenTelemetry's SDK: each span is
recorded, and a thread passes them in batches to an exporter that discards them. Submits are traced, so every attempt
links to one. The SDK alone takes 2,200 bytecodes for such a span, and kew 1,780 for a whole task (`python -m
benchmarks.bytecodes`): most of what tracing costs is the SDK's, and goes with the share of the spans that is sampled.
"""

from benchmarks import turns
from benchmarks.contenders import KEW
from benchmarks.figure import Figure, Run, Values

KINDS: turns.Kinds = {
    turns.PLAIN: {},
    "metrics": {"has_metrics": True},
    "tracing": {"sampled": 1.0},
    "both": {"has_metrics": True, "sampled": 1.0},
    "sampled": {"has_metrics": True, "sampled": 0.1},
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
            "sampled": "with metrics, and traces of one task in ten",
        }
    ),
    run=run,
    takes=(KEW,),
    rounds=1,
)
