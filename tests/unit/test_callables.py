"""What a callable accepts: its own signature, whatever decorators say of it."""

import functools
import inspect
import typing
import uuid
from typing import Any

import pytest
import wrapt

from kew import compat
from kew.callables import UNRESOLVED, accepted, unresolved_annotations


class Session: ...


def find(session: Session, user: uuid.UUID, *, day: int = 1) -> str: ...  # type: ignore[empty-body]


@functools.wraps(find)
def injecting(*args: object, **kwargs: object) -> str:
    return find(Session(), *args, **kwargs)  # type: ignore[arg-type]


@functools.wraps(find)
def renaming(user: str, times: int) -> None: ...


@wrapt.decorator
def passing(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    return wrapped(Session(), *args, **kwargs)


@functools.wraps(find)
def stating(*args: object) -> None: ...


stating.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [inspect.Parameter("user", inspect.Parameter.POSITIONAL_ONLY, annotation=uuid.UUID)]
)


@functools.wraps(stating)
def copying(one: object, other: object) -> None: ...


class Service:
    def sell(self, order: "uuid.UUID") -> None: ...

    async def __call__(self, order: uuid.UUID) -> None: ...


def names(function: Any) -> dict[str, object] | None:
    known = accepted(function)
    if known is None:
        return None
    return {p.name: known.hint(p.annotation) for p in known.signature.parameters.values()}


@pytest.mark.parametrize(
    ("function", "taken"),
    [
        (find, {"session": Session, "user": uuid.UUID, "day": int}),
        (injecting, {"args": Any, "kwargs": Any}),
        (renaming, {"user": Any, "times": Any}),
        (stating, {"user": uuid.UUID}),
        (copying, {"one": Any, "other": Any}),
        (functools.partial(find, Session()), {"user": uuid.UUID, "day": int}),
        (functools.partial(injecting, 1), {"args": Any, "kwargs": Any}),
        (Service().sell, {"order": uuid.UUID}),
        (Service(), {"order": uuid.UUID}),
        (functools.partial(Service.sell, Service()), {"order": uuid.UUID}),
        (functools.singledispatch(find), {"args": Any, "kw": Any}),
        (functools.lru_cache(find), None),
        (print, {"args": Any, "sep": Any, "end": Any, "file": Any, "flush": Any}),
        (type, None),
    ],
)
def test_a_callable_accepts_what_its_own_code_takes(function, taken):
    assert names(function) == taken


def test_a_proxy_that_looks_like_a_function_accepts_what_its_call_takes():
    proxy = passing(find)
    assert isinstance(proxy, type(find))
    taken = names(proxy)
    assert taken is None or set(taken) == {"args", "kwargs"}


def test_a_copied_annotation_says_nothing_of_what_a_wrapper_returns():
    known = accepted(renaming)
    assert known is not None
    assert known.hint(known.signature.return_annotation) is Any


def test_annotations_are_resolved_among_the_names_that_the_function_can_see():
    Local = type("Local", (), {})  # noqa: N806

    def sees(one: "Local", other: "Missing") -> "list[Local]":  # type: ignore[name-defined,valid-type]  # noqa: F821
        return [Local()]

    assert names(sees) == {"one": Local, "other": UNRESOLVED}
    assert unresolved_annotations(sees) == ["other"]
    assert unresolved_annotations(find) == []
    assert unresolved_annotations(type) == []


def test_a_variable_that_is_not_assigned_yet_is_no_obstacle():
    def sees(one: int) -> object:
        return later

    assert names(sees) == {"one": int}
    later = sees
    assert later(1) is sees


class LazyAnnotations:
    """What `annotationlib` of Python 3.14 does with a name that isn't defined."""

    class Format:
        FORWARDREF = "forwardref"

    @staticmethod
    def get_annotations(function: Any, **options: str) -> dict[str, Any]:
        assert options == {"format": "forwardref"}
        return {"when": typing.ForwardRef("Missing"), "user": uuid.UUID}


def test_a_lazy_annotation_that_names_nothing_is_unresolved_and_the_others_hold(monkeypatch):
    """There is no Python 3.14 here: its module is played by a fake."""

    def function(when, user): ...

    monkeypatch.setattr(compat, "LAZY", LazyAnnotations)
    assert compat.annotations_of(function)["user"] is uuid.UUID
    signature = inspect.signature(function)
    monkeypatch.setattr(inspect, "signature", lambda bare, **options: signature_with(bare, options))
    assert signature.parameters.keys() == {"when", "user"}
    assert names(function) == {"when": UNRESOLVED, "user": uuid.UUID}


def signature_with(bare: Any, options: dict[str, Any]) -> inspect.Signature:
    assert options == {"follow_wrapped": False, "annotation_format": "forwardref"}
    return inspect.Signature.from_callable(bare, follow_wrapped=False)


def test_lazy_annotations_that_were_copied_onto_a_wrapper_say_nothing_of_it():
    def inside(user): ...

    def wrapper(*args): ...

    wrapper.__wrapped__ = inside  # type: ignore[attr-defined]
    wrapper.__annotations__ = {"args": int}
    inside.__annotate__ = wrapper.__annotate__ = lambda kind: {}  # type: ignore[attr-defined]  # as wraps() does
    assert names(wrapper) == {"args": Any}
    wrapper.__annotate__ = lambda kind: {}  # type: ignore[attr-defined]  # its own
    assert names(wrapper) == {"args": int}
