"""A task uploads a report to a partner whose server is down over a long weekend, and is retried for days.

Run it: `python examples/stale_token.py`. Three simulated days pass in milliseconds. The first version gets its access
token at submit; when the server is back, the token has expired, and the upload fails. The second version gets a new
token in each attempt.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from kew import QueueConfig
from kew.testing import SimulatedManager, run

Job = Callable[[SimulatedManager, "Partner"], Awaitable[str]]
OUTAGE = timedelta(days=2, hours=18)


class Partner:
    """A fake of the partner's server. Its tokens are valid for an hour."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.up_at = now() + OUTAGE
        self.reports: list[str] = []

    def token(self) -> str:
        return (self.now() + timedelta(hours=1)).isoformat()

    async def upload(self, report: str, token: str) -> None:
        if self.now() < self.up_at:
            raise ConnectionError("no route to the partner")
        if self.now() > datetime.fromisoformat(token):
            raise PermissionError("the token has expired")
        self.reports.append(report)


async def token_at_submit(manager: SimulatedManager, partner: Partner) -> str:
    """Buggy: the token may expire before the task runs."""

    @manager.task(queue="reports")
    async def upload(report: str, token: str) -> None:
        await partner.upload(report, token)

    return (await upload.submit("May", partner.token())).task_id


async def token_in_attempt(manager: SimulatedManager, partner: Partner) -> str:
    """Fixed: each attempt gets its own token."""

    @manager.task(queue="reports")
    async def upload(report: str) -> None:
        await partner.upload(report, partner.token())

    return (await upload.submit("May")).task_id


def try_out(job: Job) -> list[str]:
    """Run a job over the long weekend. Returns the reports that arrived; raises the task's error if none did."""

    async def scenario(manager: SimulatedManager) -> list[str]:
        partner = Partner(manager.clock.now)
        config = QueueConfig(
            "reports", max_retries=9, retry_delay=600, give_up_on=(PermissionError,)
        )
        await manager.create_queue(config)
        task_id = await job(manager, partner)
        await manager.drain()
        if manager.tasks()[task_id].error and not partner.reports:
            raise manager.failures[-1].error
        return partner.reports

    return run(scenario)


def main() -> None:
    """Try both versions."""
    logging.getLogger("kew").setLevel(logging.ERROR)  # no traceback for each failed attempt
    jobs: list[Job] = [token_at_submit, token_in_attempt]
    for job in jobs:
        try:
            print(job.__name__, "- arrived:", try_out(job))
        except PermissionError as error:
            print(job.__name__, "- failed:", error)


if __name__ == "__main__":
    main()
