"""The list of commands. A new command is a file in this folder, and a line here."""

from __future__ import annotations

import click

from kew import __version__
from kew.cli.group import Group

COMMANDS = {
    "breaker": "kew.cli.breakers:breaker",
    "copy": "kew.cli.copy:copy",
    "dead": "kew.cli.dead_letters:dead",
    "demo": "kew.cli.demo:demo",
    "doctor": "kew.cli.doctor:doctor",
    "health": "kew.cli.health:health",
    "metrics": "kew.cli.metrics:metrics",
    "key": "kew.cli.keys:key",
    "process": "kew.cli.processes:process",
    "queue": "kew.cli.queues:queue",
    "schedule": "kew.cli.schedules:schedule",
    "simulate": "kew.cli.simulate:simulate",
    "stats": "kew.cli.stats:stats",
    "status": "kew.cli.status:status",
    "task": "kew.cli.tasks:task",
    "top": "kew.cli.top:top",
    "web": "kew.cli.web:web",
    "why": "kew.cli.status:why",
    "worker": "kew.cli.worker:worker",
}
"""Where each command is: loaded when it is needed, so that none of them slows the others down."""


@click.group(
    cls=Group,
    parts=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.version_option(__version__, prog_name="kew")
def kew() -> None:
    """A background task queue that runs inside your asyncio process.

    The commands see the store of --url or KEW_URL. Except for `kew worker`, they create no queue and run no task, so
    they are safe to use beside a running system.
    """
