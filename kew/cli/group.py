"""Groups of commands: each command is loaded when it is needed, and a mistyped name gets a suggestion."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from kew.cli.exits import EPILOG
from kew.compat import override
from kew.domain.suggestions import did_you_mean

SYNONYMS = {
    "list": "ls",
    "remove": "rm",
    "delete": "rm",
    "get": "show",
    "info": "show",
    "reset": "close",
    "ps": "process",
    "workers": "process",
    "dead-letters": "dead",
    "dlq": "dead",
    "explain": "why",
    "retry": "replay",
    "follow": "watch",
}
"""What other programs call a command."""


class Group(click.Group):
    """A group whose unknown commands get a suggestion.

    `parts`: its commands that are loaded when they are needed, by name: "module:attribute".
    """

    def __init__(self, *args: Any, parts: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("epilog", EPILOG)
        super().__init__(*args, **kwargs)
        self._parts = dict(parts or {})

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.commands, *self._parts})

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self._parts:
            module, _, attribute = self._parts[cmd_name].partition(":")
            found = getattr(importlib.import_module(module), attribute)
            assert isinstance(found, click.Command)
            return found
        return super().get_command(ctx, cmd_name)

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            known = self.list_commands(ctx)
            also = {word: meant for word, meant in SYNONYMS.items() if meant in known}
            meant = did_you_mean(name, known, also)
            ctx.fail(f"there is no command {name!r}{meant or '; there are ' + ', '.join(known)}")
        return super().resolve_command(ctx, args)
