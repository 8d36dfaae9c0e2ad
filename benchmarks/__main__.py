"""`python -m benchmarks`: measure, print the ratios, and write docs/performance."""

from __future__ import annotations

import argparse
import subprocess

from benchmarks import contenders, driver, environments, figures, report, results, rounds
from benchmarks.environments import CACHE, ROOT
from benchmarks.server import fresh_server

LAST = CACHE / "last.json"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--peer", default="", help="these peers beside kew, comma-separated; default all"
    )
    parser.add_argument("--figure", default="", help="these figures, comma-separated; default all")
    parser.add_argument(
        "--rounds", type=int, default=0, help="rounds of each figure; default its own"
    )
    parser.add_argument(
        "--loop",
        default="",
        choices=["", "asyncio", "uvloop"],
        help="every Python program on this loop",
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="0.1: a tenth of the tasks, to try the harness"
    )
    parser.add_argument(
        "--save",
        action="store_true",
        help="write what was measured into docs; done anyway where nothing was selected",
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="measure nothing: write tables and charts from what was saved",
    )
    return parser.parse_args()


def main() -> None:
    """Measure what was asked for, or everything."""
    asked = arguments()
    driver.end_politely_on_sigterm()
    if asked.report:
        publish(results.read())
        return
    taking_part = rounds.installed(contenders.chosen(asked.peer, asked.loop))
    about = results.machine(_redis_version(), environments.base_version())
    measured = {}
    for figure in figures.chosen(asked.figure):
        takes = [each for each in taking_part if each.name in figure.takes]
        samples = rounds.measured(figure, takes, rounds=asked.rounds, scale=asked.scale)
        measured[figure.name] = results.kept(samples, about=about, command=_command(asked))
        results.write(measured, LAST)  # now, so that what is stopped was not in vain
    print("\n" + report.on_screen(measured))
    is_whole = not (asked.peer or asked.figure or asked.loop or asked.rounds or asked.scale != 1)
    if asked.save or is_whole:
        publish({**results.read(), **measured})


def publish(kept: dict[str, object]) -> None:
    """Write the JSON, the tables and the charts."""
    results.write(kept)
    report.write_page(kept)
    try:
        python = environments.ready_python("charts")
    except environments.NotInstallable as error:
        print(f"== No charts: {error}")
        return
    script = ROOT / "benchmarks" / "charts.py"
    subprocess.run([python, script, results.FILE, results.FOLDER], check=True)
    print(f"== Wrote {report.PAGE.relative_to(ROOT)} and {results.FOLDER.relative_to(ROOT)}/")


def _redis_version() -> str:
    with fresh_server() as server:
        return server.version()


def _command(asked: argparse.Namespace) -> str:
    said = {
        "PEER": asked.peer,
        "FIGURE": asked.figure,
        "LOOP": asked.loop,
        "ROUNDS": asked.rounds or "",
    }
    return " ".join(["make bench", *(f"{name}={value}" for name, value in said.items() if value)])


if __name__ == "__main__":
    main()
