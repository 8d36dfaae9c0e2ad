"""The list of commands. A new command is a file in this folder, and a line here."""

from __future__ import annotations

import click

from kew import __version__
from kew.cli.breakers import breaker
from kew.cli.dead_letters import dead
from kew.cli.demo import demo
from kew.cli.doctor import doctor
from kew.cli.group import Group
from kew.cli.health import health
from kew.cli.processes import process
from kew.cli.queues import queue
from kew.cli.simulate import simulate
from kew.cli.stats import stats
from kew.cli.status import status, why
from kew.cli.tasks import task
from kew.cli.top import top
from kew.cli.web import web
from kew.cli.worker import worker


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.version_option(__version__, prog_name="kew")
def kew() -> None:
    """A background task queue that runs inside your asyncio process.

    The commands see the store of --url or KEW_URL. Except for `kew worker`, they create no queue and run no task, so
    they are safe to use beside a running system.
    """


kew.add_command(queue)
kew.add_command(task)
kew.add_command(dead)
kew.add_command(breaker)
kew.add_command(process)
kew.add_command(stats)
kew.add_command(top)
kew.add_command(doctor)
kew.add_command(status)
kew.add_command(why)
kew.add_command(demo)
kew.add_command(simulate)
kew.add_command(web)
kew.add_command(worker)
kew.add_command(health)
