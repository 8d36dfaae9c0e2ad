"""`kew web`: what it refuses before it listens."""

import pytest
from click.testing import CliRunner

from kew.cli.commands import kew


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "set KEW_WEB_TOKEN"),
        (["--host", "example.org"], "set KEW_WEB_TOKEN"),
        (["--host", "0.0.0.0", "--token", "short"], "a token has 16 or more"),
        (["--token", ""], "a token has 16 or more"),
        (["--url", "localhost"], "URL"),
        (["--url", "memory://", "--namespace", "a b"], "namespace"),
    ],
)
def test_what_is_unsafe_or_invalid_is_refused_before_it_listens(monkeypatch, arguments, words):
    monkeypatch.setattr("uvicorn.Server.run", None)
    result = CliRunner().invoke(kew, ["web", *arguments], env={"KEW_WEB_TOKEN": None})
    assert result.exit_code == 2
    assert result.output.count("\n") == 1
    assert words in result.output


@pytest.mark.parametrize("arguments", [[], ["--host", "::1"], ["--host", "localhost"]])
def test_on_this_machine_alone_it_needs_no_token(monkeypatch, arguments):
    served = []
    monkeypatch.setattr("uvicorn.Server.run", lambda server: served.append(server.config))
    result = CliRunner().invoke(kew, ["web", *arguments], env={"KEW_WEB_TOKEN": None})
    assert result.exit_code == 0, result.output
    assert served[0].host in ("127.0.0.1", "::1", "localhost")
