"""Processors that don't go to sleep: what a figure comes to without the time that waking them takes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.environments import ROOT

PROGRAM = ROOT / "benchmarks" / "programs" / "spin.py"
CAN_BE_KEPT_AWAKE = hasattr(os, "SCHED_IDLE")
"""Linux alone has a class of processes that run only where nothing else wants to."""


@contextlib.contextmanager
def processors_awake() -> Iterator[None]:
    """One spinning process on each processor; whatever else wants to run goes first, at once."""
    with contextlib.ExitStack() as spinning:
        for processor in sorted(os.sched_getaffinity(0)):
            command = [sys.executable, str(PROGRAM), str(processor)]
            process = spinning.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE))
            spinning.callback(process.kill)
        yield
