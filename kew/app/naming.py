"""What a function is called in the store, and how a name leads back to it, without running anything of its owner's.

`module:qualname` names a function that every process with the same code can find. Closures, lambdas, partials, bound
methods and callable objects have no such name.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from kew.app.failures import describe
from kew.app.working.interrupts import is_interrupt
from kew.callables import resolved
from kew.compat import annotations_of, is_like_async
from kew.domain.errors import InvalidConfigError, UnknownFunctionError
from kew.domain.task import PINNED, pinned_name

Function = Callable[..., Any]
Key = int | tuple[int, int]

# The second is the first in a process that multiprocessing spawned.
MAINS = ("__main__", "__mp_main__")
PICKLED = "pickled:"
MAX_NAME_CHARACTERS = 256
IMPORTABLE = re.compile(
    r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<qualname>[^\W\d]\w*(\.[^\W\d]\w*)*)"
)


@attrs.frozen
class Registration:
    """How a function was decorated: the name that it was given, and its options."""

    name: str | None = None
    options: Mapping[str, Any] = attrs.field(factory=dict)


class Decorated:
    """The object that replaces a decorated function in its module."""

    def __init__(self, function: Function, registration: Registration, task_type: str) -> None:
        self.function = function
        self.registration = registration
        self.task_type = task_type

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)


def undecorated(function: Any) -> Any:
    """The function itself, if a decorated one was given."""
    return function.function if isinstance(function, Decorated) else function


def key_of(function: Function) -> Key:
    """The same for the same function object, while it lives; `thing.method` is a new object at every look-up."""
    if isinstance(function, types.MethodType):
        return id(function.__self__), id(function.__func__)
    return id(function)


def check_function_name(name: object) -> str:
    """A name that a person gives a function, if it can be one, else `InvalidConfigError`."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARACTERS:
        raise InvalidConfigError(
            f"a function's name must have 1 to {MAX_NAME_CHARACTERS} characters, not {name!r}"
        )
    if not name.isprintable() or any(character.isspace() for character in name):
        raise InvalidConfigError(f"function name {name!r} has whitespace or control characters")
    if name.startswith((PINNED, PICKLED)):
        raise InvalidConfigError(
            f"function name {name!r} starts like kew's own names; remove {PINNED!r} and {PICKLED!r}"
        )
    return name


def natural_name(function: Function) -> str | None:
    """`module:qualname`, or None for what has no place in a module; whether it stands there is another question."""
    module, qualname = (
        getattr(function, "__module__", None),
        getattr(function, "__qualname__", None),
    )
    if not isinstance(module, str) or not isinstance(qualname, str):
        return None
    name = f"{main_name() if module in MAINS else module}:{qualname}"
    return name if IMPORTABLE.fullmatch(name) else None


def is_where_it_says(function: Function) -> bool:
    """Its `module:qualname` leads back to this very object.

    A console, such as `python -m asyncio`, has the names of its `__main__` in a dict of its own.
    """
    module, qualname = sys.modules.get(function.__module__), function.__qualname__
    found = undecorated(found_in(module, qualname)) if module else None
    if found is None and function.__module__ in MAINS:
        found = undecorated(getattr(function, "__globals__", {}).get(qualname))
    return callable(found) and key_of(found) == key_of(function)


