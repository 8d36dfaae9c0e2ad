"""The tables: on the screen, and in docs/performance.md between the marks that say so."""

from __future__ import annotations

from typing import Any

from benchmarks import figures as all_figures
from benchmarks import targets
from benchmarks.contenders import FILES, KEW, ON_REDIS
from benchmarks.environments import ROOT
from benchmarks.figure import Figure, Measure
from benchmarks.figures import sqlite
from benchmarks.results import Spread, on_machine, ratios

PAGE = ROOT / "docs" / "performance.md"
Rows = list[list[str]]


def values_of(kept: dict[str, Any], measure: Measure) -> dict[str, list[float]]:
    """The numbers of a measure by contender."""
    found: dict[str, list[float]] = kept.get("values", {}).get(measure.name, {})
    return found


def compared(kept: dict[str, Any]) -> list[tuple[Figure, Measure]]:
    """The measures in which kew stands beside libraries that use Redis."""
    return [
        (figure, measure)
        for figure in all_figures.ALL
        for measure in figure.measures
        if figure.name in kept
        and figure.name != "sqlite"
        and len(values_of(kept[figure.name], measure)) > 1
    ]


def names_in(kept: dict[str, Any]) -> list[str]:
    """The contenders that were measured, in the order of the table."""
    measured = {name for figure in kept.values() for of in figure["values"].values() for name in of}
    return [name for name in ON_REDIS if name in measured]


def absolute(kept: dict[str, Any]) -> str:
    """Medians, a column for each contender."""
    names = names_in(kept)
    rows: Rows = [["", *names]]
    for figure, measure in compared(kept):
        values = values_of(kept[figure.name], measure)
        cells = [
            _number(Spread.of(values[name]).middle, measure) if name in values else "-"
            for name in names
        ]
        rows.append([titled(measure), *cells])
    return table(rows)


def relative(kept: dict[str, Any]) -> str:
    """How many times better kew is: median (least to most over the rounds)."""
    names = [name for name in names_in(kept) if name != KEW]
    rows: Rows = [["", *names]]
    for figure, measure in compared(kept):
        values = values_of(kept[figure.name], measure)
        if KEW in values:
            cells = [_ratio(values[KEW], values.get(name, []), measure) for name in names]
            rows.append([measure.title, *cells])
    return table(rows)


def alone(kept: dict[str, Any]) -> str:
    """What is measured of kew alone."""
    rows: Rows = [["", KEW, "least to most"]]
    for figure in all_figures.ALL:
        for measure in figure.measures:
            values = values_of(kept.get(figure.name, {}), measure)
            if list(values) == [KEW] and figure.name not in ("polite_host", "sqlite"):
                spread = Spread.of(values[KEW])
                ends = f"{_number(spread.least, measure)} to {_number(spread.most, measure)}"
                rows.append([titled(measure), _number(spread.middle, measure), ends])
    return table(rows)


def polite(kept: dict[str, Any]) -> str:
    """The endpoint's table: a row for each setting."""
    values = kept.get("polite_host", {}).get("values", {})
    rows: Rows = [
        ["task", "max_loop_lag", "drain, /s", "of the impolite rate", "endpoint p99, ms", "max, ms"]
    ]
    if "idle_p99" in values:
        quiet = [f"{Spread.of(values[name][KEW]).middle:.1f}" for name in ("idle_p99", "idle_max")]
        rows.append(["none: the queue is empty", "off", "-", "-", *quiet])
    for task, what in (("echo", "does nothing"), ("spin", "200 us of CPU")):
        for setting, shown in (("off", "off"), ("10", "10 ms"), ("5", "5 ms"), ("2", "2 ms")):
            if f"{task}_{setting}_rate" not in values:
                continue
            speed, p99, most, full = (
                Spread.of(values[f"{task}_{name}"][KEW]).middle
                for name in (f"{setting}_rate", f"{setting}_p99", f"{setting}_max", "off_rate")
            )
            rows.append(
                [
                    what,
                    shown,
                    f"{speed:,.0f}",
                    f"{100 * speed / full:.0f} %",
                    f"{p99:.1f}",
                    f"{most:.1f}",
                ]
            )
    return table(rows)


