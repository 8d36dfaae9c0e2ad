"""Generated types with values, some of which don't fit: each value arrives as it was sent, or is refused.

`KEW_VALUES` is the number of examples: the default is what CI runs, `make soak` asks for 100,000. The comparison is
this file's own, and knows nothing of the codec's.
"""

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import itertools
import os
import pathlib
import types
import typing
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kew.adapters.codecs import MessagePackCodec
from kew.app.ports import CodecError

VALUES = int(os.environ.get("KEW_VALUES", "2000"))
CODEC = MessagePackCodec()
NUMBERS = itertools.count()
ZONES = [
    None,
    dt.UTC,
    zoneinfo.ZoneInfo("UTC"),
    zoneinfo.ZoneInfo("Europe/Berlin"),
    dt.timezone(dt.timedelta(hours=2)),
    dt.timezone(dt.timedelta(hours=-3, seconds=-7)),
]
Typed = tuple[Any, st.SearchStrategy[Any]]
"""An annotation, and values of it."""


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, "two")


class Size(enum.IntEnum):
    SMALL = 1


class Word(enum.StrEnum):
    A = "a"


class Perm(enum.Flag):
    READ = 1
    WRITE = 2


class Text(str):
    """A subclass of a plain type."""


class Whole(int):
    """Another."""


# --- what was sent, in a form that `==` compares exactly


def canonical(value: Any) -> Any:
    """Types, contents and order of everything within; a set's elements in no order."""
    kind = type(value)
    if isinstance(value, enum.Enum):
        return kind, canonical(value.value)
    if isinstance(value, float | complex | decimal.Decimal):
        return kind, repr(value)
    if isinstance(value, dt.datetime | dt.time):
        zone = value.tzinfo
        is_utc = zone is not None and str(zone) == "UTC"
        shown = "UTC" if is_utc else getattr(zone, "key", None) or str(value.utcoffset())
        return kind, repr(value.replace(tzinfo=None)), zone is None, shown
    if isinstance(value, collections.ChainMap):
        return kind, [canonical(each) for each in value.maps]
    if isinstance(value, dict | types.MappingProxyType):
        factory = getattr(value, "default_factory", None)
        return kind, [(canonical(k), canonical(v)) for k, v in value.items()], factory
    if isinstance(value, set | frozenset):
        return kind, sorted(repr(canonical(each)) for each in value)
    if isinstance(value, list | tuple | collections.deque):
        return kind, [canonical(each) for each in value], getattr(value, "maxlen", None)
    if isinstance(value, pydantic.BaseModel):
        inside = (value.__dict__, value.__pydantic_extra__, value.__pydantic_private__)
        return kind, [canonical(each) for each in inside], sorted(value.model_fields_set)
    names = fields_of(kind)
    if names is not None:
        return kind, [(name, canonical(getattr(value, name, "missing"))) for name in names]
    return kind, value


def fields_of(kind: Any) -> list[str] | None:
    if dataclasses.is_dataclass(kind):
        return [each.name for each in dataclasses.fields(kind)]
    if attrs.has(kind):
        return [each.name for each in attrs.fields(kind)]
    return list(kind.__struct_fields__) if issubclass(kind, msgspec.Struct) else None


# --- types, with values of them

instants = st.builds(
    lambda moment, zone, fold: moment.replace(tzinfo=zone, fold=fold),
    st.datetimes(dt.datetime(1950, 1, 1), dt.datetime(2090, 1, 1)),
    st.sampled_from(ZONES),
    st.sampled_from([0, 0, 0, 1]),
)
SCALARS: list[Typed] = [
    (type(None), st.none()),
    (bool, st.booleans()),
    (int, st.integers(-(2**70), 2**70) | st.booleans()),
    (float, st.floats() | st.integers(-9, 9)),
    (str, st.text(max_size=5)),
    (bytes, st.binary(max_size=5)),
    (bytearray, st.binary(max_size=5).map(bytearray)),
    (complex, st.complex_numbers()),
    (decimal.Decimal, st.decimals()),
    (fractions.Fraction, st.fractions()),
    (uuid.UUID, st.uuids()),
    (dt.datetime, instants),
    (dt.date, st.dates() | instants),
    (dt.time, st.times() | st.builds(dt.time, st.integers(0, 23), tzinfo=st.sampled_from(ZONES))),
    (dt.timedelta, st.timedeltas()),
    (pathlib.Path, st.sampled_from(["a", "/b/c"]).map(pathlib.Path)),
    (Text, st.text(max_size=3).map(Text)),
    (Whole, st.integers(-9, 9).map(Whole)),
    *((kind, st.sampled_from(list(kind))) for kind in (Colour, Size, Word)),
    (Perm, st.sampled_from([Perm.READ, Perm.READ | Perm.WRITE, Perm(0)])),
    (typing.Literal["a", 1], st.sampled_from(["a", 1])),
]
JUNK = st.one_of(
    st.sampled_from([Text("x"), Whole(3), "\ud800", {}, [None], (1,), {1}, Size.SMALL, object()]),
    *(values for _, values in SCALARS),
)
HASHABLE = [each for each in SCALARS if each[0] not in (bytearray, decimal.Decimal)]


