"""Proof that the simulation sees: each planted bug is found in the default mix, by an oracle of the right kind."""

import pytest

from kew.simulation.plan import draw_plan
from kew.simulation.simulation import simulate
from tests.simulation import bugs
from tests.simulation.bugs import BUGS, SEEDS, first_find, hinted, read_hints, save_hints, table

FEWEST = 25
HINTS = read_hints()


def test_there_are_enough_planted_bugs():
    assert len(BUGS) >= FEWEST


def test_what_a_bug_replaces_is_there():
    places = [(name, bug.owner, bug.attribute) for name, bug in BUGS.items()]
    assert [name for name, owner, attribute in places if attribute not in vars(owner)] == []


@pytest.mark.no_cover
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name, record_property):
    found = first_find(BUGS[name], hinted(name, HINTS))
    assert found is not None, f"{name} was not found"
    record_property("find", next(table({name: found})))
    assert found.oracle in BUGS[name].oracles, found.violation


def test_planting_a_bug_leaves_nothing_behind():
    before = simulate(draw_plan(1)).trace_hash
    with BUGS["nobody_is_woken"].planted():
        assert simulate(draw_plan(1)).trace_hash != before
    assert simulate(draw_plan(1)).trace_hash == before


def test_a_hint_only_spares_the_search_from_0():
    everything = list(range(SEEDS))
    assert list(hinted("a bug", {"a bug": 107})) == [107, *everything]
    assert list(hinted("a bug", {})) == everything
    assert list(hinted("a bug", {"a bug": SEEDS})) == everything, "a later seed is too late"


def test_saved_hints_replace_those_of_the_same_bugs(monkeypatch, tmp_path):
    monkeypatch.setattr(bugs, "HINTS", tmp_path / "hints.txt")
    bugs.HINTS.write_text("nobody_is_woken 6\nwhat_is_lost_is_failed 9\na_bug_of_the_past 1\n")
    save_hints({"what_is_lost_is_failed": 0})
    assert read_hints() == {"nobody_is_woken": 6, "what_is_lost_is_failed": 0}


@pytest.mark.parametrize(("arguments", "status"), [(["--help"], 0), (["no_such_bug"], 2)])
def test_help_and_a_wrong_name_look_for_no_bug(arguments, status, capsys):
    with pytest.raises(SystemExit) as ended:
        bugs.main(arguments)
    assert ended.value.code == status
    assert "usage: " in "".join(capsys.readouterr())
