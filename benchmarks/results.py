"""What is kept of a run: a JSON file, figure by figure, each with its samples, date, machine and command."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import attrs

from benchmarks.environments import ROOT
from benchmarks.rounds import Samples

FOLDER = ROOT / "docs" / "performance"
FILE = FOLDER / "figures.json"


def machine(redis_version: str, python_version: str) -> dict[str, Any]:
    """The machine in general terms."""
    return {
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": python_version,
        "redis": redis_version,
    }


def on_machine(about: dict[str, Any], command: str, date: str = "") -> str:
    """Date, command and machine, in a line."""
    return (
        f"{date or today()}, `{command}`: {about['cores']} cores, {about['system']}, "
        f"Python {about['python']}, Redis {about['redis']}"
    )


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def kept(samples: Samples, *, about: dict[str, Any], command: str) -> dict[str, Any]:
    """One figure as it is written down."""
    return {
        "date": today(),
        "command": command,
        "machine": about,
        "values": {
            measure: {
                name: [float(f"{value:.6g}") for value in values] for name, values in of.items()
            }
            for measure, of in samples.values.items()
        },
        "failures": samples.failures,
    }


def read(path: Path = FILE) -> dict[str, Any]:
    """The figures that were kept, by name; none where there is no file."""
    figures: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return figures


def write(figures: dict[str, Any], path: Path = FILE) -> None:
    """Keep them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1) + "\n")


@attrs.frozen
class Spread:
    """Rounds summed up."""

    middle: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Their median and ends."""
        return cls(median(values), min(values), max(values))


def ratios(ours: list[float], theirs: list[float], *, more_is_better: bool) -> Spread | None:
    """How many times better ours are, round against round; None where nothing can be said."""
    pairs = [(a, b) if more_is_better else (b, a) for a, b in zip(ours, theirs, strict=False)]
    found = [a / b for a, b in pairs if b]
    return Spread.of(found) if found else None
