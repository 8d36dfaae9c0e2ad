"""The command line, `kew`: an extra, since a program that only queues tasks needs none of it.

Exit codes of every command:

    0    it did what was asked
    2    it could not begin or go on; one line says why, and what to do
    130  stopped by Ctrl-C (143: by SIGTERM), after handing back what it was doing
"""

from __future__ import annotations

import sys

ADVICE = "kew's command line is an extra: pip install 'kew[cli]'"


def main() -> None:
    """What the program `kew` runs."""
    try:
        import click  # noqa: F401 - only looked for
        import rich  # noqa: F401
    except ImportError as missing:
        sys.stderr.write(f"kew: no module {missing.name!r}. {ADVICE}\n")
        raise SystemExit(2) from None
    from kew.adapters.cli.commands import kew

    kew(prog_name="kew")