def main_name() -> str:
    """The name by which other processes import what this one runs as `__main__`; "__main__" if there is none."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    for name, module in list(sys.modules.items()):
        if name in MAINS or not isinstance(module, types.ModuleType):
            continue
        if module is main or (file is not None and module.__dict__.get("__file__") == file):
            return name
    return "__main__"


def found_in(module: types.ModuleType, qualname: str) -> object:
    """What stands at `qualname`, walking through classes alone and calling nothing; None: nothing does."""
    owner: object = None
    found: object = module
    for part in qualname.split("."):
        if found is not module and not isinstance(found, type):
            return None
        owner, found = found, vars(found).get(part)
    if isinstance(found, staticmethod):
        return found.__func__
    if isinstance(found, classmethod):
        return types.MethodType(found.__func__, owner)
    return found


def imported(name: str) -> types.ModuleType:
    """The module of a trusted `module:qualname`; importing runs it. Else `UnknownFunctionError`."""
    parts = IMPORTABLE.fullmatch(name)
    if parts is None:
        raise UnknownFunctionError(f"{name!r} is not of the form module:qualname")
    module = parts["module"]
    if module == main_name():
        return sys.modules["__main__"]
    if module.rpartition(".")[2] == "__main__":
        raise UnknownFunctionError(
            f"{name!r} is in a program, which is never imported for its functions"
        )
    try:
        return importlib.import_module(module)
    except BaseException as error:  # a module's code may do anything; only Ctrl-C is the program's
        if is_interrupt(error):
            raise
        raise UnknownFunctionError(
            f"{name!r}: importing its module failed: {describe(error)}"
        ) from error


def function_in(module: types.ModuleType, name: str) -> tuple[Function, Registration]:
    """The function of that name that is defined in the module, and how it is decorated. Else `UnknownFunctionError`.

    What the module merely imported (`from subprocess import run`) is none of its own.
    """
    found = found_in(module, name.partition(":")[2])
    function = undecorated(found)
    if not isinstance(function, types.FunctionType) or natural_name(function) != name:
        raise UnknownFunctionError(f"function {name!r} doesn't exist, or no longer")
    return function, found.registration if isinstance(found, Decorated) else Registration()


def is_coroutine_function(function: Function) -> bool:
    """Calling it on the event loop gives an awaitable, as it says of itself.

    Behind partials, and for objects with an `async def __call__`, too. A plain function says so by its annotation if it
    returns a future or a task, which can only be made on the event loop. A plain wrapper of a coroutine function says
    nothing: it may as well run it to its end by `asyncio.run`.
    """
    function = _target(function)
    if is_like_async(function):
        return True
    if isinstance(function, type):
        return False
    annotation = _declared(function)
    kind = typing.get_origin(annotation) or annotation
    is_future = isinstance(kind, type) and issubclass(kind, asyncio.Future)
    return is_future or is_like_async(type(function).__call__)


def wraps_coroutine_function(function: Function) -> bool:
    """It is a decorated coroutine function, as `functools.wraps` says."""
    return is_like_async(inspect.unwrap(_target(function)))


def refuse_generator(function: Function) -> None:
    """Raise `InvalidConfigError` for a generator function: a call of it runs nothing."""
    function = _target(function)
    for code in (function, type(function).__call__):
        if inspect.isasyncgenfunction(code) or _is_generator_function(code):
            raise InvalidConfigError(
                f"{qualname_of(function)} is a generator, and a task has one result: "
                "return a list of the values instead of yielding them"
            )


def _is_generator_function(function: Any) -> bool:
    if not inspect.isgeneratorfunction(function):
        return False
    flags = function.__code__.co_flags
    return not flags & inspect.CO_ITERABLE_COROUTINE  # made by types.coroutine: it can be awaited


def qualname_of(function: Function) -> str:
    """For people: what a function is called where it was written; an object has its type's name."""
    function = _target(function)
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def described(function: Function) -> str:
    """For people: what kind of callable it is, if it is not a plain function."""
    name = qualname_of(function)
    if isinstance(function, functools.partial):
        return f"a partial of {name}"
    if isinstance(function, types.MethodType):
        return f"the bound method {name}"
    if not isinstance(function, types.FunctionType | type):
        return f"an object of type {name}"
    return f"the closure {name}" if "<locals>" in name and "<lambda>" not in name else name


def _declared(function: Function) -> object:
    """The annotation of what a call returns; None: none, or one that can't be resolved."""
    function = _target(function)
    scope = getattr(inspect.unwrap(function), "__globals__", {})
    try:
        returned = annotations_of(function).get("return")
    except Exception:  # noqa: BLE001 - an object may answer with code of its own
        return None
    return resolved(returned, scope)


def _target(function: Function) -> Function:
    """What partials call in the end."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def visible(text: str) -> str:
    """The text as a name may have it: no whitespace, no control characters, not too long."""
    shown = (each if each.isprintable() and each != " " else "_" for each in text)
    return "".join(shown)[:MAX_NAME_CHARACTERS]


def unknown_function(name: str, incarnation: str) -> str:
    """Why the process `incarnation` can't run a function of that name, and what to do."""
    if name.startswith(pinned_name(incarnation, "")):
        return (
            f"the closure {name!r} is gone: this process released it after its task had ended. The task is back "
            "because it was replayed too late, or because the store lost its outcome; submit it again"
        )
    if name.startswith(PINNED):
        return f"{name!r} is a closure or the like of another process, which alone can run it"
    return (
        f"this process knows no function {name!r}; register it (@manager.task, register()), "
        "or trust its package: trust=('myapp',)"
    )


def call_plain(function: Function, /, *args: Any, **kwargs: Any) -> Any:
    """Run a plain function that travels as the first of its own arguments."""
    return function(*args, **kwargs)


async def call_coroutine(function: Function, /, *args: Any, **kwargs: Any) -> Any:
    """The same for a coroutine function."""
    value = function(*args, **kwargs)
    return await value if inspect.isawaitable(value) else value
