"""`python -m benchmarks.compare A B`: two commits of kew, turn by turn.

Each has a worktree, removed at the end, and an environment of its own, which stays.
"""

from __future__ import annotations

import argparse
import subprocess

from benchmarks import driver, environments, figures, report, rounds
from benchmarks.contenders import Contender
from benchmarks.environments import ROOT
from benchmarks.figure import Figure
from benchmarks.results import Spread, ratios
from benchmarks.rounds import Samples

FIGURES = "submit_alone,submit_gathered,submit_batch,drain,round_trip,pick_up,memory_store"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("a", help="a commit, tag or branch")
    parser.add_argument("b", help="another")
    parser.add_argument("--figure", default="", help=f"comma-separated; default {FIGURES}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loop", default="asyncio", choices=["asyncio", "uvloop"])
    parser.add_argument("--scale", type=float, default=1.0)
    return parser.parse_args()


def main() -> None:
    """Measure both and print how they differ."""
    asked = arguments()
    driver.end_politely_on_sigterm()
    names = (asked.a, asked.b)
    pair = [
        _contender(f"{label} {name}", name, asked.loop)
        for label, name in zip("AB", names, strict=True)
    ]
    try:
        print("\n" + report.table(_compared(pair, asked)))
    finally:
        for each in pair:
            environments.remove_worktree(each.commit)


def _compared(pair: list[Contender], asked: argparse.Namespace) -> report.Rows:
    if len(rounds.installed(pair)) < len(pair):
        raise SystemExit(1)
    rows = [["", *(each.name for each in pair), "B is so many times better (least to most)"]]
    for figure in figures.chosen(asked.figure or FIGURES):
        samples = rounds.measured(figure, pair, rounds=asked.rounds, scale=asked.scale)
        rows += _rows(figure, samples, [each.name for each in pair])
    return rows


def _contender(label: str, name: str, loop: str) -> Contender:
    asked = ["git", "-C", str(ROOT), "rev-parse", "--verify", f"{name}^{{commit}}"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(f"{name} is no commit of this repository")
    commit = found.stdout.strip()[:12]
    return Contender(
        name=label, environment=f"kew@{commit}", program="with_kew.py", loop=loop, commit=commit
    )


def _rows(figure: Figure, samples: Samples, names: list[str]) -> report.Rows:
    rows = []
    for measure in figure.measures:
        of = samples.values.get(measure.name, {})
        if all(name in of for name in names):
            a, b = (of[name] for name in names)
            spread = ratios(b, a, more_is_better=measure.more_is_better)
            middles = [f"{Spread.of(values).middle:,.{measure.digits}f}" for values in (a, b)]
            rows.append([report.titled(measure), *middles, report.ratio_text(spread)])
    return rows


if __name__ == "__main__":
    main()
