"""What a callable accepts and how it is annotated: its own signature, not that of a function that it wraps.

`functools.wraps` makes a wrapper look like the function inside, with that function's annotations, whatever arguments
the wrapper adds, removes or renames. A call goes to the wrapper, so what is copied says nothing about its arguments.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from typing import Any, Final

import attrs

from kew.compat import annotations_of, signature_of

Function = Callable[..., Any]


class Unresolved:
    """An annotation that names something which can't be found at run time."""


UNRESOLVED: Final = Unresolved()


@attrs.frozen
class Accepted:
    """What a callable accepts, and the names among which its annotations are resolved."""

    signature: inspect.Signature
    scope: Mapping[str, Any]

    def hint(self, annotation: Any) -> Any:
        """The annotation with its texts evaluated; `UNRESOLVED` if that fails; `Any` without one."""
        return Any if annotation is inspect.Parameter.empty else resolved(annotation, self.scope)

    def without(self, names: Collection[str]) -> Accepted:
        """Without these parameters. What follows one of them by place can then be given by name alone."""
        left: list[inspect.Parameter] = []
        is_shifted = False
        for each in self.signature.parameters.values():
            if each.name in names:
                is_shifted = is_shifted or each.kind is not each.KEYWORD_ONLY
            elif is_shifted and each.kind is each.POSITIONAL_OR_KEYWORD:
                left.append(each.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            elif not (is_shifted and each.kind is each.VAR_POSITIONAL):
                left.append(each)
        return Accepted(self.signature.replace(parameters=left), self.scope)


def provided_parameters(function: Function) -> Mapping[str, Any]:
    """The parameters that dependencies provide, by name. Raises what the library raises for impossible ones.

    An object that can't be hashed has none: the library remembers functions by their hash.
    """
    library = sys.modules.get("uncalled_for")  # without it, there can't be a dependency
    if library is None or not isinstance(function, Hashable):
        return {}
    provided: Mapping[str, Any] = library.get_dependency_parameters(function)
    return provided


def accepted(function: Function) -> Accepted | None:
    """None: this can't be known, as for some callables written in C.

    Parameters that `Depends` provides are left out, since no caller gives them.
    """
    try:
        known = _accepted(function)
    except Exception:  # noqa: BLE001 - inspecting a user's callable runs the user's code
        return None
    try:
        provided = provided_parameters(function)
    except Exception:  # noqa: BLE001 - it is refused when it is decorated or submitted
        return known
    return known.without(provided) if provided else known


def _accepted(function: Any) -> Accepted:
    if isinstance(function, functools.partial):
        inner = _accepted(function.func)
        bound = functools.partial(_signed(inner), *function.args, **function.keywords)
        return Accepted(inspect.signature(bound), inner.scope)
    if type(function) is types.MethodType:
        inner = _accepted(function.__func__)
        method = types.MethodType(_signed(inner), function.__self__)
        return Accepted(inspect.signature(method), inner.scope)
    if (claimed := _claimed(function)) is not None:
        return Accepted(claimed, _scope(inspect.unwrap(function)))
    if type(function) is types.FunctionType:
        return Accepted(signature_of(_bare(function)), _scope(function))
    call = type(function).__call__
    if not isinstance(function, type) and (call_is_python(call) or _is_disguised(function)):
        return _accepted(types.MethodType(call, function))
    return Accepted(signature_of(function), _scope(function))


def call_is_python(call: object) -> bool:
    """Whether an object's `__call__` is a plain function, whose signature can be read."""
    return type(call) is types.FunctionType


def _is_disguised(function: object) -> bool:
    """A proxy, such as a decorator of wrapt: it says that it is a function, and calls code of its own."""
    return isinstance(function, types.FunctionType | types.MethodType)


def _claimed(function: Any) -> inspect.Signature | None:
    """The signature that a decorator set on purpose; one that was copied from the function inside is none."""
    claim = getattr(function, "__signature__", None)
    inside = getattr(function, "__wrapped__", None)
    if claim is getattr(inside, "__signature__", None):
        return None
    return claim if isinstance(claim, inspect.Signature) else None


def _signed(inner: Accepted) -> Function:
    def stub() -> None: ...

    stub.__signature__ = inner.signature  # type: ignore[attr-defined]  # what inspect looks at
    return stub


def _bare(function: types.FunctionType) -> Function:
    """The function's own code and annotations, without what decorators copied onto it."""
    bare = types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    bare.__kwdefaults__ = function.__kwdefaults__
    bare.__annotations__ = {} if has_copied_annotations(function) else annotations_of(function)
    return bare


def has_copied_annotations(function: Any) -> bool:
    """Its annotations are those of the function that it wraps."""
    inside = getattr(function, "__wrapped__", None)
    if inside is None:
        return False
    lazy = getattr(function, "__annotate__", None)  # Python 3.14
    if lazy is not None:
        return lazy is getattr(inside, "__annotate__", None)
    own: object = getattr(function, "__annotations__", None)
    return own is getattr(inside, "__annotations__", UNRESOLVED)


def layers(function: Any) -> Iterator[Function]:
    """The callable and those inside it: behind partials, methods and decorators."""
    seen: set[int] = set()
    while function is not None and id(function) not in seen:
        seen.add(id(function))
        yield function
        if isinstance(function, functools.partial):
            function = function.func
        elif type(function) is types.MethodType:
            function = function.__func__
        else:
            function = getattr(function, "__wrapped__", None)


def _scope(function: Any) -> Mapping[str, Any]:
    """The names that its annotations may use: globals, those enclosing variables that it uses, type variables."""
    if isinstance(function, type):
        module = sys.modules.get(function.__module__)
        return {**vars(module), **_type_variables(function)} if module else {}
    code = getattr(function, "__code__", None)
    cells = (
        zip(getattr(code, "co_freevars", ()), function.__closure__ or (), strict=False)
        if code
        else ()
    )
    enclosing = {name: cell.cell_contents for name, cell in cells if _is_filled(cell)}
    return {**getattr(function, "__globals__", {}), **enclosing, **_type_variables(function)}


def _type_variables(owner: object) -> dict[str, Any]:
    return {each.__name__: each for each in getattr(owner, "__type_params__", ())}


def _is_filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:  # its variable is assigned later
        return False
    return True


def resolved(annotation: Any, scope: Mapping[str, Any]) -> Any:
    """An annotation with its texts evaluated among the names of `scope`; `UNRESOLVED` if that fails."""
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, dict(scope), include_extras=True)["it"]
    except Exception:  # noqa: BLE001 - evaluating a user's annotation may raise anything
        return UNRESOLVED


def unresolved_annotations(function: Function) -> list[str]:
    """The parameters (and "return") whose annotations can't be resolved."""
    known = accepted(function)
    if known is None:
        return []
    annotations = {p.name: p.annotation for p in known.signature.parameters.values()}
    annotations["return"] = known.signature.return_annotation
    return [name for name, each in annotations.items() if known.hint(each) is UNRESOLVED]
