"""`kew metrics`: what it prints, and what it refuses before it listens."""

import json
import sys

import pytest
from click.testing import CliRunner

from kew.cli.commands import kew


def test_it_prints_the_dashboard_and_the_alerts():
    dashboard = CliRunner().invoke(kew, ["metrics", "--dashboard"])
    assert json.loads(dashboard.output)["title"] == "kew"
    alerts = CliRunner().invoke(kew, ["metrics", "--alerts"])
    assert alerts.output.startswith("# Alert rules")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--url", "memory://"], 2, "inside of one process"),
        (["--url", "localhost"], 2, "URL"),
        (["--url", "redis://127.0.0.1:1"], 4, "127.0.0.1:1"),
        (["--port", "70000"], 2, "70000"),
    ],
)
def test_what_it_cannot_serve_is_refused_with_a_reason(arguments, code, words):
    result = CliRunner().invoke(kew, ["metrics", *arguments])
    assert result.exit_code == code, result.output
    assert words in result.output


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("kew.metrics")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("kew.metrics", raising=False)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    result = CliRunner().invoke(kew, ["metrics"])
    assert result.exit_code == 2
    assert "pip install 'kew[prometheus]'" in result.output
