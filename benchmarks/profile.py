"""`python -m benchmarks.profile`: where the time of kew's process goes, a part at a time, as seen from outside.

py-spy stops the running process some hundred times a second and reads which functions it is in; nothing in its code is
changed. What it says of a part is a share of some thousand looks, not a measurement.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from benchmarks import contenders, driver, environments, report, results
from benchmarks.awake import CAN_BE_KEPT_AWAKE, processors_awake
from benchmarks.contenders import BARE, KEW, Contender
from benchmarks.driver import Program, running
from benchmarks.environments import CACHE, ROOT
from benchmarks.server import Server, fresh_server

HERTZ: Final = 250
ATTACHING: Final = 1.5  # seconds until the sampler looks; the program is idle so long
TOP: Final = 15
PICK_UPS: Final = 300
RESTS: Final = (0.02, 0.005, 0.001)  # seconds before each pick-up
AWAKE_REST: Final = RESTS[0]  # with processors that are kept awake
WAITING, SENDING, RECEIVING = "asleep until there is something to read", "sending", "receiving"
ELSE: Final = "everything else (the benchmark, the library's helpers)"


@attrs.frozen(kw_only=True)
class Subject:
    """What is looked at: `ask` has the program do it, and answers how many tasks it was and how many seconds."""

    title: str
    works: bool
    prepare: Callable[[Program], object]
    ask: Callable[[Program], tuple[int, float]]


def _waves(verb: str, count: int, waves: int) -> Callable[[Program], tuple[int, float]]:
    def ask(program: Program) -> tuple[int, float]:
        seconds = [program.ask(verb, count=count)["seconds"] for _ in range(waves)]
        return count * waves, sum(seconds)

    return ask


DRAINED: Final = 300_000
SUBJECTS: Final = {
    "submit_alone": Subject(
        title="a lone submit",
        works=False,
        prepare=lambda program: None,
        ask=_waves("submit_alone", 60_000, 1),
    ),
    "submit_gathered": Subject(
        title="5,000 gathered submits",
        works=False,
        prepare=lambda program: None,
        ask=_waves("submit_gathered", 5_000, 150),
    ),
    "drain": Subject(
        title="drain",
        works=False,
        prepare=lambda program: program.ask("fill", count=DRAINED - 1),
        ask=_waves("drain", DRAINED, 1),
    ),
    "round_trip": Subject(
        title="submit + run + result",
        works=True,
        prepare=lambda program: None,
        ask=_waves("round_trip", 2_000, 80),
    ),
}


@attrs.frozen
class Frame:
    """A function on the call stack, and the file that it stands in."""

    function: str
    file: str

    @classmethod
    def of(cls, text: str) -> Frame:
        """From `Class.name (path/file.py)`."""
        name, _, file = text.partition(" (")
        return cls(name.rpartition(".")[2], file.rstrip(")"))

    @property
    def part(self) -> str | None:
        """What it belongs to; None: look at whoever called it."""
        if self.file.endswith("/selectors.py"):
            return WAITING
        if self.file.endswith("/asyncio/selector_events.py"):
            return {"write": SENDING, "_read_ready__get_buffer": RECEIVING}.get(
                self.function, "asyncio"
            )
        if "/asyncio/" in self.file:
            return "asyncio"
        if not self.file.startswith(f"{ROOT}/kew/"):
            return None
        folder = Path(self.file).parent.relative_to(ROOT)
        return "kew: what users call" if folder == Path("kew") else str(folder)


def part_of(stack: Sequence[Frame]) -> str:
    """What the innermost function belongs to that belongs to anything."""
    return next((frame.part for frame in reversed(stack) if frame.part), ELSE)


@attrs.frozen
class Profile:
    """What was seen of one subject; seconds."""

    subject: Subject
    tasks: int
    seconds: float
    parts: Mapping[str, float]
    functions: Mapping[Frame, float]

    @property
    def us_by_part(self) -> dict[str, float]:
        """Of one task; the sampler also sees the rest before and after, so what is slept is what is left."""
        each = {part: 1e6 * n / self.tasks for part, n in self.parts.items() if part != WAITING}
        return {**each, WAITING: max(0.0, 1e6 * self.seconds / self.tasks - sum(each.values()))}


def profiled(subject: Subject, contender: Contender) -> Profile:
    """Look at one subject."""
    with opened(subject, contender) as program, tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "stacks"
        with sampled(program.pid, out):
            tasks, seconds = subject.ask(program)
        parts, functions = Counter[str](), Counter[Frame]()
        for stack, times in stacks(out.read_text()):
            parts[part_of(stack)] += times
            functions[stack[-1]] += times
    return Profile(
        subject,
        tasks,
        seconds,
        {part: times / HERTZ for part, times in parts.items()},
        {frame: times / HERTZ for frame, times in functions.items()},
    )


@contextlib.contextmanager
def opened(subject: Subject, contender: Contender) -> Iterator[Program]:
    """kew's program, ready for the subject."""
    server: Server
    with fresh_server() as server, running(contender) as program:
        program.ask("open", url=server.url, works=subject.works)
        subject.prepare(program)
        yield program


