"""The command line, `kew`: an extra, since a program that only queues tasks doesn't need it.

Exit codes:

    0    success
    1    failed or refused
    2    wrong usage; of `demo` and `simulate` also: it could not start or continue
    3    not found: a queue, task or schedule
    4    the store can't be reached
    130  stopped by Ctrl-C (143: by SIGTERM), after releasing the running tasks

A failure prints one line, which says why and what to do.
"""

from __future__ import annotations

import sys

ADVICE = "The command line is an extra; install it: pip install 'kew[cli]'"


def main() -> None:
    """The entry point of the program `kew`."""
    try:
        import click  # noqa: F401 - only checks that it is installed
        import rich  # noqa: F401
    except ImportError as missing:
        sys.stderr.write(f"kew: module {missing.name!r} is not installed. {ADVICE}\n")
        raise SystemExit(2) from None
    from kew.cli.commands import kew

    kew(prog_name="kew")
