"""What a function is called, and which names lead to which functions."""

import asyncio
import functools
import logging
import os
import subprocess
import sys
import textwrap
import time
import types
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kew.adapters.codecs import PickleCodec
from kew.app import naming
from kew.app.registry import MANY_PINS, Registry
from kew.app.submitting.encoding import Call, CallEncoder
from kew.domain.backoff import Fixed
from kew.domain.errors import InvalidConfigError, UnknownFunctionError
from kew.domain.task import QueuePriority, Submission

HERE = __name__


def plain(number: int = 1) -> int:
    return number + 1


async def native() -> "int":
    return 1


class Shop:
    def sell(self) -> None: ...

    async def sell_soon(self) -> None: ...

    @staticmethod
    def price() -> None: ...

    @classmethod
    def open(cls) -> None: ...

    def __call__(self) -> None: ...


class Branch(Shop): ...


class Async:
    async def __call__(self) -> None: ...


SHOP = Shop()


def closure(number: int = 0) -> Any:
    def inner() -> int:
        return number

    return inner


@pytest.fixture
def registry() -> Registry:
    return Registry("inc1")


def messages(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "kew"]


# --- names


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (plain, f"{HERE}:plain"),
        (native, f"{HERE}:native"),
        (Shop, f"{HERE}:Shop"),
        (Shop.sell, f"{HERE}:Shop.sell"),
        (Shop.price, f"{HERE}:Shop.price"),
        (Shop.open, f"{HERE}:Shop.open"),
        (time.sleep, "time:sleep"),
    ],
)
def test_what_stands_in_a_module_is_named_after_its_place(registry, function, name):
    assert registry.registered(function).name == name
    assert registry.resolve(name).function == function


@pytest.mark.parametrize(
    ("function", "qualname"),
    [
        (closure(), "closure.<locals>.inner"),
        (lambda: 1, "<lambda>"),
        (SHOP.sell, "Shop.sell"),
        (Branch.open, "Shop.open"),
        (functools.partial(plain, 1), "plain"),
        (functools.partial(SHOP), "Shop"),
        (SHOP, "Shop"),
        ([].append, "list.append"),
    ],
)
def test_what_has_no_place_in_a_module_is_pinned(registry, function, qualname):
    name = registry.registered(function).name
    assert name == f"@inc1/1:{qualname}"
    assert registry.resolve(name).function is function
    assert registry.registered(function).name == name
    call = Submission(id="a", nonce="n", task_type="t", function=name, payload=b"", priority=2)
    assert call.pinned_to == "inc1"
    with pytest.raises(UnknownFunctionError, match="another process"):
        Registry("inc2").resolve(name)
    with pytest.raises(UnknownFunctionError, match="released it after its task had ended"):
        Registry("inc1").resolve(name)


def test_each_closure_has_a_pin_of_its_own_and_a_bound_method_the_same_at_every_look_up(registry):
    assert registry.registered(closure(1)).name != registry.registered(closure(2)).name
    assert registry.registered(SHOP.sell).name == registry.registered(SHOP.sell).name
    assert registry.registered(SHOP.sell).name != registry.registered(Shop().sell).name


def test_a_function_that_something_else_has_replaced_in_its_module_is_pinned(registry, monkeypatch):
    old = plain
    monkeypatch.setitem(globals(), "plain", lambda: 2)
    assert registry.registered(old).name == "@inc1/1:plain"


def test_a_decorated_function_has_its_name_before_it_stands_in_its_module(registry):
    module = types.ModuleType("half_imported")
    module.__dict__["register"] = registry.register
    sys.modules["half_imported"] = module
    try:
        exec(
            "def decorate(f):\n  assert register(f) == 'half_imported:f'\n  return object()\n"
            "@decorate\ndef f(): ...\n",
            module.__dict__,
        )
    finally:
        del sys.modules["half_imported"]
    assert registry.resolve("half_imported:f").function.__name__ == "f"


def test_a_given_name_holds_wherever_the_function_goes(registry):
    assert registry.register(plain, name="orders.process") == "orders.process"
    assert registry.register(plain) == "orders.process"
    assert registry.registered(plain).name == "orders.process"
    assert registry.register(closure(), name="made") == "made"
    assert registry.register(functools.partial(plain), name="part") == "part"


def test_a_function_with_a_new_name_answers_to_both(registry):
    registry.register(plain)
    assert registry.register(plain, name="new") == "new"
    assert registry.resolve(f"{HERE}:plain").function is plain
    assert registry.names() == (f"{HERE}:plain", "new")


