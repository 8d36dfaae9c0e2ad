"""What a function is called in the store, and how a name leads back to it, without running anything of its owner's.

`module:qualname` names a function that every process with the same code can find. Closures, lambdas, partials, bound
methods and callable objects have no such name.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable
from typing import Any

from kew.compat import is_like_async
from kew.domain.errors import InvalidConfigError, UnknownFunctionError
from kew.domain.task import PINNED

Function = Callable[..., Any]
Key = int | tuple[int, int]

MAINS = (
    "__main__",
    "__mp_main__",
)  # the second is the first in a process that multiprocessing spawned
PICKLED = "pickled:"
MAX_NAME_CHARACTERS = 256
IMPORTABLE = re.compile(
    r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<qualname>[^\W\d]\w*(\.[^\W\d]\w*)*)"
)


def key_of(function: Function) -> Key:
    """The same for the same function object, while it lives; `thing.method` is a new object at every look-up."""
    if isinstance(function, types.MethodType):
        return id(function.__self__), id(function.__func__)
    return id(function)


def check_function_name(name: object) -> str:
    """A name that a person gives a function, if it can be one, else `InvalidConfigError`."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARACTERS:
        raise InvalidConfigError(
            f"a function's name is text of 1 to {MAX_NAME_CHARACTERS} characters, not {name!r}"
        )
    if not name.isprintable() or any(character.isspace() for character in name):
        raise InvalidConfigError(f"function name {name!r} has whitespace or control characters")
    if name.startswith((PINNED, PICKLED)):
        raise InvalidConfigError(
            f"function name {name!r} begins like kew's own names; leave out {PINNED!r} and {PICKLED!r}"
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
    """Its `module:qualname` leads back to this very object."""
    module = sys.modules.get(function.__module__)
    found = found_in(module, function.__qualname__) if module else None
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
    except (Exception, SystemExit) as error:  # a module's code may do anything
        raise UnknownFunctionError(
            f"{name!r}: importing its module failed: {type(error).__name__}: {error}"
        ) from error


def function_in(module: types.ModuleType, name: str) -> Function:
    """The plain function of that name, defined in the module. Else `UnknownFunctionError`.

    What the module merely imported (`from subprocess import run`) is none of its own.
    """
    found = found_in(module, name.partition(":")[2])
    if not isinstance(found, types.FunctionType) or natural_name(found) != name:
        raise UnknownFunctionError(f"there is no function {name!r} (any more)")
    return found


def is_coroutine_function(function: Function) -> bool:
    """Calling it gives a coroutine: behind partials, and objects with an `async def __call__`, too."""
    while isinstance(function, functools.partial):
        function = function.func
    if is_like_async(function):
        return True
    return not isinstance(function, type) and is_like_async(type(function).__call__)


def qualname_of(function: Function) -> str:
    """For people: what a function is called where it was written; an object has its type's name."""
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def returns_of(function: Function) -> object:
    """The annotation of what it returns, its texts resolved; None: none, or one that can't be resolved."""
    while isinstance(function, functools.partial):
        function = function.func
    annotations = getattr(function, "__annotations__", {})
    holder = types.SimpleNamespace(__annotations__={"return": annotations.get("return")})
    scope = getattr(inspect.unwrap(function), "__globals__", {})
    try:
        return typing.get_type_hints(holder, scope, include_extras=True)["return"]
    except Exception:  # noqa: BLE001 - evaluating a user's annotation may raise anything
        return None
