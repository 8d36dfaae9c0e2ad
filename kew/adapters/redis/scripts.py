"""The Lua scripts: read from package data, put together with their includes, and bound to names.

A script's head comment is its contract and its binding at once: `-- KEYS:` names the keys (the script sees
them in capitals), `-- ARGV:` the arguments (`name`, `name:int`, and last `name*`, whose first index the script
sees as `name_from`). What Python passes is checked against these names before it reaches Redis. A key or argument that
a script never uses, put together as it is, is not passed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Final

import attrs

Argument = bytes | str | int
NAMES: Final = (
    *("declare", "announce", "depart", "submit", "claim", "settle", "extend", "sweep"),
    *("find", "watch", "running", "cancel", "replay", "control", "status", "purge"),
)
ALONE: Final = {"submit_alone": "submit", "settle_alone": "settle"}  # the same without a claim
COMMENT: Final = re.compile(r"--.*")
FUNCTION: Final = re.compile(
    r"^local function (\w+)(?:[^\n]* end|[^\n]*\n(?:(?:[^\ne][^\n]*)?\n)*?end)$\n?", re.MULTILINE
)


@attrs.frozen(kw_only=True)
class Script:
    """One operation: its text, and the names of what it is called with."""

    name: str
    text: str
    sha: str
    keys: tuple[str, ...]
    arguments: tuple[str, ...]
    numbers: frozenset[str]
    takes_rest: bool

    def bind(self, rest: Sequence[Argument], named: Mapping[str, Argument]) -> list[Argument]:
        """The arguments in the script's order; `TypeError` for any that is missing, unknown or no number."""
        if len(named) != len(self.arguments) or (rest and not self.takes_rest):
            raise TypeError(f"{self.name} takes {self.arguments}, not {tuple(named)}")
        try:
            bound = [named[name] for name in self.arguments]
        except KeyError as error:
            raise TypeError(f"{self.name} lacks the argument {error}") from None
        for name in self.numbers:
            if type(named[name]) is not int:
                raise TypeError(f"{self.name}: {name} must be an int, not {named[name]!r}")
        bound += rest
        return bound


class Scripts:
    """All scripts, by name. `replaced` swaps includes (a test's clock); `header=False` leaves the `#!lua` line out."""

    def __init__(self, replaced: Mapping[str, str] | None = None, *, header: bool = True) -> None:
        self._replaced = dict(replaced or {})
        self._header = header
        alone = {**self._replaced, "claim": _read("include/no_claim.lua")}
        self._scripts = {name: self._build(name, self._replaced) for name in NAMES}
        self._scripts |= {name: self._build(whole, alone) for name, whole in ALONE.items()}

    def __getitem__(self, name: str) -> Script:
        return self._scripts[name]

    def _build(self, name: str, replaced: Mapping[str, str]) -> Script:
        source = _read(f"{name}.lua")
        head, _, body = source.partition("\n")
        text = _reached("\n".join([*_included(body, replaced, set()), body]))
        words = set(re.findall(r"\w+", COMMENT.sub("", text)))
        keys = tuple(key for key in _declared(source, "KEYS") if key.upper() in words)
        arguments = _declared(source, "ARGV")
        rest = [argument for argument in arguments if argument.endswith("*")]
        plain = [each for each in arguments if each not in rest and each.partition(":")[0] in words]
        text = "\n".join([*([head] if self._header else []), *_bindings(keys, plain, rest), text])
        return Script(
            name=name,
            text=text,
            sha=hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(),
            keys=keys,
            arguments=tuple(argument.partition(":")[0] for argument in plain),
            numbers=frozenset(a.partition(":")[0] for a in plain if a.endswith(":int")),
            takes_rest=bool(rest),
        )


@cache
def genuine_scripts() -> Scripts:
    """All scripts as they are. Putting them together takes 20 ms, in which an event loop stands still: once will do."""
    return Scripts()


def _included(source: str, replaced: Mapping[str, str], seen: set[str]) -> list[str]:
    """The includes that `source` asks for, each once, those they ask for before them."""
    texts: list[str] = []
    for name in re.findall(r"^-- include: (\w+)$", source, re.MULTILINE):
        if name not in seen:
            seen.add(name)
            text = replaced.get(name) or _read(f"include/{name}.lua")
            texts += [*_included(text, replaced, seen), text]
    return texts


def _reached(text: str) -> str:
    """The script without the functions that it never calls: making one costs time on every call of the script."""
    functions = {found[1]: found[0] for found in FUNCTION.finditer(text)}
    reached, frontier = set[str](), FUNCTION.sub("", text)
    while (
        names := set(re.findall(r"(?<![.\w])\w+", COMMENT.sub("", frontier)))
        & functions.keys() - reached
    ):
        reached |= names
        frontier = "\n".join(functions[name] for name in names)
    return FUNCTION.sub(lambda found: found[0] if found[1] in reached else "", text)


def _read(path: str) -> str:
    return (resources.files(__package__) / "lua" / path).read_text(encoding="utf-8")


def _declared(source: str, word: str) -> list[str]:
    found = re.search(rf"^-- {word}:(.*)$", source, re.MULTILINE)
    assert found, f"a script without a line {word}"
    return found[1].split()


def _bindings(keys: Sequence[str], arguments: Sequence[str], rest: Sequence[str]) -> list[str]:
    """The lines of Lua that give the keys and arguments their names."""
    lines = [f"local {key.upper()} = KEYS[{n}]" for n, key in enumerate(keys, 1)]
    for n, argument in enumerate(arguments, 1):
        name, _, kind = argument.partition(":")
        value = f"tonumber(ARGV[{n}])" if kind == "int" else f"ARGV[{n}]"
        lines.append(f"local {name} = {value}")
    lines += [f"local {name[:-1]}_from = {len(arguments) + 1}" for name in rest]
    return lines
