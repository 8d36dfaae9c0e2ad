"""The Lua library: one Redis function per operation, put together from the files of `lua/`.

An operation's head comment is its contract and its binding at once: `-- KEYS:` names the keys (Lua sees them in
capitals), `-- ARGV:` the arguments (`name`, `name:int`, and last `name*`, whose first index Lua sees as `name_from`),
`-- flags:` what Redis is to allow it. What Python passes is checked against these names before it reaches Redis.
A `*` at the end of the keys says that they repeat, once for each queue; Lua sees all of them in `ALL_KEYS`, too.
`ALONE` names fewer of them for the same operation without a claim (`submit_alone`), `TICK` those of a schedule's tick
(`submit_tick`); what an operation isn't given is nil while it runs. On a Cluster, all keys of a partition have one hash
tag; there an operation may be called with two keys alone (`Operation.is_brief`), and spells the others out itself.

Redis keeps the library and makes its functions once; a script's are made on every call. Its name says what is in it, so
that processes of different versions can share a Redis.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from importlib import resources
from itertools import chain
from typing import Final

import attrs

from kew.adapters.redis.keys import OF_NAMESPACE
from kew.adapters.redis.settings import FORMAT, FORMATS
from kew.domain.gates import GATES
from kew.domain.overrides import SETTING_OF

Argument = bytes | str | int
NAMES: Final = (
    *("declare", "announce", "depart", "submit", "claim", "settle", "extend", "sweep"),
    *(
        "find",
        "watch",
        "running",
        "failed",
        "cancel",
        "hasten",
        "replay",
        "control",
        "status",
        "purge",
    ),
    *("limit_key", "key_limits", "checkpoint", "schedule", "schedules"),
    *("set_aside", "discard", "explain", "groups", "attempts", "forget", "override", "empty"),
    *(
        "waiting",
        "cancel_all",
        "processes",
        "history",
        "histories",
        "payload",
        "statuses",
        "examine",
    ),
)
VARIANTS: Final = ("ALONE", "TICK")
ALL_GATES: Final = "gates/*"
ALL_KEYS: Final = "ALL_KEYS"
INTS: Final = frozenset({int})
UNNAMED: Final = "kew_0"  # a placeholder for the library's name
SCRIPT: Final = """local given_keys, given_arguments, registered = KEYS, ARGV, {}
local function register(one) registered[one.function_name] = one.callback end
local redis = setmetatable({register_function = register}, {__index = redis})
...return registered['%s'](given_keys, given_arguments)
"""
STATE: Final = "state"
# What `Keys` calls a partition's keys, from the name of a queue's state. The names of 1,000 queues are kept.
NAMES_OF: Final = f"""do
local known, count = {{}}, 0
local of_namespace = {{{", ".join(f"{part} = true" for part in sorted(OF_NAMESPACE))}}}
local spelled = {{__index = function(names, part)
  names[part] = (of_namespace[part] and names[1] or names[2]) .. part
  return names[part]
end}}
function memo.names_of(key)
  if not known[key] then
    if count == 1000 then known, count = {{}}, 0 end
    known[key] = setmetatable({{string.match(key, '^{{.-}}:'), string.sub(key, 1, -{len(STATE) + 1})}}, spelled)
    count = count + 1
  end
  return known[key]