@contextlib.contextmanager
def sampled(pid: int, out: Path) -> Iterator[None]:
    """Look at this process while the block lasts; the stacks and how often each was seen are in `out` then."""
    spy = environments.ready_python("profile").parent / "py-spy"
    options = [
        "--rate",
        str(HERTZ),
        "--format",
        "raw",
        "--idle",
        "--nolineno",
        "--full-filenames",
    ]
    sampler = subprocess.Popen(
        [str(spy), "record", *options, "--output", str(out), "--pid", str(pid)],
        stdout=subprocess.DEVNULL,
        stderr=(CACHE / "logs" / "py-spy.log").open("wb"),
    )
    try:
        time.sleep(ATTACHING)
        yield
    finally:
        sampler.send_signal(signal.SIGINT)
        sampler.wait()


def stacks(text: str) -> Iterator[tuple[list[Frame], int]]:
    """Each stack of the event loop's thread, outermost function first, and how often it was seen."""
    for line in text.splitlines():
        names, _, times = line.rpartition(" ")
        stack = [Frame.of(name) for name in names.split(";")]
        if any(frame.function == "run_forever" for frame in stack):
            yield stack, int(times)


def by_part(profiles: Sequence[Profile]) -> str:
    """us per task, a column for each subject."""
    columns = [profile.us_by_part for profile in profiles]
    parts = sorted(set[str]().union(*columns), key=lambda part: (part in (ELSE, WAITING), part))
    rows: report.Rows = [["us per task", *(profile.subject.title for profile in profiles)]]
    rows += [[part, *(_us(column.get(part, 0.0)) for column in columns)] for part in parts]
    rows.append(["all", *(_us(sum(column.values())) for column in columns)])
    return report.table(rows)


def by_function(profile: Profile) -> str:
    """The functions in which most of it is spent, those they call left out."""
    rows: report.Rows = [[profile.subject.title, "file", "us per task"]]
    busiest = sorted(profile.functions.items(), key=lambda item: -item[1])
    for frame, seconds in busiest[:TOP]:
        file = "/".join(Path(frame.file).parts[-3:])
        rows.append([frame.function, file, _us(1e6 * seconds / profile.tasks)])
    return report.table(rows)


def pick_ups() -> str:
    """What an idle pick-up consists of, us, by how long it was quiet before, and whether processors slept; medians."""
    columns = {f"after {1000 * rest:g} ms": _pick_up(rest) for rest in RESTS}
    if CAN_BE_KEPT_AWAKE:
        with processors_awake():
            columns[f"after {1000 * AWAKE_REST:g} ms, processors kept awake"] = _pick_up(AWAKE_REST)
    rows: report.Rows = [["us", *columns]]
    for name in next(iter(columns.values())):
        rows.append([name, *(f"{column[name]:.0f}" for column in columns.values())])
    return report.table(rows)


def _pick_up(rest: float) -> dict[str, float]:
    kew, bare = (_contender(name) for name in (KEW, BARE))
    with fresh_server() as server, running(kew, "kew_more.py") as program:
        program.ask("open", url=server.url, works=True)
        stages = program.ask("pick_up_stages", count=PICK_UPS, pause=rest)
    with fresh_server() as server, running(bare) as program:
        program.ask("open", url=server.url, works=True)
        asked = program.ask("pick_up", count=PICK_UPS, seconds=60.0, pause=rest)
    return {**stages, "all": sum(stages.values()), "a bare EVALSHA": 1000 * asked["p50_ms"]}


def _us(value: float) -> str:
    return f"{value:.1f}" if value >= 0.05 else "-"


def measured_on() -> str:
    """Date, command and machine."""
    with fresh_server() as server:
        about = results.machine(server.version(), environments.base_version())
    return f"{results.on_machine(about, 'make profile SAVE=1')}."


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument(
        "--figure", default="", help=f"comma-separated; default {','.join(SUBJECTS)}"
    )
    parser.add_argument("--save", action="store_true", help="write the first table into docs")
    return parser.parse_args()


def main() -> None:
    """Look at what was asked for, or at everything."""
    asked = arguments()
    driver.end_politely_on_sigterm()
    names = asked.figure.split(",") if asked.figure else list(SUBJECTS)
    if unknown := set(names) - SUBJECTS.keys():
        raise SystemExit(f"no profile of {', '.join(unknown)}; there are: {', '.join(SUBJECTS)}")
    environments.ready_python("kew")
    kew, profiles = _contender(KEW), []
    for name in names:
        print(f"== {SUBJECTS[name].title}", flush=True)
        profiles.append(profiled(SUBJECTS[name], kew))
        print(f"\n{by_function(profiles[-1])}\n", flush=True)
    print(by_part(profiles))
    print("\n== an idle pick-up", flush=True)
    stages = pick_ups()
    print(stages)
    if asked.save:
        report.write_profile(
            f"{measured_on()}\n\n{by_part(profiles)}\n\nAn idle pick-up:\n\n{stages}"
        )


def _contender(name: str) -> Contender:
    (found,) = (each for each in contenders.ALL if each.name == name)
    return found


if __name__ == "__main__":
    main()
