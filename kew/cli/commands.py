"""The list of commands. A new command is a file in this folder, and a line here."""

from __future__ import annotations

import click

from kew import __version__
from kew.cli.demo import demo
from kew.cli.simulate import simulate


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Exit codes: 0 success, 2 could not start or continue, 130 stopped by Ctrl-C.",
)
@click.version_option(__version__, prog_name="kew")
def kew() -> None:
    """A background task queue that runs inside your asyncio process."""


kew.add_command(demo)
kew.add_command(simulate)