end
end"""
DERIVED: Final = {
    "SETTINGS_FORMAT": str(FORMAT),
    "OVERRIDE_FORMATS": ", ".join(
        f"{name} = '{FORMATS[name]}'" for name in SETTING_OF.values() if FORMATS.get(name)
    ),
}
"""What stands in Lua for what the domain says of its settings."""
LOCAL: Final = re.compile(
    r"^local (?:function (?P<function>\w+)|(?P<names>\w+(?:, \w+)*)(?P<values> = .*)?(?: *--.*)?$)",
    re.MULTILINE,
)
USED: Final = re.compile(r"(?:call|send|remove|read_into)\((?:\w+, )?'([A-Z]+)'")
COMMENT: Final = re.compile(r"^ *--.*\n", re.MULTILINE)


@attrs.frozen(kw_only=True)
class Operation:
    """One function of the library, and the names of what it is called with."""

    name: str
    function: str
    keys: tuple[str, ...]
    arguments: tuple[str, ...]
    numbers: frozenset[str]
    rest: str
    repeats: bool
    changes: bool

    def bind(self, rest: Sequence[Argument], named: Mapping[str, Argument]) -> list[Argument]:
        """The arguments in the function's order; `TypeError` for any that is missing, unknown or no number."""
        if len(named) != len(self.arguments) or (rest and not self.rest):
            raise TypeError(f"{self.name} takes {self.arguments}, not {tuple(named)}")
        try:
            bound = [*map(named.__getitem__, self.arguments)]
        except KeyError as error:
            raise TypeError(f"{self.name} lacks the argument {error}") from None
        if not INTS.issuperset(map(type, map(named.__getitem__, self.numbers))):
            name = next(each for each in self.numbers if type(named[each]) is not int)
            raise TypeError(f"{self.name}: {name} must be an int, not {named[name]!r}")
        bound += rest
        return bound

    @property
    def file(self) -> str:
        """The file of `lua/` that contains it."""
        endings = tuple(f"_{each.lower()}" for each in VARIANTS)
        return self.name.rpartition("_")[0] if self.name.endswith(endings) else self.name

    @property
    def is_brief(self) -> bool:
        """Whether a queue's state and a second key tell it all others, if these have one hash tag."""
        return STATE in self.keys and len(self.keys) > 2 and not self.repeats

    @property
    def seen(self) -> tuple[set[str], set[str]]:
        """What Lua calls its keys, and its arguments."""
        rest = {f"{self.rest}_from"} if self.rest else set()
        every = {ALL_KEYS} if self.repeats else set()
        return {key.upper() for key in self.keys} | every, {*self.arguments, *rest}


class Library:
    """All operations, by name. `replaced` swaps includes (a test's clock)."""

    def __init__(self, replaced: Mapping[str, str] | None = None) -> None:
        sources = {name: _read(f"{name}.lua") for name in NAMES}
        operations = [one for name in NAMES for one in _operations(name, sources[name])]
        text = _text(sources, operations, dict(replaced or {}))
        digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:12]
        self.name = f"kew_{digest}"
        self.text = text.replace(UNNAMED, self.name)
        self._operations = {
            one.name: attrs.evolve(one, function=one.function.replace(UNNAMED, self.name))
            for one in operations
        }

    def script(self, operation: Operation) -> str:
        """The same code as a script, for a server that is too full to load the library."""
        flags = ",".join(_declared(_read(f"{operation.file}.lua"), "flags"))
        _, _, body = self.text.partition("\n")
        begin, end = SCRIPT.split("...")
        return f"#!lua flags={flags}\n{begin}{body}{end % operation.function}"

    @property
    def commands(self) -> frozenset[str]:
        """The commands that its functions use."""
        return frozenset(USED.findall(self.text))

    def __getitem__(self, name: str) -> Operation:
        return self._operations[name]

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._operations.values())


@cache
def genuine_library() -> Library:
    """The library as it is. Putting it together takes some ms, in which an event loop stands still: once will do."""
    return Library()


def _operations(name: str, source: str) -> Iterator[Operation]:
    yield _operation(name, source, "")
    for variant in VARIANTS:
        if f"-- {variant} KEYS:" in source:
            yield _operation(f"{name}_{variant.lower()}", source, f"{variant} ")


def _operation(name: str, source: str, which: str) -> Operation:
    arguments = _declared(source, f"{which}ARGV")
    plain = [each for each in arguments if not each.endswith("*")]
    return Operation(
        name=name,
        function=f"{UNNAMED}_{name}",
        keys=tuple(key for key in _declared(source, f"{which}KEYS") if key != "*"),
        arguments=tuple(each.partition(":")[0] for each in plain),
        numbers=frozenset(each.partition(":")[0] for each in plain if each.endswith(":int")),
        rest="".join(each[:-1] for each in arguments if each.endswith("*")),
        repeats="*" in _declared(source, f"{which}KEYS"),
        changes="no-writes" not in _declared(source, "flags"),
    )


def _text(
    sources: Mapping[str, str], operations: Sequence[Operation], replaced: Mapping[str, str]
) -> str:
    """What Redis loads: names, includes, and the operations, each in a block of its own.

    Lua has 200 local variables at a time. So whatever only one file names is a variable of its block.
    """
    seen: set[str] = set()
    includes = [text for source in sources.values() for text in _included(source, replaced, seen)]
    named = {text: _names(text) for text in (*includes, *sources.values())}
    by_includes = set[str]().union(*(named[text] for text in includes))
    given = set[str]().union(*(names for one in operations for names in one.seen))
    shared = sorted(given & by_includes)
    parts = [f"#!lua name={UNNAMED}", f"local ARGV, {', '.join(shared)}"]
    for text in includes:
        others = set[str]().union(*(names for other, names in named.items() if other != text))
        parts.append(_scoped(text, others))
    parts.append(NAMES_OF)
    for name, source in sources.items():
        own = [one for one in operations if one.file == name]
        alone = sorted(set[str]().union(*(each for one in own for each in one.seen)) - by_includes)
        entries = [_entry(one, _declared(source, "flags"), [*shared, *alone]) for one in own]
        parts += ["do", *([f"local {', '.join(alone)}"] if alone else []), source, *entries, "end"]
    text = COMMENT.sub("", "\n".join(parts) + "\n")
    for word, value in DERIVED.items():
        text = text.replace(word, value)
    return text


