"""The command line as a test types it: `await kew("queue", "ls", url=url)`."""

import asyncio
import json
from typing import Any

import attrs
from click.testing import CliRunner

from kew.cli.commands import kew as program

SECONDS = 60.0


@attrs.frozen
class Printed:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its only line of JSON."""
        [value] = self.lines
        return value

    @property
    def lines(self) -> list[Any]:
        """Its lines of JSON."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def words(self) -> str:
        """All it printed, with one blank between two words."""
        return " ".join(f"{self.out} {self.err}".split())


async def kew(*arguments: str, url: str = "", answer: str | None = None, **environ: str) -> Printed:
    """Run a command in a thread, as the test's own manager lives in this event loop."""
    words = [*arguments, *(["--url", url] if url else [])]

    def invoke() -> Printed:
        result = CliRunner().invoke(program, words, input=answer, env=environ)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Printed(result.exit_code, result.stdout, result.stderr)

    async with asyncio.timeout(SECONDS):
        return await asyncio.to_thread(invoke)
