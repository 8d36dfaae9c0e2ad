"""The library's text against what Python makes of it, without a Redis."""

import re
from importlib import resources
from pathlib import Path

import pytest

from kew.adapters.redis.keys import OF_NAMESPACE, OF_QUEUE, Keys
from kew.adapters.redis.library import NAMES, Library, Operation
from kew.domain.errors import InvalidConfigError
from kew.domain.transitions import lost_at_most_once, lost_too_often, never_started
from tests.support.tasks import task

LUA = Path(str(resources.files("kew.adapters.redis") / "lua"))
LIBRARY = Library()
OPERATIONS = list(LIBRARY)
ALONE = [one for one in OPERATIONS if one.name.endswith("_alone")]
FUNCTION = re.compile(
    r"^(?:local )?function ([\w.]+)(?:.* end|.*\n(?:(?!end$).*\n)*end)$", re.MULTILINE
)

OUTLIVE_CALLS = {"kept": {"read_state", "write_state"}}  # tests/integration/test_redis_store.py
FILLED_WHILE_LOADING = ("GATES", "keyed", "memo", "positions", "ticks")
GATE = f"(?:{'|'.join(path.stem for path in (LUA / 'include' / 'gates').iterdir())})"


def without_comments(text: str) -> str:
    return re.sub(r"--.*", "", text)


INCLUDES = "\n".join(
    without_comments(path.read_text()) for path in (LUA / "include").rglob("*.lua")
)
FUNCTIONS = {  # `limit_room` is reached through `room`, which asks all gates
    name: "\n".join(
        found[0]
        for found in FUNCTION.finditer(INCLUDES)
        if re.fullmatch(rf"({GATE}_)?{name}", found[1])
    )
    for name in {found[1] for found in FUNCTION.finditer(INCLUDES)}
}


NOT_ALONE = {
    "submit_alone": {"claim", "settle_each"},
    "submit_tick": {"claim", "settle_each"},
    "settle_alone": {"claim"},
}


def source_of(operation: Operation) -> str:
    return (LUA / f"{operation.file}.lua").read_text()


def reached(operation: Operation) -> str:
    """An operation's own text and that of every function that it may call, through others too.

    Without a claim, nothing behind `claim` is reached, and without settlements nothing behind `settle_each`.
    """
    text, frontier = "", without_comments(source_of(operation))
    known = set(NOT_ALONE.get(operation.name, ()))
    while frontier:
        text += frontier
        new = set(re.findall(r"(?<![.\w'])[\w.]+", frontier)) & FUNCTIONS.keys() - known
        known |= new
        frontier = "\n".join(FUNCTIONS[name] for name in new)
    return text


def name_of(operation: Operation) -> str:
    return operation.name


def test_every_file_is_in_the_library():
    assert sorted(NAMES) == sorted(path.stem for path in LUA.glob("*.lua"))


def test_every_include_is_included():
    folder = LUA / "include"
    used = {
        found
        for path in LUA.rglob("*.lua")
        for name in re.findall(r"^-- include: ([\w/*]+)$", path.read_text(), re.MULTILINE)
        for found in folder.glob(f"{name}.lua")
    }
    assert used == set(folder.rglob("*.lua"))


def test_what_does_without_a_claim_is_given_less():
    assert {one.name for one in ALONE} == {"submit_alone", "settle_alone"}
    for alone in ALONE:
        whole = LIBRARY[alone.file]
        assert set(alone.keys) < set(whole.keys)
        assert set(alone.arguments) < set(whole.arguments)
        assert alone.rest == whole.rest