def _names(text: str) -> set[str]:
    return set(re.findall(r"[A-Za-z_]\w*", re.sub("--.*", "", text)))


def _entry(one: Operation, flags: Sequence[str], visible: Iterable[str]) -> str:
    """How Redis calls it: names for what was passed, nil for what wasn't."""
    given_names = one.seen[0] | one.seen[1]
    others = [each for each in visible if each not in given_names]
    keys = [f"  {key.upper()} = keys[{n}]" for n, key in enumerate(one.keys, 1)]
    if one.is_brief:
        spelled = [f"  {key.upper()} = names.{key}" for key in one.keys]
        brief = ["  if not keys[3] then", "  local names = memo.names_of(keys[1])", *spelled]
        keys = [*brief, "  else", *keys, "  end"]
    names, values = list(one.arguments), list[str]()
    for n, argument in enumerate(one.arguments, 1):
        values.append(f"tonumber(args[{n}])" if argument in one.numbers else f"args[{n}]")
    if one.repeats:
        names, values = [*names, ALL_KEYS], [*values, "keys"]
    if one.rest:
        names, values = [*names, f"{one.rest}_from"], [*values, str(len(one.arguments) + 1)]
    given = [f"  {name} = {value}" for name, value in zip(names, values, strict=True)]
    quoted = ", ".join(f"'{flag}'" for flag in flags)
    return "\n".join(
        [
            f"redis.register_function{{function_name = '{one.function}', flags = {{{quoted}}},",
            "callback = function(keys, args)",
            *([f"  {', '.join(others)} = nil"] if others else []),
            "  ARGV = args",
            *keys,
            *given,
            "  local reply = operation()",
            "  ARGV = nil",
            "  return reply",
            "end}",
        ]
    )


def _included(source: str, replaced: Mapping[str, str], seen: set[str]) -> list[str]:
    """The includes that `source` asks for and that are not in `seen`, each after those it asks for itself."""
    texts: list[str] = []
    asked = re.findall(r"^-- include: ([\w/*]+)$", source, re.MULTILINE)
    for name in chain.from_iterable(_gates() if name == ALL_GATES else (name,) for name in asked):
        if name not in seen:
            seen.add(name)
            text = replaced.get(name) or _read(f"include/{name}.lua")
            texts += [*_included(text, replaced, seen), text]
    return texts


def _gates() -> Iterator[str]:
    """The gates that have a file of their own, in the order of the domain; those of keys are in `keyed_*.lua`."""
    folder = resources.files(__package__) / "lua" / "include" / "gates"
    return (f"gates/{gate.name}" for gate in GATES if (folder / f"{gate.name}.lua").is_file())


def _scoped(text: str, others: set[str]) -> str:
    """An include as a block: only what others name is declared outside of it."""
    declared = [found["function"] or found["names"] for found in LOCAL.finditer(text)]
    names = [name for each in declared for name in each.split(", ") if name in others]
    if not names:
        return f"do\n{text}\nend"
    block = LOCAL.sub(partial(_declared_outside, set(names)), text)
    return f"local {', '.join(names)}\ndo\n{block}\nend"


def _declared_outside(exported: set[str], line: re.Match[str]) -> str:
    """A line that declares something, without its `local` if that is exported."""
    if line["function"]:
        return line[0].removeprefix("local ") if line["function"] in exported else line[0]
    names = line["names"].split(", ")
    if exported.isdisjoint(names):
        return line[0]
    private = ", ".join(name for name in names if name not in exported)
    declaration = f"local {private}\n" if private else ""
    return declaration + (f"{line['names']}{line['values']}" if line["values"] else "")


def _read(path: str) -> str:
    return (resources.files(__package__) / "lua" / path).read_text(encoding="utf-8")


def _declared(source: str, word: str) -> list[str]:
    found = re.search(rf"^-- {word}:(.*)$", source, re.MULTILINE)
    assert found, f"an operation without a line {word}"
    return found[1].split()