def test_two_functions_under_one_given_name_are_refused(registry):
    registry.register(plain, name="one")
    registry.register(plain, name="one")
    with pytest.raises(InvalidConfigError, match="one"):
        registry.register(native, name="one")
    registry.register(native)
    with pytest.raises(InvalidConfigError, match="native"):
        registry.register(plain, name=f"{HERE}:native")
    registry.register(closure(), name=f"{HERE}:Shop")
    with pytest.raises(InvalidConfigError, match="Shop"):
        registry.registered(Shop)


def test_a_redefined_function_takes_the_name_over_and_says_so(registry, caplog):
    registry.register(plain)
    again = types.FunctionType(plain.__code__, globals(), "plain")
    assert registry.register(again) == f"{HERE}:plain"
    assert registry.resolve(f"{HERE}:plain").function is again
    assert "defined again" in messages(caplog)[0]


@pytest.mark.parametrize(
    "name",
    ["", "a b", "a\n", "a\u00a0b", "a\x00", "@inc/1:f", "pickled:plain", "x" * 257, 5, b"x"],
)
def test_an_impossible_name_is_refused(registry, name):
    with pytest.raises(InvalidConfigError):
        registry.register(plain, name=name)
    assert registry.functions() == ()


@given(st.text(min_size=1), st.text(min_size=1))
def test_no_name_ever_has_whitespace(qualname, module):
    function = closure()
    function.__qualname__, function.__module__ = qualname, module
    registry = Registry("inc1")
    for name in (registry.registered(function).name, Registry("inc2").register(function)):
        assert not any(character.isspace() for character in name)
        assert name.isprintable()


def test_what_cannot_be_called_is_no_function(registry):
    with pytest.raises(InvalidConfigError, match="callable"):
        registry.register(5)


# --- what is known of a function


@pytest.mark.parametrize(
    ("function", "is_coroutine"),
    [
        (plain, False),
        (native, True),
        (functools.partial(native), True),
        (functools.partial(functools.partial(plain), 1), False),
        (SHOP.sell_soon, True),
        (SHOP, False),
        (Async(), True),
        (functools.partial(Async()), True),
        (Async, False),
        (time.sleep, False),
    ],
)
def test_coroutine_functions_are_recognised_behind_whatever_hides_them(
    registry, function, is_coroutine
):
    assert registry.registered(function).is_coroutine is is_coroutine


def test_options_are_kept_and_added_to(registry):
    name = registry.register(plain, max_retries=2, backoff=Fixed(1), priority=1, queue="orders")
    registry.register(plain, timeout=5)
    registry.register(plain, name="other")
    for known in (registry.resolve("other"), registry.registered(plain)):
        assert (known.max_retries, known.backoff, known.task_timeout) == (2, Fixed(1), 5)
        assert (known.priority, known.queue) == (QueuePriority.HIGH, "orders")
    assert registry.resolve(name).retry_on is None


@pytest.mark.parametrize(
    "options",
    [
        {"max_retries": -1},
        {"retry_delay": -1},
        {"timeout": 0},
        {"backoff": 5},
        {"retry_on": ("ValueError",)},
        {"give_up_on": 5},
        {"priority": 9},
        {"queue": "a b"},
        {"at_most_once": True, "max_retries": 1},
    ],
)
def test_an_impossible_option_is_refused_and_nothing_is_registered(registry, options):
    with pytest.raises(InvalidConfigError):
        registry.register(plain, **options)
    assert registry.functions() == ()


def test_a_mistyped_option_is_named_beside_those_that_there_are(registry):
    mistyped: Any = {"max_retry": 3}
    with pytest.raises(TypeError, match=r"no option 'max_retry'; it takes max_retries, .*queue"):
        registry.register(plain, **mistyped)
    assert not registry.functions()


# --- what a process tells others, and its user


def test_there_is_more_to_announce_with_every_new_name_and_only_then(registry):
    versions = [registry.version]
    for register in (
        lambda: registry.register(plain),
        lambda: registry.register(native),
        lambda: registry.register(plain, name="x"),
    ):
        register()
        versions.append(registry.version)
    assert versions == [0, 1, 2, 3]
    registry.register(plain)
    registry.registered(plain)
    registry.registered(closure())
    assert registry.version == 3
    assert registry.names(1) == (f"{HERE}:native", "x")


def test_closures_are_known_and_not_announced(registry):
    pinned = registry.registered(closure())
    assert (registry.functions(), registry.names()) == ((pinned,), ())


