"""`kew doctor`: whether the Redis is fit for kew, and whether the queues in it are sound."""

from __future__ import annotations

import click
from rich.text import Text

from kew.cli.exits import Exit
from kew.cli.output import one_line
from kew.cli.session import Session, json_option, on_store

STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red"}


@click.command()
@click.option("--repair", is_flag=True, help="Repair the queues that are not sound, now.")
@json_option
@on_store
async def doctor(session: Session, repair: bool) -> None:
    """Check the Redis, the clocks, and the indexes of all queues.

    It changes nothing unless --repair is given. It exits with 1 if a check failed.
    """
    diagnosis = await session.manager.diagnose(repair=repair)
    if session.out.as_json:
        session.out.json_lines(finding.to_dict() for finding in diagnosis.findings)
    else:
        for finding in diagnosis.findings:
            verdict = Text(f"{finding.verdict:<8}", style=STYLES[finding.verdict])
            session.out.line(verdict + one_line(f"{finding.name}: {finding.text}"))
            if finding.remedy:
                session.out.paragraph(f"to fix it: {finding.remedy}", indent=10)
    if not diagnosis.is_well:
        raise SystemExit(Exit.FAILED)