def mostly(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values that fit, and now and then one that may not."""
    return st.integers(0, 30).flatmap(lambda n: JUNK if n == 13 else values)


def of(generic: Any, *arguments: Any) -> Any:
    """`generic[arguments]`, made at run time."""
    return generic[arguments if len(arguments) > 1 else arguments[0]]


def containers(draw: Any, inner: Typed) -> Typed:
    annotation, values = inner
    keys = draw(st.sampled_from(HASHABLE))
    dicts = st.dictionaries(keys[1], values, max_size=3)
    lists = st.lists(values, max_size=3)
    hashable = draw(st.sampled_from(HASHABLE))
    sets = st.lists(hashable[1], max_size=3)
    choice: Typed = draw(
        st.sampled_from(
            [
                (of(list, annotation), lists),
                (of(collections.abc.Sequence, annotation), lists | lists.map(tuple)),
                (of(tuple, annotation, ...), lists.map(tuple)),
                (of(tuple, annotation, int), st.tuples(values, st.integers(0, 9))),
                (of(collections.deque, annotation), lists.map(collections.deque)),
                (collections.deque, lists.map(functools.partial(collections.deque, maxlen=3))),
                (of(dict, keys[0], annotation), dicts),
                (
                    of(collections.abc.Mapping, keys[0], annotation),
                    dicts.map(types.MappingProxyType),
                ),
                (
                    of(collections.OrderedDict, keys[0], annotation),
                    dicts.map(collections.OrderedDict),
                ),
                (
                    collections.defaultdict,
                    dicts.map(functools.partial(collections.defaultdict, list)),
                ),
                (
                    collections.ChainMap,
                    st.lists(dicts, max_size=2).map(lambda m: collections.ChainMap(*m)),
                ),
                (of(collections.Counter, keys[0]), st.lists(keys[1]).map(collections.Counter)),
                (of(set, hashable[0]), sets.map(set)),
                (of(frozenset, hashable[0]), sets.map(frozenset)),
            ]
        )
    )
    return choice


def built(kind: Any, names: list[str], fields: list[Typed]) -> Typed:
    values = st.fixed_dictionaries(dict(zip(names, (mostly(v) for _, v in fields), strict=True)))
    return kind, values.map(lambda given: kind(**given))


def classes(draw: Any, fields: list[Typed]) -> Typed:
    """A class with these fields, and values of it, and of a subclass that nothing names."""
    title = f"Made{next(NUMBERS)}"
    names = [f"f{n}" for n in range(len(fields))]
    pairs = [(name, each[0]) for name, each in zip(names, fields, strict=True)]
    make: Callable[[], Typed] = draw(
        st.sampled_from(
            [
                lambda: built(made_dataclass(draw, title, pairs), names, fields),
                lambda: built(made_attrs(draw, title, pairs), names, fields),
                lambda: built(msgspec.defstruct(title, pairs, frozen=True), names, fields),
                lambda: built(NamedTuple(title, pairs), names, fields),
                lambda: typed_dict(title, pairs, fields),
                lambda: model(title, pairs, fields),
            ]
        )
    )
    kind, values = make()
    if dataclasses.is_dataclass(kind) and draw(st.integers(0, 5)) == 0:
        values = values | values.map(functools.partial(copied, subclass(kind)))
    return kind, values


def subclass(kind: Any) -> Any:
    is_frozen = kind.__hash__ is not None
    return dataclasses.make_dataclass(f"{kind.__name__}Sub", [], bases=(kind,), frozen=is_frozen)


def copied(kind: Any, value: Any) -> Any:
    given = {
        each.name: getattr(value, each.name) for each in dataclasses.fields(value) if each.init
    }
    return kind(**given)


def made_dataclass(draw: Any, title: str, pairs: list[tuple[str, Any]]) -> Any:
    counted = ("count", int, dataclasses.field(init=False, default=0))

    def count(self: Any) -> None:
        object.__setattr__(self, "count", 1)

    return draw(
        st.sampled_from(
            [
                lambda: dataclasses.make_dataclass(title, pairs),
                lambda: dataclasses.make_dataclass(title, pairs, frozen=True),
                lambda: dataclasses.make_dataclass(title, pairs, slots=True, kw_only=True),
                lambda: dataclasses.make_dataclass(
                    title, [*pairs, counted], namespace={"__post_init__": count}
                ),
            ]
        )
    )()


def made_attrs(draw: Any, title: str, pairs: list[tuple[str, Any]]) -> Any:
    private = attrs.field(init=False, default=5)
    fields = {name: attrs.field(type=annotation) for name, annotation in pairs}
    return draw(
        st.sampled_from(
            [
                lambda: attrs.make_class(title, fields, frozen=True, slots=True),
                lambda: attrs.make_class(title, {**fields, "_hidden": private}),
            ]
        )
    )()


def typed_dict(title: str, pairs: list[tuple[str, Any]], fields: list[Typed]) -> Typed:
    kind: Any = TypedDict(title, dict(pairs))  # type: ignore[misc]  # made at run time
    values = {name: mostly(v) for (name, _), (_, v) in zip(pairs, fields, strict=True)}
    more = st.fixed_dictionaries({**values, "undeclared": st.uuids()})
    return kind, st.fixed_dictionaries(values) | more


def model(title: str, pairs: list[tuple[str, Any]], fields: list[Typed]) -> Typed:
    config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    try:
        definitions: dict[str, Any] = {name: (annotation, ...) for name, annotation in pairs}
        definitions["id"] = (uuid.UUID, pydantic.Field(default_factory=uuid.uuid4))
        kind: Any = pydantic.create_model(title, __config__=config, **definitions)
    except (pydantic.errors.PydanticUserError, pydantic.errors.PydanticSchemaGenerationError):
        return typed_dict(title, pairs, fields)
    values = st.fixed_dictionaries(
        {name: v for (name, _), (_, v) in zip(pairs, fields, strict=True)}
    )
    return kind, values.map(functools.partial(validated, kind))


def validated(kind: Any, given: dict[str, Any]) -> Any:
    try:
        return kind(**given)
    except (pydantic.ValidationError, ValueError, TypeError):
        return kind.model_construct(**given)


@st.composite
def typed(draw: Any, depth: int = 3) -> Typed:
    """Any type, with a strategy for its values."""
    what = draw(st.integers(0, 9)) if depth else 0
    if what < 3:
        annotation, values = draw(st.sampled_from(SCALARS))
    elif what < 6:
        annotation, values = containers(draw, draw(typed(depth - 1)))
    elif what < 8:
        fields = draw(st.lists(typed(depth - 1), min_size=1, max_size=3))
        annotation, values = classes(draw, fields)
    else:
        members = draw(st.lists(typed(depth - 1), min_size=1, max_size=3))
        values = st.one_of(*(each for _, each in members))
        annotation = typing.Union[*(each for each, _ in members), None] if what == 8 else Any
    return annotation, mostly(values)


@st.composite
def sent(draw: Any) -> tuple[Any, Any]:
    annotation, values = draw(typed())
    return annotation, draw(values)


# --- the property


def plain(annotation: Any) -> Any:
    def function(value: Any) -> Any: ...

    function.__annotations__.update(value=annotation)
    function.__annotations__["return"] = annotation
    return function


def without_annotations(annotation: Any) -> Any:
    return lambda value: value


def unresolvable(annotation: Any) -> Any:
    return plain("Imported.For.TypeChecking")


def decorated(annotation: Any) -> Any:
    """Behind a decorator that passes an argument of its own."""
    function = plain(annotation)

    @functools.wraps(function)
    def inner(*args: object) -> Any:
        return function(None, *args)

    return inner


FORMS = [plain, plain, without_annotations, unresolvable, decorated]
ended: collections.Counter[str] = collections.Counter()


def arrives(encode: Callable[[], bytes], decode: Callable[[bytes], Any], value: Any) -> None:
    try:
        written = encode()
    except CodecError:
        ended["refused"] += 1
        return
    assert canonical(decode(written)) == canonical(value)
    ended["arrived"] += 1


@settings(
    max_examples=VALUES, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
@given(sent(), st.sampled_from(FORMS))
def generated(pair: tuple[Any, Any], form: Callable[[Any], Any]) -> None:
    annotation, value = pair
    function = form(annotation)
    arrives(
        lambda: CODEC.encode_call(function, [value], {}),
        lambda written: CODEC.decode_call(written, function)[0][0],
        value,
    )
    arrives(
        lambda: CODEC.encode_call(function, [], {"value": value}),
        lambda written: CODEC.decode_call(written, function)[1]["value"],
        value,
    )
    arrives(
        lambda: CODEC.encode_result(value, function),
        lambda written: CODEC.decode_result(written, function),
        value,
    )


@pytest.mark.no_cover
@pytest.mark.slow
@pytest.mark.timeout(max(600, VALUES // 20))
def test_generated_values_arrive_equal_and_of_equal_type_or_are_refused():
    ended.clear()
    generated()
    assert ended["arrived"] > ended["refused"], dict(ended)
