"""A file in `kew/domain/gates` is a gate that is listed there; what belongs to it has its name, and no other list."""

from importlib import resources
from pathlib import Path

import attrs
import pytest

from kew.domain import gates
from kew.domain.config import Settings
from kew.domain.explaining import Code
from kew.domain.gates import GATES
from kew.domain.gates.gate import Gate
from kew.simulation.features import settings_to_draw
from kew.simulation.oracles import holds
from tests.simulation.bugs import BUGS

HERE = Path(gates.__file__).parent
LUA = resources.files("kew.adapters.redis") / "lua/include"
OF_KEYS = {"keys": "keyed_taking.lua", "key_rate": "keyed_limits.lua"}  # each queue has many lines


def test_each_file_is_a_gate_of_its_name():
    files = {path.stem for path in HERE.glob("*.py")} - {"__init__", "fold", "gate"}
    assert files == {gate.name for gate in GATES}
    assert {gate.name: type(gate).__module__ for gate in GATES} == {
        name: f"kew.domain.gates.{name}" for name in files
    }


def test_sharing_divides_what_all_limits_of_the_queue_leave():
    names = [gate.name for gate in GATES]
    of_tasks = {gate.name for gate in GATES if not _answers(gate, "room")}
    assert set(names[names.index("sharing") + 1 :]) == of_tasks


@pytest.mark.parametrize("name", [gate.name for gate in GATES])
def test_each_gate_has_its_lua(name):
    assert (LUA / OF_KEYS.get(name, f"gates/{name}.lua")).is_file()


def test_lua_has_no_gate_that_the_domain_lacks():
    files = {path.name.removesuffix(".lua") for path in (LUA / "gates").iterdir()}
    assert files == {gate.name for gate in GATES} - OF_KEYS.keys()


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.name)
def test_each_gate_explains_what_it_holds_back(gate):
    assert _answers(gate, "explain")


def test_each_gate_that_limits_a_queue_is_skipped_by_a_planted_bug():
    patched = {one.owner for one in BUGS.values()}
    assert {type(gate) for gate in GATES if _answers(gate, "room")} <= patched


def test_what_holds_a_whole_queue_back_has_a_condition_of_its_own():
    assert {Code.PAUSED, Code.QUEUE_SNOOZED} <= holds().keys()


def test_settings_that_a_feature_names_are_drawn_and_exist():
    assert settings_to_draw().keys() <= attrs.fields_dict(Settings).keys()
    assert all(getattr(Settings(), name) in values for name, values in settings_to_draw().items())


def _answers(gate: Gate, question: str) -> bool:
    return getattr(type(gate), question) is not getattr(Gate, question)
