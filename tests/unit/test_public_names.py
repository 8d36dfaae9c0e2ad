"""`import kew` is quick: it loads the errors alone, and each other public name when it is used."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import kew
import kew.exceptions

SOURCE = Path(kew.__file__).read_text()
LOADED = "import sys; print(*sorted(sys.modules))"


def loaded_by(statement: str) -> set[str]:
    """The modules that a new interpreter has loaded after the statement."""
    program = [sys.executable, "-c", f"{statement}; {LOADED}"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def test_importing_kew_loads_the_errors_alone():
    loaded = loaded_by("import kew")
    assert {name for name in loaded if name.partition(".")[0] == "kew"} == {
        "kew",
        "kew.domain",
        "kew.domain.errors",
        "kew.domain.errors_in_tasks",
        "kew.domain.existing",
        "kew.domain.schedule_errors",
        "kew.domain.suggestions",
        "kew.exceptions",
        "kew.version",
    }
    assert not loaded & {"asyncio", "attr", "attrs", "inspect", "logging", "msgspec", "redis"}


def test_type_checkers_see_each_name_where_it_is_loaded_from():
    [block] = [
        node
        for node in ast.parse(SOURCE).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    seen = {
        str(line.module): tuple(alias.name for alias in line.names)
        for line in block.body
        if isinstance(line, ast.ImportFrom)
    }
    assert seen == kew._MODULES


@pytest.mark.parametrize("name", kew.__all__)
def test_a_public_name_is_the_object_that_its_module_has(name):
    home = import_module(kew._MODULE_OF.get(name, "kew.exceptions"))
    assert getattr(kew, name) is getattr(home, name)
    assert name in vars(kew)


def test_every_public_name_is_listed_once():
    assert sorted(kew.__all__) == sorted([*kew._MODULE_OF, *kew.exceptions.__all__])
    assert set(kew.__all__) <= set(dir(kew))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'kew' has no attribute 'TaskQueueManger'"):
        kew.TaskQueueManger  # type: ignore[attr-defined] # noqa: B018 - reading it is the test
    with pytest.raises(ImportError, match="cannot import name 'TaskQueueManger' from 'kew'"):
        from kew import TaskQueueManger  # type: ignore[attr-defined] # noqa: F401
