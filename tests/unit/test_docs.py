"""What the documents copy from the code is equal to it."""

import inspect
import re
from pathlib import Path

import kew.exceptions
from kew import QueueConfig
from kew.domain.lifecycle import print_table

DOCS = Path(__file__).parents[2] / "docs"
PACKAGE = Path(kew.__file__).parent


def test_the_lifecycle_table_in_the_protocol_is_the_codes():
    text = (DOCS / "protocol.md").read_text()
    assert f"```text\n{print_table()}\n```" in text


def test_the_protocol_lists_every_error_that_callers_meet():
    text = (DOCS / "protocol.md").read_text()
    raised_by_users = {"Retry", "GiveUp"}
    missing = [name for name in kew.exceptions.__all__ if f"`{name}`" not in text]
    assert set(missing) - raised_by_users == set()


def test_the_architecture_names_every_service():
    text = (DOCS / "architecture.md").read_text()
    values = {"__init__", "context", "info", "ports", "process", "repeat", "runs", "spawning"}
    services = {path.stem for path in (PACKAGE / "app").glob("*.py")} - values
    assert {name for name in services if f"`{name}.py`" not in text} == set()


def test_the_architecture_names_nothing_that_is_not_there():
    text = (DOCS / "architecture.md").read_text()
    named = re.findall(r"^\| (`.*?`) \|", text, re.MULTILINE)
    modules = [name for cell in named for name in re.findall(r"(\w+\.py)", cell)]
    assert modules
    assert [name for name in modules if not (PACKAGE / "app" / name).exists()] == []


def test_the_defaults_that_the_documents_tell_are_the_codes():
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(QueueConfig).parameters.items()
    }
    told = {
        "lease": 15.0,
        "max_deliveries": 5,
        "task_ttl": 24 * 3600,
        "dead_letter_ttl": 30 * 24 * 3600,
        "max_circuit_breaker_failures": 3,
        "circuit_breaker_reset_timeout": 60,
        "circuit_breaker_probes": 1,
    }
    assert {name: defaults[name] for name in told} == told


def test_make_help_tells_of_every_command():
    text = (DOCS.parent / "Makefile").read_text()
    joined = text.replace("\\\n", "")
    [phony] = re.findall(r"^\.PHONY: (.*)$", joined, re.MULTILINE)
    told = "\n".join(re.findall(r"^#   (make .*)$", text, re.MULTILINE))
    missing = [name for name in phony.split() if not re.search(rf"make {name}(?![\w-])", told)]
    assert missing == ["help"]