def required(kept: dict[str, Any]) -> str:
    """What the figures must show, and whether they do."""
    rows: Rows = [["figure", "wanted", "measured (least to most)", ""]]
    for target in targets.ALL:
        spread = target.found(kept)
        if spread is None:
            continue
        word = "at least" if target.at_least else "at most"
        measured = f"{_short(spread.middle)} ({_short(spread.least)} to {_short(spread.most)}) {target.unit}"
        verdict = "met" if target.is_met(spread) else "**missed**"
        rows.append([target.what, f"{word} {target.limit:,g} {target.unit}", measured, verdict])
    return table(rows)


def files(kept: dict[str, Any]) -> str:
    """Queues in a SQLite file: medians, and least to most."""
    if "sqlite" not in kept:
        return ""
    names = (KEW, *FILES)
    rows: Rows = [["", *names]]
    for measure in sqlite.FIGURE.measures:
        values = values_of(kept["sqlite"], measure)
        cells = [_spread(values[name], measure) if name in values else "-" for name in names]
        rows.append([titled(measure), *cells])
    return table(rows)


def failed(kept: dict[str, Any]) -> str:
    """Who could not be measured, and why."""
    lines = [
        f"- {figure.title}: {name}: {reason}"
        for figure in all_figures.ALL
        for name, reason in kept.get(figure.name, {}).get("failures", {}).items()
    ]
    return "\n".join(lines) or "None."


def measured_on(kept: dict[str, Any]) -> str:
    """Machine, date and command, once for all figures that share them."""
    said: dict[str, list[str]] = {}
    for name, figure in kept.items():
        text = on_machine(figure["machine"], figure["command"], figure["date"])
        said.setdefault(text, []).append(name)
    whole = len(said) == 1
    return "\n".join(
        f"- {text}" + ("" if whole else f" ({', '.join(names)})") for text, names in said.items()
    )


SECTIONS = {
    "measured-on": measured_on,
    "required": required,
    "absolute": absolute,
    "relative": relative,
    "alone": alone,
    "polite": polite,
    "sqlite": files,
    "failures": failed,
}


def on_screen(kept: dict[str, Any]) -> str:
    """Everything, for whoever waits at the terminal."""
    parts = [
        ("medians", absolute(kept)),
        ("kew is so many times better: median (least to most)", relative(kept)),
        ("kew alone", alone(kept)),
        ("polite host", polite(kept)),
        ("queues in a SQLite file: median (least to most)", files(kept)),
        ("what it must show", required(kept)),
        ("failures", failed(kept)),
    ]
    return "\n\n".join(f"{title}\n\n{text}" for title, text in parts if text)


def write_page(kept: dict[str, Any]) -> None:
    """Put the tables into docs/performance.md, each between its marks; everything else stays as it is."""
    text = PAGE.read_text()
    for name, make in SECTIONS.items():
        text = replaced(text, name, make(kept))
    PAGE.write_text(text)


def write_profile(text: str) -> None:
    """Put it into docs/performance.md."""
    PAGE.write_text(replaced(PAGE.read_text(), "profile", text, by="make profile"))


def replaced(text: str, name: str, table: str, *, by: str = "make bench") -> str:
    """The page with this between the marks of section `name`."""
    begin, end = f"<!-- {name}: written by {by} -->", f"<!-- end of {name} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise SystemExit(f"{PAGE.name} has not exactly one place for {name!r}")
    head, _, rest = text.partition(begin)
    return f"{head}{begin}\n\n{table}\n\n{end}{rest.partition(end)[2]}"


def table(rows: Rows) -> str:
    """Markdown, in columns that also line up as text; nothing for a head alone."""
    if len(rows) < 2:
        return ""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "| " + " | ".join("-" * max(3, width) for width in widths) + " |")
    return "\n".join(lines)


def titled(measure: Measure) -> str:
    """Its title with its unit."""
    return f"{measure.title}, {measure.unit}" if measure.unit else measure.title


def _number(value: float, measure: Measure) -> str:
    return f"{value:,.{measure.digits}f}"


def _spread(values: list[float], measure: Measure) -> str:
    spread = Spread.of(values)
    middle, least, most = (
        _number(value, measure) for value in (spread.middle, spread.least, spread.most)
    )
    return f"{middle} ({least} to {most})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _ratio(ours: list[float], theirs: list[float], measure: Measure) -> str:
    return ratio_text(ratios(ours, theirs, more_is_better=measure.more_is_better))


def ratio_text(spread: Spread | None) -> str:
    """A ratio and its ends over the rounds."""
    if spread is None:
        return "-"
    if spread.least == spread.most:
        return _short(spread.middle)
    return f"{_short(spread.middle)} ({_short(spread.least)} to {_short(spread.most)})"
