"""URLs with passwords need not be on a command line, which other users of a machine can read."""

from collections.abc import Iterator

import attrs
import click
import pytest
from click.testing import CliRunner

from kew.cli import copy as copy_module
from kew.cli.commands import kew


@attrs.frozen
class Done:
    keys: int = 1
    entries: int = 1
    already_there: int = 0
    differing: tuple[str, ...] = ()


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The URLs of each copy."""
    seen = list[tuple[str, str]]()

    class Copying:
        def __init__(self, source: str, target: str, _namespace: str) -> None:
            seen.append((source, target))

        async def run(self, *, dry_run: bool) -> Done:
            return Done()

    monkeypatch.setattr(copy_module, "copying", Copying)
    return seen


def test_a_copy_takes_urls_of_the_environment_of_standard_input_or_of_both(
    copied: list[tuple[str, str]],
):
    both = {"KEW_COPY_FROM": "redis://:a@old", "KEW_COPY_TO": "redis://:b@new"}
    runs: tuple[tuple[list[str], dict[str, str], str], ...] = (
        (["copy"], both, ""),
        (["copy", "-", "-"], {}, "redis://:a@old\nredis://:b@new\n"),
        (["copy", "-"], {"KEW_COPY_TO": "redis://:b@new"}, "redis://:a@old\n"),
        (["copy", "redis://:a@old", "redis://:b@new"], {"KEW_COPY_TO": "redis://other"}, ""),
    )
    for arguments, env, text in runs:
        result = CliRunner().invoke(kew, arguments, input=text, env=env)
        assert result.exit_code == 0, result.output
        assert ":a@" not in result.output
    assert copied == [("redis://:a@old", "redis://:b@new")] * len(runs)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["copy"], "Missing argument 'FROM'"), (["copy", "-", "-"], "standard input has no line")],
)
def test_a_copy_without_urls_is_wrong_usage(
    copied: list[tuple[str, str]], arguments: list[str], said: str
):
    result = CliRunner().invoke(kew, arguments, input="\n")
    assert (result.exit_code, said in result.output) == (2, True), result.output
    assert copied == []


def commands() -> Iterator[click.Command]:
    context = click.Context(kew)
    for name in kew.list_commands(context):
        command = kew.get_command(context, name)
        assert command is not None
        yield command


def test_no_command_takes_a_url_by_an_option_alone():
    """Each option for a URL or a token has an environment variable."""
    bare = [
        (command.name, parameter.name)
        for command in commands()
        for parameter in command.params
        if parameter.name in {"url", "store", "token", "source", "target"}
        and not isinstance(parameter.type, click.Choice)
        and not parameter.envvar
    ]
    assert bare == []
