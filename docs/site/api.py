"""Writes docs/api.md: every public name of kew with its signature, its defaults and its docstring.

`make reference` runs it; a test fails if the page isn't what it would write.
"""

from __future__ import annotations

import enum
import functools
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import MemberDescriptorType, ModuleType
from typing import Any, is_typeddict

import click

import kew
from kew.app.registered import Options
from kew.cli import commands
from kew.compat import is_like_async
from kew.functions import Overrides

PAGE = Path(__file__).parents[1] / "api.md"
MODULES = ("kew", "kew.testing", "kew.web", "kew.metrics", "kew.tracing")
LENGTH = 88
FRONT = """\
# API

Every public name with its signature, its defaults and its docstring, and every command. `make reference` writes this
page from the code. The [reference](reference.md) explains the same names by topic.

<!-- api: written by make reference -->

"""
END = "\n<!-- end of api -->\n"


def page() -> str:
    parts = [part for name in MODULES for part in _module(importlib.import_module(name))]
    return FRONT + "\n\n".join([*parts, *_typed_options(), *_commands()]) + "\n" + END


def _module(module: ModuleType) -> Iterator[str]:
    yield f"## {module.__name__}"
    if module.__name__ != "kew":
        yield inspect.getdoc(module) or ""
    for name in module.__all__:
        yield from _name(name, getattr(module, name))


def _name(name: str, value: Any) -> Iterator[str]:
    yield f"### {name}"
    if not isinstance(value, type):
        yield _code(_signature(name, value) if callable(value) else f"{name} = {_value(value)}")
        if callable(value):
            yield _doc(value)
        return
    if issubclass(value, BaseException) or issubclass(value, enum.Enum) or _is_protocol(value):
        bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
        yield _code(f"class {name}({bases})")
    else:
        yield _code(_signature(name, value))
    yield _doc(value)
    if issubclass(value, enum.Enum):
        yield "\n".join(f"- `{one.name}` = `{one.value!r}`" for one in value)
    elif not issubclass(value, BaseException):
        for of, member in _members(value):
            yield from _member(name, of, member)


def _is_protocol(kind: type) -> bool:
    return bool(getattr(kind, "_is_protocol", False))


def _members(kind: type) -> Iterator[tuple[str, object]]:
    """Its public methods and properties by name; not those that it has of a class with a section of its own."""
    found: dict[str, object] = {}
    elsewhere: set[str] = set()
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("kew"):
            names = {name: one for name, one in vars(base).items() if not name.startswith("_")}
            found |= names
            if base is not kind and getattr(kew, base.__name__, None) is base:
                elsewhere |= set(found)
    for name in elsewhere:
        del found[name]
    for name in sorted(found):
        if not isinstance(found[name], MemberDescriptorType) and _is_described(found[name]):
            yield name, found[name]


def _is_described(member: object) -> bool:
    kinds = (property, functools.cached_property, staticmethod, classmethod)
    return isinstance(member, kinds) or inspect.isfunction(member)


def _member(owner: str, name: str, member: Any) -> Iterator[str]:
    yield f"#### {owner}.{name}"
    if isinstance(member, property | functools.cached_property):
        getter = member.fget if isinstance(member, property) else member.func
        returned = inspect.signature(getter).return_annotation  # type: ignore[arg-type]
        yield _code(f"{name}: {_annotation(returned)}")
    else:
        yield _code(_signature(name, getattr(member, "__func__", member)))
    yield _doc(member)


def _signature(name: str, value: Any) -> str:
    """One line or, if it is long, a line for each parameter."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return f"class {name}"
    prefix = "async def " if is_like_async(value) else ""
    prefix = prefix or ("class " if isinstance(value, type) else "def ")
    parameters = [one for one in signature.parameters.values() if one.name not in ("self", "cls")]
    returned = signature.return_annotation
    end = (
        ""
        if isinstance(value, type) or returned is signature.empty
        else f" -> {_annotation(returned)}"
    )
    words = list(_parameters(parameters))
    line = f"{prefix}{name}({', '.join(words)}){end}"
    if len(line) <= LENGTH:
        return line
    return f"{prefix}{name}(\n" + "".join(f"    {word},\n" for word in words) + f"){end}"


def _parameters(parameters: list[inspect.Parameter]) -> Iterator[str]:
    starred = False
    for one in parameters:
        if one.name.startswith("_") and one.kind is one.POSITIONAL_ONLY:
            continue
        if one.kind is one.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        stars = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
        starred = starred or stars == "*"
        typed = "" if one.annotation is one.empty else f": {_annotation(one.annotation)}"
        given = "" if one.default is one.empty else f" = {_value(one.default)}"
        yield f"{stars}{one.name}{typed}{given}"


def _annotation(annotation: object) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:[a-z_]\w*\.)+(?=\w)", "", text.strip("'"))


def _value(value: object) -> str:
    match value:
        case enum.Enum():
            return f"{type(value).__name__}.{value.name}"
        case type():
            return value.__name__
        case tuple():
            inner = ", ".join(map(_value, value))
            return f"({inner},)" if len(value) == 1 else f"({inner})"
        case float() if value.is_integer():
            return f"{value:.1f}"
    text = repr(value)
    return "..." if " object at 0x" in text or text.startswith("<") else text


def _doc(value: object) -> str:
    text = inspect.getdoc(value) or ""
    return re.sub(
        r"(?m)^(?!- )(.+)\n(?=- )", r"\1\n\n", text
    )  # Markdown's lists begin after an empty line


def _code(text: str) -> str:
    return f"```py\n{text}\n```"


def _typed_options() -> Iterator[str]:
    yield "## Options"
    for title, kind, meaning in (
        ("@manager.task", Options, "An option that you leave out is the queue's."),
        ("f.options", Overrides, "None is as good as leaving an option out."),
    ):
        assert is_typeddict(kind)
        yield f"### Options of `{title}`"
        fields = [f"{name}: {_annotation(one)}" for name, one in _fields(kind)]
        yield _code("\n".join(fields))
        yield meaning


def _fields(kind: type) -> Iterator[tuple[str, str]]:
    for name, one in kind.__annotations__.items():
        yield name, getattr(one, "__forward_arg__", one)


def _commands() -> Iterator[str]:
    yield "## Commands"
    yield from _command("kew", commands.kew)


def _command(path: str, command: click.Command) -> Iterator[str]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _command(f"{path} {name}", below)
        return
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    yield f"### {path}"
    words = [path, *(_argument(one) for one in arguments)]
    yield f"```text\n{' '.join(words)}\n```"
    yield from map(_paragraph, inspect.cleandoc(command.help or "").split("\n\n"))
    options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    if options:
        rows = [
            f"| `{', '.join(one.opts)}` | {_default(one)} | {_cell(one.help)} |" for one in options
        ]
        yield "\n".join(["| option | default | meaning |", "| --- | --- | --- |", *rows])


def _paragraph(text: str) -> str:
    """Click prints a paragraph that begins with a backspace as it stands."""
    text = text.strip("\n")
    return f"```text\n{text[2:]}\n```" if text.startswith("\b\n") else text


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


def _argument(one: click.Argument) -> str:
    name = (one.metavar or one.name or "").upper()
    return f"{name}{'...' if one.nargs != 1 else ''}" if one.required else f"[{name}]"


def _default(option: click.Option) -> str:
    default = option.default
    if option.is_flag or default is None or "UNSET" in repr(default) or default == ():
        return ""
    return f"`{default}`"


if __name__ == "__main__":
    PAGE.write_text(page())
