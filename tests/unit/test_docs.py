"""What the documents copy from the code is equal to it."""

import enum
import inspect
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import kew.exceptions
from kew import QueueConfig, TaskQueueManager
from kew.domain.config import DAY
from kew.domain.lifecycle import print_table

DOCS = Path(__file__).parents[2] / "docs"
README = DOCS.parent / "README.md"
PACKAGE = Path(kew.__file__).parent


def test_the_lifecycle_table_in_the_protocol_is_the_codes():
    text = (DOCS / "protocol.md").read_text()
    assert f"```text\n{print_table()}\n```" in text


def test_the_protocol_lists_every_error_that_callers_meet():
    text = (DOCS / "protocol.md").read_text()
    raised_by_users = {"Retry", "Snooze", "RateLimited", "GiveUp"}
    missing = [name for name in kew.exceptions.__all__ if f"`{name}`" not in text]
    assert set(missing) - raised_by_users == set()


def services() -> dict[str, set[str]]:
    """The modules of kew/app, by their folder."""
    found: dict[str, set[str]] = {}
    for path in (PACKAGE / "app").rglob("*.py"):
        if path.name != "__init__.py":
            found.setdefault(path.relative_to(PACKAGE.parent).parent.as_posix(), set()).add(
                path.name
            )
    return found


def test_the_architecture_names_every_service_in_its_wing():
    text = (DOCS / "architecture.md").read_text()
    named: dict[str, set[str]] = {}
    for part in re.split(r"^(?=\*\*\w+\*\* \(`)", text, flags=re.MULTILINE)[1:]:
        [folder] = re.findall(r"^\*\*\w+\*\* \(`([\w/]+)`\)", part)
        cells = re.findall(r"^\| (`.*?`) \|", part, re.MULTILINE)
        named[folder] = {name for cell in cells for name in re.findall(r"(\w+\.py)", cell)}
    assert named == services()


@pytest.mark.parametrize("of", [QueueConfig, TaskQueueManager])
def test_the_settings_in_the_reference_are_the_codes(of):
    text = (DOCS / "reference.md").read_text()
    [table] = re.findall(rf"^### Options of `{of.__name__}`\n\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = re.findall(r"^\| ([^|]*) \| ([^|]*) \|", table, re.MULTILINE)
    written = {
        name: default.strip("`")
        for names, default in rows
        for name in re.findall(r"`(\w+)`", names)
    }
    assert written == defaults_of(of)


def test_the_defaults_in_the_readme_are_the_codes():
    [table] = re.findall(r"^\| `QueueConfig` \|.*\n((?:\|.*\n)+)", README.read_text(), re.MULTILINE)
    written = re.findall(r"`(\w+)=(.*?)`", table)
    assert len(written) == len(dict(written))
    defaults = defaults_of(QueueConfig)
    assert dict(written).items() <= defaults.items()
    in_force = {name for name, default in defaults.items() if default not in ("None", "()", "0")}
    assert in_force - {"name"} <= dict(written).keys(), (
        "a setting that is on needs no word of a user"
    )


def defaults_of(of: type) -> dict[str, str]:
    parameters = inspect.signature(of).parameters.values()
    return {one.name: as_written(one.default) for one in parameters}


def as_written(default: object) -> str:
    match default:
        case inspect.Parameter.empty:
            return "required"
        case type():
            return default.__name__
        case (type(),):
            return f"({default[0].__name__},)"
        case enum.Enum():
            return default.name
        case str():
            return f'"{default}"'
        case float() if default >= DAY:
            return f"{default:.0f}"
    return repr(default)


def test_the_defaults_that_the_documents_name_are_the_codes():
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(QueueConfig).parameters.items()
    }
    named = {
        "lease": 15.0,
        "max_deliveries": 5,
        "task_ttl": 24 * 3600,
        "dead_letter_ttl": 30 * 24 * 3600,
        "max_circuit_breaker_failures": 3,
        "circuit_breaker_reset_timeout": 60,
        "circuit_breaker_probes": 1,
    }
    assert {name: defaults[name] for name in named} == named


def test_make_help_lists_every_command():
    text = (DOCS.parent / "Makefile").read_text()
    joined = text.replace("\\\n", "")
    [phony] = re.findall(r"^\.PHONY: (.*)$", joined, re.MULTILINE)
    told = "\n".join(re.findall(r"^#   (make .*)$", text, re.MULTILINE))
    missing = [name for name in phony.split() if not re.search(rf"make {name}(?![\w-])", told)]
    assert missing == ["help"]


def commands_of(*words: str) -> str:
    """What `make` would run in a fresh clone, without running it."""
    make = shutil.which("make")
    assert make is not None
    absent = "VENV=.no-such-environment"
    done = subprocess.run(
        [make, "--dry-run", absent, *words],
        cwd=DOCS.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_demo_installs_no_development_tools():
    assert "'.[cli]'" in commands_of("demo")
    assert "dev" not in re.findall(r"--editable '.*?'", commands_of("demo"))[0]
    assert "'.[all,dev]'" in commands_of("unit")