def test_a_new_incarnation_renames_its_pins():
    pinned, registry = closure(), Registry()
    assert registry.register(pinned) == "@/1:closure.<locals>.inner"
    registry.register(plain)
    registry.begin("inc7")
    assert registry.registered(pinned).name == "@inc7/1:closure.<locals>.inner"
    assert not registry.can_run("@/1:closure.<locals>.inner")
    assert registry.resolve(f"{HERE}:plain").function is plain
    assert len(registry.functions()) == 2


def test_a_submit_that_registers_is_logged_once_per_function(registry, caplog):
    caplog.set_level(logging.INFO, logger="kew")
    for _ in range(3):
        registry.registered(plain)
        registry.registered(SHOP.sell)
    unknown, pinned = messages(caplog)
    assert "a restarted process won't know it" in unknown
    assert pinned.startswith(
        "the bound method Shop.sell is not a module-level function, so only this process can run it"
    )
    caplog.clear()
    registry.register(native)
    registry.registered(native)
    Registry(trust=[HERE.partition(".")[0]]).registered(plain)
    assert messages(caplog) == []


def test_very_many_pins_are_warned_about(registry, caplog):
    caplog.set_level(logging.WARNING)
    for _ in range(MANY_PINS + 1):
        registry.register(closure())
    assert [f"{MANY_PINS} closures" in message for message in messages(caplog)] == [True]


# --- trust


@pytest.fixture
def package(tmp_path, monkeypatch):
    """`trusted` and `trustedx`, importable and not yet imported."""
    sources = {
        "trusted/__init__.py": "def top(): ...\n",
        "trusted/deep.py": """
            from os import popen
            from os.path import join
            import subprocess
            def f(): ...
            async def g(): ...
            class C:
                def method(self): ...
                @staticmethod
                def static(): ...
                @classmethod
                def cls(cls): ...
                class D:
                    def inner(self): ...
            alias = f
            made = (lambda: (lambda: 1))()
            class Trap:
                def __getattr__(self, name): raise SystemExit("touched")
            trap = Trap()
            def __getattr__(name): raise SystemExit("touched")
            """,
        "trusted/broken.py": "raise SystemExit('import me not')\n",
        "trusted/__main__.py": "def f(): ...\n",
        "trusted/registering.py": """
            import trusted
            def f(): ...
            trusted.registry.register(f, max_retries=3)
            f = object()
            """,
        "trustedx.py": "def f(): ...\n",
    }
    for path, source in sources.items():
        file = tmp_path / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(tmp_path)
    yield "trusted"
    for name in [name for name in sys.modules if name.startswith("trusted")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    "name",
    [
        "trusted:top",
        "trusted.deep:f",
        "trusted.deep:C.method",
        "trusted.deep:C.static",
        "trusted.deep:C.D.inner",
    ],
)
def test_a_name_below_a_trusted_package_is_found_by_import(package, name):
    registry = Registry(trust=(package,))
    assert registry.names() == ()
    assert registry.can_run(name)
    assert registry.names() == (name,)
    assert registry.version == 1
    found = registry.resolve(name)
    assert found.function.__qualname__ == name.partition(":")[2]
    assert registry.registered(found.function).name == name


@pytest.mark.parametrize(
    "name",
    [
        "trustedx:f",
        "trust:f",
        "os:popen",
        "trusted.deep:popen",
        "trusted.deep:join",
        "trusted.deep:subprocess.run",
        "trusted.deep:alias",
        "trusted.deep:made",
        "trusted.deep:C",
        "trusted.deep:C.cls",
        "trusted.deep:trap.anything",
        "trusted.deep:f.__call__",
        "trusted.deep:C.__init__",
        "trusted.deep:__name__.upper",
        "trusted.deep:gone",
        "trusted.gone:f",
        "trusted.broken:f",
        "trusted.__main__:f",
        "trusted",
        "trusted:",
        "trusted:top:top",
        "trusted..deep:f",
        "trusted.deep:",
        "trusted.deep:<lambda>",
        "trusted.deep: f",
        "",
        ":",
    ],
)
def test_nothing_else_is_found_by_import(package, name):
    registry = Registry(trust=(package,))
    assert not registry.can_run(name)
    with pytest.raises(UnknownFunctionError):
        registry.resolve(name)
    assert registry.functions() == ()
    assert "trustedx" not in sys.modules


@given(st.text())
def test_any_text_for_a_name_is_answered(name):
    assert not Registry(trust=("kew.domain",)).can_run(name)
    assert not Registry(trust=("kew.domain",)).can_run(f"kew.domain:{name}")


def test_without_trust_nothing_is_imported(package):
    registry = Registry()
    assert not registry.can_run("trusted:top")
    assert "trusted" not in sys.modules


