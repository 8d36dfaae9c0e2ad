"""Draws the charts from docs/performance/figures.json: run in an environment of its own that has matplotlib.

python charts.py FIGURES.JSON FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

OURS, OTHERS = "#d1495b", "#6b7a8f"
# File, figure, measure, title, whether the axis is logarithmic.
BARS = (
    ("submit_alone", "rate", "Submit, one after another: tasks a second", False),
    ("submit_gathered", "rate", "Submit, 5,000 gathered: tasks a second", False),
    ("drain", "rate", "Drain 10,000 waiting tasks, one process: tasks a second", False),
    ("round_trip", "rate", "Submit, run and read the result, 2,000 at once: tasks a second", False),
    ("pick_up", "p50", "Idle pick-up, median: ms, logarithmic, less is better", True),
    ("drain", "redis_us", "Redis CPU per task: us, less is better", False),
    ("memory", "waiting", "Redis memory per waiting task: bytes, less is better", False),
    ("idle", "commands", "Redis commands a second when idle, logarithmic, less is better", True),
)
SETTINGS = (("off", "off"), ("10", "10 ms"), ("5", "5 ms"), ("2", "2 ms"))


def draw_bars(kept: dict[str, Any], folder: Path) -> None:
    """One chart of all compared figures, a panel for each."""
    panels = [panel for panel in BARS if kept.get(panel[0], {}).get("values", {}).get(panel[1])]
    if not panels:
        return
    figure, axes = plt.subplots(
        (len(panels) + 1) // 2, 2, figsize=(13, 2.6 * ((len(panels) + 1) // 2)), squeeze=False
    )
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis, (name, measure, title, is_log) in zip(axes.flat, panels, strict=False):
        _bars(axis, kept[name]["values"][measure], title, is_log=is_log)
    figure.tight_layout()
    figure.savefig(folder / "peers.png", dpi=110)
    plt.close(figure)


def _bars(axis: Any, values: dict[str, list[float]], title: str, *, is_log: bool) -> None:
    names = list(values)[::-1]
    middles = [median(values[name]) for name in names]
    below = [m - min(values[name]) for m, name in zip(middles, names, strict=True)]
    above = [max(values[name]) - m for m, name in zip(middles, names, strict=True)]
    colours = [OURS if name in ("kew", "kew (uvloop)") else OTHERS for name in names]
    axis.barh(names, middles, xerr=[below, above], color=colours, ecolor="#222222", capsize=2)
    for place, middle in enumerate(middles):
        shown = f"{middle:,.0f}" if middle >= 100 else f"{middle:.3g}"
        axis.annotate(shown, (middle, place), (6, 4), textcoords="offset points", fontsize=7)
    axis.set_title(title, fontsize=9, loc="left")
    axis.tick_params(labelsize=8)
    axis.margins(x=0.12)
    if is_log:
        axis.set_xscale("log")
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def draw_polite(kept: dict[str, Any], folder: Path) -> None:
    """The endpoint's p99 and the drain's rate, by setting."""
    values = kept.get("polite_host", {}).get("values", {})
    if not values:
        return
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.4))
    for task, what, colour in (
        ("echo", "a task that does nothing", OURS),
        ("spin", "a task of 200 us", OTHERS),
    ):
        for axis, measure in zip(axes, ("p99", "rate"), strict=True):
            heights = [
                median(values[f"{task}_{setting}_{measure}"]["kew"]) for setting, _ in SETTINGS
            ]
            axis.plot(
                [shown for _, shown in SETTINGS], heights, marker="o", color=colour, label=what
            )
    axes[0].axhline(10, color="#999999", linestyle=":", linewidth=1)
    axes[0].set_title("Endpoint p99 while the queue drains, ms", fontsize=9, loc="left")
    axes[1].set_title("Drain, tasks a second", fontsize=9, loc="left")
    for axis in axes:
        axis.set_xlabel("max_loop_lag", fontsize=8)
        axis.set_ylim(bottom=0)
        axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(folder / "polite-host.png", dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    figures, target = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    draw_bars(figures, target)
    draw_polite(figures, target)
