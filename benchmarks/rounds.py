"""Running figures: round by round, each round every contender in turn (A B C, A B C, ...), so that a
machine that slows down or warms up does so for all of them."""

from __future__ import annotations

import time
from collections.abc import Sequence

import attrs

from benchmarks.contenders import Contender
from benchmarks.driver import Broken
from benchmarks.environments import NotInstallable, command
from benchmarks.figure import Figure, Run, Values


@attrs.define
class Samples:
    """What was measured of one figure: values[measure][contender] has one number per round."""

    values: dict[str, dict[str, list[float]]] = attrs.field(factory=dict)
    failures: dict[str, str] = attrs.field(factory=dict)

    def add(self, contender: str, found: Values) -> None:
        """The numbers of one run."""
        for measure, value in found.items():
            self.values.setdefault(measure, {}).setdefault(contender, []).append(value)


def installed(contenders: Sequence[Contender]) -> list[Contender]:
    """Those whose environment is there or could be made; the others are named with the reason."""
    found = []
    for contender in contenders:
        try:
            command(contender)
        except NotInstallable as error:
            print(f"== {contender.name} is left out: {error}", flush=True)
        else:
            found.append(contender)
    return found


def measured(
    figure: Figure, contenders: Sequence[Contender], *, rounds: int, scale: float
) -> Samples:
    """Run one figure."""
    runs = [Run(contender=each, scale=scale) for each in contenders]
    print(f"== {figure.title}: {', '.join(each.name for each in contenders)}", flush=True)
    samples = Samples()
    started = time.monotonic()
    for number in range(rounds or figure.rounds):
        if figure.together is not None:
            for name, found in figure.together(runs).items():
                samples.add(name, found)
        else:
            _one_round(figure, runs, samples, number)
    print(f"   {time.monotonic() - started:.0f} s", flush=True)
    return samples


def _one_round(figure: Figure, runs: Sequence[Run], samples: Samples, number: int) -> None:
    assert figure.run is not None
    for run in runs:
        name = run.contender.name
        if name in samples.failures:
            continue
        try:
            found = figure.run(run)
        except Broken as error:
            samples.failures[name] = str(error)
            print(f"   {name} failed: {error}", flush=True)
        else:
            samples.add(name, found)
            told = ", ".join(f"{measure} {value:,.4g}" for measure, value in found.items())
            print(f"   round {number + 1}, {name}: {told}", flush=True)
