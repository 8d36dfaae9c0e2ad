"""Who changes something, and why: the store keeps it beside the change."""

from __future__ import annotations

import getpass
import socket
from typing import Any

import click

from kew.cli.screen import printable
from kew.domain.holding import LONGEST_NOTE


def note_option(function: Any) -> Any:
    """The option --note."""
    return click.option(
        "--note", default="", help="Why, in one line: the queue's status shows it, with your name."
    )(function)


def operator() -> str:
    """Who runs the command: "ada@ops-1"."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no such user, as in a container
        user = "unknown"
    return printable(f"{user}@{socket.gethostname()}")


def signed(note: str) -> str:
    """The note with the name of who gives it: "ada@ops-1: upstream is down"."""
    who = operator()
    return f"{who}: {note}"[:LONGEST_NOTE] if note else who