def test_the_library_has_no_function_that_is_never_called():
    text = without_comments(LIBRARY.text)
    for function in set(re.findall(r"^(?:local )?function (\w+)", text, re.MULTILINE)):
        assert len(re.findall(rf"(?<![.\w]){function}\b", text)) > 1, function


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
def test_an_operation_is_given_every_key_that_it_uses_and_no_other(operation: Operation):
    assert set(operation.keys) <= OF_NAMESPACE | OF_QUEUE
    every = {name.upper() for name in OF_NAMESPACE | OF_QUEUE}
    used = set(re.findall(r"\b[A-Z]+[123]?\b", reached(operation))) & every
    if operation.file == "submit" and operation.name != "submit_tick":
        used -= {"SCHEDULES"}
    if operation in ALONE:
        used -= {"IDLE"} - {key.upper() for key in operation.keys}
    assert used == {key.upper() for key in operation.keys}


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
def test_an_operation_uses_every_argument_that_it_is_given(operation: Operation):
    _, arguments = operation.seen
    for argument in arguments:
        assert re.search(rf"\b{argument}\b", reached(operation)), argument


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
def test_an_operation_reads_the_clock_at_most_once(operation: Operation):
    calls = re.findall(r"(?<!function )clock_ms\(\)", reached(operation))
    assert len(calls) <= 1


def test_the_library_uses_nothing_that_redis_may_lack_and_nothing_slow():
    text = without_comments(LIBRARY.text)
    assert not re.search(r"\b(cmsgpack|struct|bit|cjson)\.", text)
    assert not re.search(r"call\('(KEYS|SCAN|EXPIRE|PEXPIRE)'", text)


def names_in(text: str) -> set[str]:
    return set(re.split(r",\s*", text.strip()))


def test_whatever_changes_during_a_call_is_made_anew_by_it():
    """A function of the library remembers its variables from one call to the next."""
    text = INCLUDES + "".join(without_comments((LUA / f"{n}.lua").read_text()) for n in NAMES)
    outside = FUNCTION.sub("", text)
    inside = "\n".join(found[0] for found in FUNCTION.finditer(text))
    begins = "\n".join(
        found[0] for found in FUNCTION.finditer(text) if re.match("begin_|operation$", found[1])
    )
    assignment = re.compile(r"^ +([\w, ]+?) = ", re.MULTILINE)
    assigned = set().union(*(names_in(found) for found in assignment.findall(inside)))
    made_anew = set().union(*(names_in(found) for found in assignment.findall(begins)))
    for names, value in re.findall(
        r"^local (?!function)([\w, ]+?)(?: = (.*))?$", outside, re.MULTILINE
    ):
        for name in names_in(names):
            if value:  # it is to stay as it is
                assert name not in assigned, name
                is_filled = "{}" in value and name not in FILLED_WHILE_LOADING
                assert not is_filled, f"{name} is an empty table, which calls would fill"
            elif name not in OUTLIVE_CALLS:
                assert name in made_anew, name


def test_gates_register_while_the_library_is_loaded_and_at_no_other_time():
    fillers = {function for function, body in FUNCTIONS.items() if "GATES[#GATES + 1] =" in body}
    callers = {function for function, body in FUNCTIONS.items() if "register(" in body}
    assert (fillers, callers) == ({"register"}, {"register"})


@pytest.mark.parametrize("name", OUTLIVE_CALLS)
def test_what_outlives_a_call_is_touched_by_two_functions(name: str):
    users = {function for function, body in FUNCTIONS.items() if re.search(rf"\b{name}\b", body)}
    assert users == OUTLIVE_CALLS[name]


@pytest.mark.parametrize("name", NAMES)
def test_an_operation_has_flags_and_a_contract(name: str):
    source = (LUA / f"{name}.lua").read_text()
    for word in ("-- flags:", "-- KEYS:", "-- ARGV:", "-- Reply:"):
        assert word in source


def test_what_drains_a_queue_passes_when_redis_is_full():
    allowed = {one.name for one in OPERATIONS if "-- flags: allow-oom\n" in source_of(one)}
    begins = {"declare", "announce"}  # else a process that was restarted could drain nothing
    assert {"claim", "settle", "extend", "sweep", "depart", "cancel", "watch"} | begins <= allowed
    assert not {"submit", "replay"} & allowed


