"""The scripts' texts against what Python makes of them, without a Redis."""

import re
from importlib import resources
from pathlib import Path

import pytest

from kew.adapters.redis.keys import OF_NAMESPACE, OF_QUEUE, Keys
from kew.adapters.redis.scripts import ALONE, NAMES, Scripts
from kew.domain.errors import InvalidConfigError
from kew.domain.lifecycle import lost_at_most_once, lost_too_often
from tests.support.tasks import task

LUA = Path(str(resources.files("kew.adapters.redis") / "lua"))
SCRIPTS = Scripts()
KEY_NAMES = {name.upper() for name in OF_NAMESPACE | OF_QUEUE}
DERIVED = {"functions", "lanes", "parked"}


def test_every_script_file_is_loaded():
    assert sorted(NAMES) == sorted(path.stem for path in LUA.glob("*.lua"))


def test_every_include_is_included():
    used = {
        name
        for path in LUA.rglob("*.lua")
        for name in re.findall(r"^-- include: (\w+)$", path.read_text(), re.MULTILINE)
    }
    instead = {"no_claim"}  # of `claim`, in the scripts that are sent without one
    assert used | instead == {path.stem for path in (LUA / "include").glob("*.lua")}


@pytest.mark.parametrize(("alone", "whole"), ALONE.items())
def test_a_script_without_a_claim_needs_some_of_what_the_one_with_it_needs(alone: str, whole: str):
    assert set(SCRIPTS[alone].keys) < set(SCRIPTS[whole].keys)
    assert set(SCRIPTS[alone].arguments) < set(SCRIPTS[whole].arguments)


@pytest.mark.parametrize("name", [*NAMES, *ALONE])
def test_a_script_has_no_function_that_it_never_calls(name: str):
    text = re.sub(r"--.*", "", SCRIPTS[name].text)
    for function in re.findall(r"^local function (\w+)", text, re.MULTILINE):
        assert len(re.findall(rf"(?<![.\w]){function}\b", text)) > 1, function


@pytest.mark.parametrize("name", NAMES)
def test_a_script_declares_the_keys_that_it_uses_and_no_other_exists(name: str):
    script = SCRIPTS[name]
    assert set(script.keys) <= OF_NAMESPACE | OF_QUEUE
    used = set(re.findall(r"\b[A-Z]+[123]?\b", re.sub(r"--.*", "", script.text))) & KEY_NAMES
    assert used == {key.upper() for key in script.keys}


@pytest.mark.parametrize("name", NAMES)
def test_a_script_uses_every_argument_that_it_takes(name: str):
    script = SCRIPTS[name]
    for argument in script.arguments:
        assert len(re.findall(rf"\b{argument}\b", script.text)) > 1, argument


@pytest.mark.parametrize("name", NAMES)
def test_a_script_reads_the_clock_at_most_once_and_no_library_that_redis_may_lack(name: str):
    text = SCRIPTS[name].text
    assert len(re.findall(r"clock_ms\(\)", re.sub(r"function clock_ms\(\)", "", text))) <= 1
    assert not re.search(r"\b(cmsgpack|struct|bit|cjson)\.", text)
    assert not re.search(r"call\('(KEYS|SCAN|EXPIRE|PEXPIRE)'", text)


@pytest.mark.parametrize("name", NAMES)
def test_a_script_has_a_head_line_with_flags_and_a_contract(name: str):
    source = (LUA / f"{name}.lua").read_text()
    assert source.startswith("#!lua")
    for word in ("-- KEYS:", "-- ARGV:", "-- Reply:"):
        assert word in source


def test_what_drains_a_queue_passes_when_redis_is_full():
    allowed = {name for name in NAMES if "allow-oom" in SCRIPTS[name].text.splitlines()[0]}
    begins = {"declare", "announce"}  # else a process that was restarted could drain nothing
    assert {"claim", "settle", "extend", "sweep", "depart", "cancel", "watch"} | begins <= allowed
    assert not {"submit", "replay"} & allowed


def test_a_head_line_can_be_left_out():
    assert not Scripts(header=False)["claim"].text.startswith("#!")


def test_a_wrong_call_fails_before_it_reaches_redis():
    depart, claim = SCRIPTS["depart"], SCRIPTS["claim"]
    with pytest.raises(TypeError, match="depart takes"):
        depart.bind((), {})
    with pytest.raises(TypeError, match="lacks the argument 'incarnation'"):
        depart.bind((), {"process": "w1"})
    with pytest.raises(TypeError, match="depart takes"):
        depart.bind(["more"], {"incarnation": "w1"})
    wrong: dict[str, str | int | bytes] = dict.fromkeys(claim.arguments, "text")
    with pytest.raises(TypeError, match="must be an int"):
        claim.bind((), wrong)


def test_errors_that_lua_writes_are_the_domains():
    lost = task(attempt=3)
    texts = {
        name: SCRIPTS[name].text.replace("\n      .. ", " .. ") for name in ("claim", "settle")
    }
    for text in texts.values():
        assert f"'{lost_at_most_once(lost)}'".replace("3", "' .. t.attempt .. '") in text
    often = f"'{lost_too_often(7)}'".replace("7", "' .. t.losses .. '")
    assert often.replace("'' .. ", "") in texts["claim"].replace("\n", "")


def test_all_keys_of_a_queue_share_its_hash_tag():
    keys = Keys("kew")
    for part in OF_QUEUE:
        assert keys.key(part, "orders").startswith("kew:{orders}:")
    assert {keys.key(part) for part in OF_NAMESPACE} == {"kew:tasks", "kew:queues"}


@pytest.mark.parametrize("queue", ["a}b", "{a}", "", "a b", "a:b", "é", "x" * 65])
def test_a_queue_that_could_change_a_keys_meaning_is_no_key(queue: str):
    with pytest.raises(InvalidConfigError):
        Keys("kew").key("state", queue)


def test_an_unknown_part_is_no_key():
    with pytest.raises(ValueError, match="no key is called"):
        Keys("kew").key("statte", "orders")


def test_the_documented_rights_are_the_commands_that_the_scripts_use():
    page = Path(__file__).parents[4] / "docs" / "redis.md"
    line = next(line for line in page.read_text().splitlines() if line.startswith("ACL SETUSER"))
    granted = set(re.findall(r"\+(\S+)", line))
    text = "\n".join(path.read_text() for path in LUA.rglob("*.lua"))
    used = {c.lower() for c in re.findall(r"(?:call|send|remove)\('([A-Z]+)'", text)}
    by_python = {"info", "select", "subscribe", "eval", "evalsha", "hmget", "smembers"}
    assert granted == used | by_python