def test_an_import_that_registers_its_function_keeps_its_options(package):
    import trusted  # type: ignore[import-not-found]  # made by the fixture

    registry = trusted.registry = Registry(trust=(package,))
    assert registry.resolve("trusted.registering:f").max_retries == 3


@pytest.mark.parametrize("trust", ["myapp", ["my app"], [""], ["a..b"], ["a."]])
def test_trust_names_packages(trust):
    with pytest.raises(InvalidConfigError):
        Registry(trust=trust)


# --- __main__


def names_in_a_program(tmp_path, *command: str) -> str:
    source = """
        from kew.app.registry import Registry
        def f(): ...
        registry = Registry(trust=("prog", "__main__"))
        name = registry.registered(f).name
        print(name, Registry(trust=("prog", "__main__")).resolve(name).function is f)
        """
    (tmp_path / "prog").mkdir()
    (tmp_path / "prog" / "__init__.py").write_text("")
    for path in ("prog/worker.py", "prog/__main__.py", "script.py"):
        (tmp_path / path).write_text(textwrap.dedent(source))
    return subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["", os.getcwd()])},  # noqa: PTH109
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        (("-m", "prog.worker"), "prog.worker:f True"),
        (("-m", "prog"), "prog.__main__:f True"),
        (("script.py",), "__main__:f True"),
    ],
)
def test_a_program_is_named_as_others_import_it(tmp_path, command, printed):
    assert names_in_a_program(tmp_path, *command) == printed


def test_a_script_that_is_imported_too_has_the_name_of_its_import(monkeypatch, tmp_path):
    main = types.ModuleType("__main__")
    main.__file__ = str(tmp_path / "script.py")
    twin = types.ModuleType("script")
    twin.__file__ = main.__file__
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert naming.main_name() == "__main__"
    monkeypatch.setitem(sys.modules, "nickname", main)
    assert naming.main_name() == "nickname"
    monkeypatch.delitem(sys.modules, "nickname")
    monkeypatch.setitem(sys.modules, "script", twin)
    assert naming.main_name() == "script"


def test_a_function_of_a_console_is_found_by_its_name():
    """`python -m asyncio` runs what is typed in a dict of its own."""
    typed: dict[str, Any] = {"__name__": "__main__"}
    exec("def f(): ...\ndef made():\n  def g(): ...\n  return g\ng = made()", typed)
    f, g = typed["f"], typed["g"]
    assert Registry().registered(f).name == f"{naming.main_name()}:f"
    assert naming.is_where_it_says(f)
    assert not naming.is_where_it_says(g), "a closure has no place"
    typed["f"] = g
    assert not naming.is_where_it_says(f), "another one stands there by now"


# --- functions that travel


def run_elsewhere(registry: Registry, codec: PickleCodec, name: str, payload: bytes) -> Any:
    """What an executor does in a process that never saw the function."""
    found = registry.resolve(name)
    args, kwargs = codec.decode_call(payload, found.function, (name, "t"))
    value = found.function(*args, **kwargs)
    return asyncio.run(value) if found.is_coroutine else value


def test_with_a_codec_that_carries_functions_closures_travel(caplog):
    codec = PickleCodec("correct horse battery staple")
    here, there = (Registry(each, carries_functions=True) for each in ("inc1", "inc2"))
    factor = 3

    async def later(x: int, *, function: int = 0) -> int:
        return x * factor + function

    for function, kind in (
        (lambda x, function=0: x * factor + function, "plain"),
        (later, "coroutine"),
    ):
        name = here.registered(function).name
        assert name == f"pickled:{kind}"
        submit = Call(
            task_id="t", task_type="t", function=function, args=(2,), kwargs={"function": 1}
        )
        payload = CallEncoder(here, codec, "inc1").prepare(submit, 2).payload
        assert run_elsewhere(there, codec, name, payload) == 7
    assert here.names() == there.names() == ("pickled:plain", "pickled:coroutine")
    assert messages(caplog) == []


def test_options_of_a_function_that_travels_are_kept_where_it_was_registered():
    registry, function = Registry(carries_functions=True), closure()
    assert registry.register(function, max_retries=2) == "pickled:plain"
    assert registry.registered(function).max_retries == 2
    assert registry.resolve("pickled:plain").max_retries is None


def test_what_has_a_name_travels_by_it():
    registry = Registry(carries_functions=True)
    assert registry.registered(plain).name == f"{HERE}:plain"
    assert registry.register(closure(), name="given") == "given"


def test_without_such_a_codec_nothing_that_travels_is_run(registry):
    assert not registry.can_run("pickled:plain")
    assert not Registry(trust=("pickled",)).can_run("pickled:plain")
