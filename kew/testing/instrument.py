"""Turn every `await` of a user's code into a place at which its process can be killed.

An `await` that never waits (of a fake, say) doesn't return to the event loop, so the loop can't kill a task there.
Therefore the user's files are compiled again with each `await x` replaced by `await awaited(x)`, and their functions
get the new code until the block ends. The code of Python, of kew and of installed packages stays as it is, except for
the packages of the functions under test.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import gc
import inspect
import os
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Final

import kew
from kew.simulation.errors import SimulationError
from kew.testing.points import Entered, Iterated, awaited

Key = tuple[int, str, tuple[str, ...]]

NAMES: Final = {"__kew_await__": awaited, "__kew_with__": Entered, "__kew_for__": Iterated}
INSTALLED: Final = ("site-packages", "dist-packages")
OTHERS: Final = (sysconfig.get_path("stdlib") + os.sep, str(Path(kew.__file__).parent) + os.sep)
LONGEST_TEXT: Final = 60


@contextlib.contextmanager
def instrumented(*functions: Callable[..., object]) -> Iterator[None]:
    """Make user code pass crash points at its awaits. `functions` count as user code, even if installed."""
    own = {_package_of(function) for function in functions}
    changed: list[tuple[FunctionType, CodeType]] = []
    vars(builtins).update(NAMES)
    try:
        for function in _functions():
            code = function.__code__
            if _is_users(code.co_filename, own):
                new = _codes_of(code.co_filename).get(_key(code))
                if new is not None:
                    changed.append((function, code))
                    function.__code__ = new
        yield
    finally:
        for function, code in changed:
            function.__code__ = code
        for name in NAMES:
            del vars(builtins)[name]


def place_of(function: Callable[..., object]) -> tuple[str, int]:
    """The file and line of its definition. Raises `SimulationError` if its source is missing."""
    code = _code_of(function)
    if code is None or not _has_source(code.co_filename):
        name = getattr(function, "__qualname__", repr(function))
        raise SimulationError(
            f"the source of {name} is needed to find its awaits; define it in a Python file"
        )
    return code.co_filename, code.co_firstlineno


def _code_of(function: Callable[..., object]) -> CodeType | None:
    while isinstance(function, functools.partial):
        function = function.func
    if not hasattr(function, "__code__") and not hasattr(function, "__func__"):
        function = type(function).__call__
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code if isinstance(code, CodeType) else None


def _functions() -> list[FunctionType]:
    return [one for one in gc.get_objects() if type(one) is FunctionType]


def _package_of(function: Callable[..., object]) -> str:
    """The folder of the function's top-level package, or its file."""
    code = _code_of(function)
    path = Path(code.co_filename) if code is not None else Path()
    depth = str(getattr(function, "__module__", "")).count(".")
    return str(path.parents[depth - 1]) if depth else str(path)


def _is_users(file: str, own: set[str]) -> bool:
    if file.startswith(("<", *OTHERS)):
        return False
    is_installed = any(part in INSTALLED for part in Path(file).parts)
    return not is_installed or any(file.startswith(place) for place in own)


def _key(code: CodeType) -> Key:
    return (code.co_firstlineno, code.co_name, code.co_freevars)


@functools.cache
def _has_source(file: str) -> bool:
    return _tree_of(file) is not None


def _tree_of(file: str) -> ast.Module | None:
    try:
        return ast.parse(Path(file).read_bytes(), file)
    except (OSError, SyntaxError, ValueError):
        return None


@functools.cache
def _codes_of(file: str) -> dict[Key, CodeType]:
    """The instrumented code of each function of a file that awaits, or that contains such a function."""
    tree = _tree_of(file)
    if tree is None:
        return {}
    new = ast.fix_missing_locations(_Rewriter(file).visit(tree))
    module: CodeType = compile(new, file, "exec", dont_inherit=True)
    return {_key(code): code for code in _inside(module) if _has_points(code)}


def _inside(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _inside(constant)


def _has_points(code: CodeType) -> bool:
    return any(not NAMES.keys().isdisjoint(one.co_names) for one in (code, *_inside(code)))


class _Rewriter(ast.NodeTransformer):
    """Wraps the operands of `await`, `async with` and `async for`."""

    def __init__(self, file: str) -> None:
        self._file = file

    def visit_Await(self, node: ast.Await) -> ast.AST:
        text = ast.unparse(node)
        self.generic_visit(node)
        node.value = self._wrapped("__kew_await__", node.value, text)
        return node

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        for item in node.items:
            text = f"async with {ast.unparse(item)}"
            item.context_expr = self._wrapped("__kew_with__", item.context_expr, text)
        self.generic_visit(node)
        return node

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        text = f"async for {ast.unparse(node.target)} in {ast.unparse(node.iter)}"
        node.iter = self._wrapped("__kew_for__", node.iter, text)
        self.generic_visit(node)
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        if node.is_async:
            text = f"async for {ast.unparse(node.target)} in {ast.unparse(node.iter)}"
            node.iter = self._wrapped("__kew_for__", node.iter, text)
        self.generic_visit(node)
        return node

    def _wrapped(self, name: str, value: ast.expr, text: str) -> ast.expr:
        short = text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 3]}..."
        place: Any = (self._file, value.lineno, short)
        call = ast.Call(ast.Name(name, ast.Load()), [value, ast.Constant(place)], [])
        return ast.copy_location(call, value)