def test_a_library_is_named_after_what_is_in_it():
    other = Library({"now": "local function clock_ms() return 1 end"})
    assert other.name != LIBRARY.name == Library().name
    assert LIBRARY.text.startswith(f"#!lua name={LIBRARY.name}\n")
    assert {one.function for one in other}.isdisjoint(one.function for one in LIBRARY)


def test_a_wrong_call_fails_before_it_reaches_redis():
    depart, claim = LIBRARY["depart"], LIBRARY["claim"]
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
    text = re.sub(r"'\s+\.\. '", "", LIBRARY.text).replace("\n      .. ", " .. ")
    assert text.count(f"'{lost_at_most_once(lost)}'".replace("3", "' .. t.attempt .. '")) == 2
    times = "' .. t.losses .. (t.losses == 1 and ' time' or ' times') .. '"
    assert f"'{lost_too_often(7)}'".replace("7 times", times) in text
    assert f"'{lost_too_often(1)}'".replace("1 time", times) in text
    assert f"'{never_started(7, '')}'".replace("7 times", times) in text


def test_all_keys_of_a_queue_share_its_hash_tag():
    keys = Keys("kew")
    for part in OF_QUEUE:
        assert keys.key(part, "orders").startswith("kew:{orders}:")
    assert {keys.key(part) for part in OF_NAMESPACE} == {
        "kew:tasks",
        "kew:contents",
        "kew:queues",
        "kew:processes",
        "kew:schedules",
    }


def test_lua_makes_keys_only_from_those_that_it_is_given():
    """By a suffix, so they share the hash tag of the key that they are made from."""
    text = without_comments(LIBRARY.text)
    assert not re.findall(r"(?:call|send|send_each)\('\w+', '", text), "a key that is a literal"
    assert not re.findall(r"'[^']*[{}][^']*'\s*\.\.", text), "a hash tag made in Lua"
    of_a_process = re.findall(r"\b([A-Z]+)(?= \.\. ':' \.\.)", text)
    assert set(of_a_process) == {"FUNCTIONS", "LANES", "PARKED"}


@pytest.mark.parametrize("queue", ["a}b", "{a}", "", "a b", "a:b", "é", "x" * 65])
def test_a_queue_that_could_change_a_keys_meaning_is_no_key(queue: str):
    with pytest.raises(InvalidConfigError):
        Keys("kew").key("state", queue)


def test_an_unknown_part_is_no_key():
    with pytest.raises(ValueError, match="no key is called"):
        Keys("kew").key("statte", "orders")


@pytest.mark.parametrize(
    ("page", "by_its_kind"),
    [
        ("redis.md", {"select", "subscribe", "publish"}),
        ("cluster.md", {"cluster|slots", "asking", "ssubscribe", "spublish"}),
    ],
)
def test_the_documented_rights_are_the_commands_that_are_used(page: str, by_its_kind: set[str]):
    text = (Path(__file__).parents[4] / "docs" / page).read_text()
    line = next(line for line in text.splitlines() if line.startswith("ACL SETUSER"))
    granted = set(re.findall(r"\+(\S+)", line))
    text = "\n".join(path.read_text() for path in LUA.rglob("*.lua"))
    used = {
        c.lower() for c in re.findall(r"(?:call|send|remove|read_all)\((?:\w+, )?'([A-Z]+)'", text)
    }
    by_python = {
        "client|setname",
        "info",
        "fcall",
        "function|load",
        "eval",
        "hmget",
        "smembers",
    }
    assert granted == used | by_python | by_its_kind


def test_the_library_stays_far_below_the_number_of_variables_that_lua_allows():
    """At any place; blocks of the same depth share theirs."""
    active, most = [0], 0
    for line in without_comments(LIBRARY.text).splitlines():
        if found := re.match(r"local (?:function \w+|([\w, ]+?)(?: =|$))", line):
            active[-1] += len(found[1].split(",")) if found[1] else 1
        most = max(most, active[-1])
        if re.match(r"do$|(?:local )?function (?!.* end$)", line):
            active.append(active[-1])
        elif line == "end":
            active.pop()
    assert len(active) == 1
    assert 100 < most < 190
