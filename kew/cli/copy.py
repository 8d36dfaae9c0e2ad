"""`kew copy`: a namespace from one Redis to another."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import attrs
import click

from kew.bootstrap import DEFAULT_NAMESPACE, copying
from kew.cli.exits import EPILOG, Exit, code_of
from kew.cli.output import Output
from kew.cli.session import dry_run_option, fail, json_option
from kew.domain.errors import TaskQueueError


def url_given(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """The URL; for "-", a line of the standard input."""
    if value != "-":
        return value
    line = sys.stdin.readline().strip()
    if not line:
        raise click.BadParameter("standard input has no line for it", context, parameter)
    return line


@click.command(epilog=EPILOG)
@click.argument("source", metavar="FROM", envvar="KEW_COPY_FROM", callback=url_given)
@click.argument("target", metavar="TO", envvar="KEW_COPY_TO", callback=url_given)
@click.option(
    "--namespace",
    envvar="KEW_NAMESPACE",
    default=DEFAULT_NAMESPACE,
    metavar="NAME",
    help=f"The namespace to copy [KEW_NAMESPACE; default: {DEFAULT_NAMESPACE}].",
)
@dry_run_option
@json_option
def copy(source: str, target: str, namespace: str, dry_run: bool, as_json: bool) -> None:
    """Copy a namespace from one Redis or Cluster to another, and compare both.

    FROM and TO are URLs. Other users of the machine can see them on the command line: if they have passwords, leave
    both out, and set KEW_COPY_FROM and KEW_COPY_TO; or give - to read one from a line of the standard input.

    Stop all processes of the namespace first: nothing is copied while one
    listens. TO must not contain the namespace, except for an interrupted copy, which is then resumed.
    FROM stays as it is; remove the namespace there when you no longer need it.
    """
    out = Output(as_json=as_json)
    try:
        done = asyncio.run(copying(source, target, namespace).run(dry_run=dry_run))
    except TaskQueueError as error:
        fail(error, code_of(error))
    except KeyboardInterrupt:
        raise SystemExit(Exit.INTERRUPTED) from None
    if as_json:
        facts: dict[str, Any] = attrs.asdict(done)
        out.json(facts)
    else:
        keys = f"{done.keys:,} keys with {done.entries:,} entries"
        verb = "would be copied" if dry_run else "are the same in both"
        if not done.differing:
            out.line(f"{keys} {verb}; {done.already_there:,} entries were there already")
    if done.differing:
        named = ", ".join(done.differing[:10])
        fail(
            f"{len(done.differing)} of {done.keys} keys differ ({named}): something changed them meanwhile; "
            "remove them from TO and repeat the copy",
            Exit.FAILED,
        )
