"""`kew simulate`: what it prints, and its exit codes."""

import subprocess
import sys

import click.testing
import pytest

from kew.cli.commands import kew
from kew.simulation.lua import redis as lua_redis
from kew.simulation.shrinker import shrink
from tests.simulation.bugs import BUGS, read_hints


def command(*args: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(kew, ["simulate", *args])


def test_good_seeds_end_with_a_table_and_zero():
    result = command("--seeds", "3", "--jobs", "1")
    assert result.exit_code == 0, result.output
    assert "seeds               3" in result.output
    assert "violations          0" in result.output
    assert result.output.endswith("\nEvery promise was kept.\n")


def test_seeds_can_be_shared_between_processes():
    result = command("--seeds", "6", "--jobs", "2", "--workload", "results")
    assert result.exit_code == 0, result.output
    assert "seeds               6" in result.output


def test_a_time_is_as_good_as_a_number():
    result = command("--minutes", "0.01", "--jobs", "1")
    assert result.exit_code == 0, result.output
    assert "violations          0" in result.output


def test_what_the_mix_lacks_without_an_extra_is_said():
    program = (
        "import sys; sys.modules['uncalled_for'] = None; from kew.cli.commands import kew; "
        "kew(['simulate', '--seeds', '1', '--jobs', '1'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert (
        "\nleft out            sharing: it needs an extra (pip install 'kew[depends]')"
        in done.stdout
    )
    assert "left out" not in command("--seeds", "1", "--jobs", "1").output


def test_one_seed_is_told_line_by_line_with_its_hash():
    first, again = command("--seed", "5"), command("--seed", "5")
    assert first.exit_code == 0
    assert "trace hash" in first.output
    assert first.output == again.output
    assert any("submit" in line for line in first.output.splitlines())
    assert first.output.endswith("\nEvery promise was kept.\n")


@pytest.mark.no_cover
def test_a_broken_promise_is_one_with_a_replay_line_and_a_shrunk_recipe(monkeypatch):
    """How small a recipe becomes is a matter of test_shrinker.py."""
    monkeypatch.setattr(shrink, "__kwdefaults__", {"most_runs": 10})
    seed = str(read_hints()["what_is_lost_is_failed"])
    with BUGS["what_is_lost_is_failed"].planted():
        many = command("--first", seed, "--seeds", "1", "--jobs", "1")
        one = command("--seed", seed)
    for result in (many, one):
        assert result.exit_code == 1
        assert "VIOLATION of bounds" in result.output
        assert "replay: kew simulate --seed" in result.output
        assert "shrunk in" in result.output
        assert "Every promise" not in result.output


def test_only_the_faults_that_were_asked_for_happen():
    result = command("--seed", "5", "--faults", "kill,stall")
    assert result.exit_code == 0
    plan = next(line for line in result.output.splitlines() if line.startswith("plan"))
    assert "lost-reply" not in plan


@pytest.mark.parametrize(
    "args",
    [
        ("--faults", "earthquake"),
        ("--workload", "none"),
        ("--seeds", "0"),
        ("--seed", "-1"),
        ("--first", "-1"),
        ("--seed", "1", "--seeds", "2"),
        ("--seed", "1", "--minutes", "2"),
        ("--seed", "1", "--first", "0"),
    ],
)
def test_a_bad_option_is_two(args):
    assert command(*args).exit_code == 2


@pytest.mark.parametrize("which", [("--seed", "1"), ("--seeds", "2", "--jobs", "1")])
def test_without_the_redis_that_it_needs_one_line_says_what_to_install(which, monkeypatch):
    monkeypatch.setitem(sys.modules, "fakeredis", None)
    lua_redis._fakeredis.cache_clear()
    result = command("--store", "lua", *which)
    assert result.exit_code == 2
    assert result.output.count("\n") == 1
    assert "pip install 'kew[sim]'" in result.output
