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
            return _loaded(cmd_name, self._parts[cmd_name])
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


def _loaded(name: str, place: str) -> click.Command:
    """The command at "module:attribute" or, if a module of an extra is missing, one that says which."""
    module, _, attribute = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as missing:
        if str(missing.name).partition(".")[0] == "kew":
            raise
        return _refusing(name, str(missing.name))
    assert isinstance(found, click.Command)
    return found


def _refusing(name: str, module: str) -> click.Command:
    reason = (
        f"`kew {name}` needs the module {module!r}, which is not installed: pip install 'kew[all]'"
    )

    @click.command(
        name,
        short_help=f"(needs the module {module})",
        add_help_option=False,
        context_settings={"ignore_unknown_options": True},
    )
    @click.argument("_", nargs=-1, type=click.UNPROCESSED)
    def refuse(_: tuple[str, ...]) -> None:
        raise click.UsageError(reason)

    return refuse
