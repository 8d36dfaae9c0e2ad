"""What arrives of what was sent: the codecs' laws, and what they refuse."""

import contextlib
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import importlib
import inspect
import math
import types
import typing
import uuid
from typing import Any, Literal, NamedTuple, NewType, Optional, TypedDict

import attrs
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kew.adapters.codecs import MessagePackCodec, PickleCodec
from kew.app.ports import CodecError
from kew.domain.errors import InvalidConfigError, TaskQueueError

CODEC = MessagePackCodec()
SECRET = "correct horse battery staple"


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Weight(enum.Enum):
    LIGHT = 1.5


@dataclasses.dataclass
class Order:
    id: uuid.UUID
    total: decimal.Decimal
    lines: list["Line"] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Line:
    sku: str
    count: int = 1


@dataclasses.dataclass
class RushOrder(Order):
    by: str = "noon"


@attrs.frozen
class Customer:
    name: str
    since: dt.date


class Event(msgspec.Struct):
    at: dt.datetime
    colour: Colour


class Point(NamedTuple):
    x: int
    y: int


class Plain(TypedDict):
    count: int


class Dated(TypedDict):
    on: dt.date


@dataclasses.dataclass
class Positive:
    value: int

    def __post_init__(self) -> None:
        if self.value < 1:
            raise ValueError("must be positive")


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@dataclasses.dataclass
class Spiteful:
    value: int

    def __post_init__(self) -> None:
        raise Unprintable


UserId = NewType("UserId", uuid.UUID)
ORDER = Order(uuid.UUID(int=7), decimal.Decimal("9.90"), [Line("a"), Line("b", 2)])


def taking(annotation: object) -> Any:
    """A function with one parameter, so annotated."""

    def function(value: Any) -> None: ...

    function.__annotations__["value"] = annotation
    return function


def returning(annotation: object) -> Any:
    """A function whose result is so annotated."""

    def function() -> None: ...

    function.__annotations__["return"] = annotation
    return function


def returned(annotation: object, value: object) -> Any:
    function = returning(annotation)
    return CODEC.decode_result(CODEC.encode_result(value, function), function)


def unannotated(value, *args, **kwargs): ...


def arriving(function: Any, *args: object, **kwargs: object) -> tuple[list[Any], dict[str, Any]]:
    payload = CODEC.encode_call(function, args, kwargs)
    arrived, named = CODEC.decode_call(payload, function)
    return list(arrived), dict(named)


def arrived(annotation: object, value: object) -> Any:
    return arriving(taking(annotation), value)[0][0]


def refusal(function: Any, *args: object, **kwargs: object) -> CodecError:
    with pytest.raises(CodecError) as caught:
        CODEC.encode_call(function, args, kwargs)
    return caught.value


# --- what arrives as such

SENT = [
    (Order, ORDER),
    (Customer, Customer("Ada", dt.date(1843, 1, 1))),
    (Event, Event(dt.datetime(2024, 2, 29, tzinfo=dt.UTC), Colour.BLUE)),
    (dt.datetime, dt.datetime(2024, 2, 29, 12, 30, 1, 999_999)),
    (dt.datetime, dt.datetime(2024, 2, 29, tzinfo=dt.timezone(dt.timedelta(hours=2)))),
    (dt.date, dt.date(2024, 2, 29)),
    (dt.time, dt.time(23, 59, 59, 1)),
    (dt.timedelta, dt.timedelta(days=-1, microseconds=1)),
    (uuid.UUID, uuid.UUID(int=1)),
    (UserId, uuid.UUID(int=2)),
    (decimal.Decimal, decimal.Decimal("1.10")),
    (Colour, Colour.RED),
    (Size, Size.LARGE),
    (Point, Point(1, 2)),
    (Dated, {"on": dt.date(2024, 1, 1)}),
    (bytearray, bytearray(b"x")),
    (set, {1, 2}),
    (set[int], {1, 2}),
    (frozenset[str], frozenset({"a"})),
    (tuple, (1, "a")),
    (typing.Tuple, (1, "a")),  # noqa: UP006 - the old spelling too
    (tuple[int, ...], (1, 2)),
    (tuple[int, uuid.UUID], (1, uuid.UUID(int=3))),
    (list[Order], [ORDER]),
    (typing.Sequence[Order], [ORDER]),
    (typing.Iterable[Line], [Line("a")]),
    (dict[str, Order], {"a": ORDER}),
    (dict[tuple[int, int], Line], {(1, 2): Line("a")}),
    (dict[str, list[dt.date]], {"a": [dt.date(2024, 1, 1)]}),
    (Order | None, ORDER),
    (Order | None, None),
    (Optional[dt.datetime], dt.datetime(2024, 1, 1)),  # noqa: UP045 - the old spelling too
    (int | uuid.UUID, uuid.UUID(int=4)),
    (int | uuid.UUID, 5),
    (list[int] | uuid.UUID, [1, 2]),
    (uuid.UUID | str, uuid.UUID(int=5)),
    (Weight, Weight.LIGHT),
    (typing.Annotated[dt.date, "a note"], dt.date(2024, 1, 1)),
]


@pytest.mark.parametrize(("annotation", "value"), SENT)
def test_an_annotated_argument_arrives_as_such(annotation, value):
    received = arrived(annotation, value)
    assert received == value
    assert type(received) is type(value)


@pytest.mark.parametrize(
    "value", [(1, ("a",)), {2}, uuid.UUID(int=1), {"on": dt.date(2024, 1, 1)}, 2**80, 1j]
)
def test_a_value_of_pythons_own_types_needs_no_annotation(value):
    assert arriving(unannotated, value) == ([value], {})
    assert returned(Any, value) == value
    assert returned(inspect.Signature.empty, value) == value


@pytest.mark.parametrize("value", [Line("a", 2), Colour.RED, [Point(1, 2)]])
def test_a_value_of_a_users_class_needs_an_annotation_that_names_it(value):
    reason = refusal(unannotated, value).reason
    assert "annotate the parameter" in reason or "in the annotation of the parameter" in reason
    assert type(value).__name__ in reason or "Point" in reason


MISFITS = [
    (int, "12"),
    (str, 5),
    (float, "1"),
    (float, True),
    (bool, "yes"),
    (bool, 1),
    (bytes, "text"),
    (int | None, "x"),
    (list[int], ["a", 1.5]),
    (dict[str, int], {1: "x"}),
    (Literal["a", "b"], "c"),
    (Literal[1], True),
    (Plain, {"count": "many"}),
    (Plain, {}),
    (tuple[int, ...], ("a",)),
    (tuple[int, str], (1, "a", 2)),
    (set[int], {"a"}),
    (uuid.UUID, str(uuid.UUID(int=1))),
    (uuid.UUID | str, 5),
    (Line, {"sku": "a", "count": 1}),
    (Size | uuid.UUID, 1),
    (Weight, 1.5),
    (type("Sub", (Line,), {}), Line("a")),
]


@pytest.mark.parametrize(("annotation", "value"), MISFITS)
def test_a_value_that_is_not_what_its_annotation_says_is_refused(annotation, value):
    refused = refusal(taking(annotation), value)
    assert (refused.where, "is annotated as" in refused.reason) == ("argument 'value'", True)
    assert "given doesn't fit" in refused.reason or "lacks the key" in refused.reason
    with pytest.raises(CodecError, match=r"result: .*is annotated as"):
        CODEC.encode_result(value, returning(annotation))


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (float, 1),
        (complex, 1.5),
        (int, True),
        (list[float], [1, 2.5]),
        (typing.List, [1]),  # noqa: UP006 - the old spelling too
        (typing.Annotated[int, msgspec.Meta(gt=5)], 3),
        (Plain, {"count": 1, "more": "than it declares"}),
        (Any, [1]),
        (object, 1),
        (typing.TypeVar("T"), 1),
        (dt.date, dt.datetime(2024, 1, 1)),
    ],
)
def test_a_value_that_a_type_checker_accepts_arrives_unchanged(annotation, value):
    received = arrived(annotation, value)
    assert received == value
    assert type(received) is type(value)


class Path2:
    """No type that msgspec knows."""


@pytest.mark.parametrize(
    "annotation",
    [
        Path2,
        Path2 | str,
        Path2 | None,
        dt.datetime | Path2,
        "no type",
        42,
        ...,
        type,
        typing.Callable[[int], str],
        type[int],
        typing.Iterator[int],
    ],
)
def test_an_annotation_that_cannot_be_carried_out_leaves_plain_data_alone(annotation):
    for value in ("text", 5, None, {"a": [1]}):
        assert arrived(annotation, value) == value


def test_elements_of_args_and_kwargs_are_converted_one_by_one():
    def function(first: str, *rest: dt.date, flag: Colour, **others: uuid.UUID) -> None: ...

    day, number = dt.date(2024, 1, 1), uuid.UUID(int=1)
    received = arriving(function, "x", day, day, flag=Colour.RED, a=number, b=number)
    assert received == (["x", day, day], {"flag": Colour.RED, "a": number, "b": number})


def test_none_is_welcome_where_it_is_the_default():
    def function(when: dt.datetime = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013 - the old habit

    assert arriving(function, None) == ([None], {})
    assert arriving(function, when=dt.datetime(2024, 1, 1)) == (
        [],
        {"when": dt.datetime(2024, 1, 1)},
    )


def test_annotations_written_as_text_are_resolved_and_unresolvable_ones_are_none():
    def function(order: "Order", ghost: "Missing", day: "list[dt.date]") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    day = dt.date(2024, 1, 1)
    assert arriving(function, ORDER, {"a": 1}, day=[day]) == ([ORDER, {"a": 1}], {"day": [day]})


class Shop:
    def sell(self, order: Order) -> None: ...

    @classmethod
    def open(cls, on: dt.date) -> None: ...

    def __call__(self, order: "Order") -> None: ...


class Unhashable(Shop):
    __hash__ = None  # type: ignore[assignment]  # on purpose


def wrapped(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs): ...

    return wrapper


@pytest.mark.parametrize(
    "function",
    [
        Shop().sell,
        Shop(),
        Unhashable(),
        Unhashable().sell,
        functools.partial(Shop.sell, Shop()),
        wrapped(taking(Order)),
        functools.partial(wrapped(taking("Order"))),
    ],
)
@pytest.mark.parametrize("is_injecting", [False, True])
def test_every_kind_of_callable_has_its_arguments_converted(function, is_injecting):
    if is_injecting:
        importlib.import_module("uncalled_for")  # is asked for dependencies once it is imported
    assert arriving(function, ORDER) == ([ORDER], {})


def test_a_callable_without_a_signature_takes_plain_data():
    endless = taking(Order)
    endless.__wrapped__ = endless
    assert arriving(endless, 1) == ([1], {})
    assert arriving(type, 1) == ([1], {})
    assert arriving(dt.datetime.fromtimestamp, 1.5) == ([1.5], {})


def test_arguments_too_many_for_the_signature_are_left_to_the_call():
    assert arriving(taking(Order), ORDER, 1, other=2) == ([ORDER, 1], {"other": 2})


@pytest.mark.parametrize(
    "value",
    [
        type("Markup", (str,), {})("x"),
        type("Number", (int,), {})(3),
        type("Ratio", (float,), {})(1.5),
        type("Moment", (dt.datetime,), {})(2024, 1, 1),
        type("Items", (list,), {})([1]),
        type("Names", (dict,), {})(a=1),
    ],
)
def test_a_subclass_of_a_plain_type_is_refused(value):
    for function in (unannotated, taking(type(value).__base__)):
        assert type(value).__name__ in refusal(function, value).reason


# --- the law

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(-9, 9), inner),
    max_leaves=20,
)
lines = st.builds(Line, st.text(), st.integers(-9, 9))
orders = st.builds(Order, st.uuids(), st.decimals(allow_nan=False), st.lists(lines))
moments = st.datetimes() | st.datetimes(timezones=st.just(dt.UTC))
annotated = st.one_of(
    *(
        st.tuples(st.just(annotation), values)
        for annotation, values in [
            (Order, orders),
            (list[Order], st.lists(orders)),
            (dict[str, Order | None], st.dictionaries(st.text(), st.none() | orders)),
            (dt.datetime, moments),
            (dt.timedelta, st.timedeltas()),
            (dt.time, st.times()),
            (set[dt.date], st.sets(st.dates())),
            (tuple[uuid.UUID, ...], st.lists(st.uuids()).map(tuple)),
            (decimal.Decimal, st.decimals(allow_nan=False)),
            (Colour | int | None, st.sampled_from(Colour) | st.integers(0, 9) | st.none()),
            (Size, st.sampled_from(Size)),
            (Any, plain),
        ]
    )
)


@given(st.lists(annotated, max_size=4), st.lists(annotated, max_size=4))
def test_what_arrives_equals_what_was_sent(by_place, by_name):
    names = [f"p{n}" for n in range(len(by_place))] + [f"n{n}" for n in range(len(by_name))]
    function = taking_all(names, [annotation for annotation, _ in by_place + by_name])
    args = [value for _, value in by_place]
    kwargs = dict(zip(names[len(by_place) :], (value for _, value in by_name), strict=True))
    assert arriving(function, *args, **kwargs) == (args, kwargs)


def taking_all(names: list[str], annotations: list[object]) -> Any:
    function: Any = types.FunctionType(
        compile(f"def f({', '.join(names)}): ...", "f", "exec").co_consts[0], globals()
    )
    function.__annotations__ = dict(zip(names, annotations, strict=True))
    return function


@given(annotated)
def test_a_result_arrives_as_its_function_is_annotated(pair):
    annotation, value = pair
    assert returned(annotation, value) == value


@given(plain)
def test_a_result_is_plain_data_without_an_annotation(value):
    assert CODEC.decode_result(CODEC.encode_result(value)) == value


@pytest.mark.parametrize("annotation", [None, "Missing", [1], typing.Annotated[Any, []], Path2, 3])
def test_an_annotation_that_says_nothing_leaves_a_result_as_it_is(annotation):
    assert returned(annotation, [1]) == [1]


def test_a_result_is_plain_data_for_who_knows_no_function():
    result = CODEC.encode_result(
        (Line("a"), {1}, uuid.UUID(int=1)), returning(tuple[Line, Any, Any])
    )
    assert CODEC.decode_result(result) == [{"sku": "a", "count": 1}, [1], str(uuid.UUID(int=1))]
    assert CODEC.decode_result(CODEC.encode_result({(1, 2): 3})) == {(1, 2): 3}
    assert CODEC.decode_result(CODEC.encode_result({((1,),): 2})) == [[[[1]], 2]]


def test_nan_arrives():
    assert math.isnan(arrived(float, math.nan))
    assert math.isnan(next(iter(arrived(dict, {math.nan: 1}))))


# --- what is refused


@pytest.mark.parametrize(
    "value",
    [
        object(),
        open,
        Path2(),
        range(3),
        "\ud800",
        {"\ud800": 1},
        [{1: object()}],
    ],
)
def test_what_cannot_be_encoded_names_its_argument(value):
    def function(order, *more, **others): ...

    assert refusal(function, value).where == "argument 'order'"
    assert refusal(function, 1, value).where == "argument 2"
    assert refusal(function, 1, 2, other=value).where == "argument 'other'"
    with pytest.raises(CodecError) as caught:
        CODEC.encode_result(value)
    assert caught.value.where == "result"


def test_a_keyword_that_is_no_unicode_is_refused():
    assert refusal(unannotated, 1, **{"\ud800": 1}).where == "arguments"


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_nesting_of_32_levels_is_carried_and_33_are_refused():
    wide = [1, {"k": nested(30)}, list(range(100))]
    assert arriving(unannotated, nested(32), wide) == ([nested(32), wide], {})
    deep = refusal(unannotated, 1, x=nested(33))
    assert (deep.where, "32" in deep.reason) == ("argument 'x'", True)
    assert refusal(unannotated, {"a": nested(32)}).where == "argument 'value'"
    assert CODEC.decode_result(CODEC.encode_result(nested(32))) == nested(32)
    for value in (nested(33), {"a": nested(32)}):
        with pytest.raises(CodecError, match="32"):
            CODEC.encode_result(value)


def test_a_value_that_contains_itself_is_refused():
    loop: list[object] = []
    loop.append(loop)
    assert refusal(unannotated, loop).where == "argument 'value'"
    with pytest.raises(CodecError, match="nested"):
        CODEC.encode_result(loop)


@pytest.mark.parametrize("codec", [CODEC, PickleCodec(SECRET)], ids=["messagepack", "pickle"])
def test_sizes_are_bounded_by_default_and_the_error_names_both(codec):
    codec.encode_call(unannotated, ["x" * 261_000], {})
    with pytest.raises(CodecError, match=r"262,\d\d\d bytes are over the limit of 262,144"):
        codec.encode_call(unannotated, ["x" * 262_144], {})
    with pytest.raises(CodecError, match=r"65,\d\d\d bytes are over the limit of 65,536"):
        codec.encode_result("x" * 65_536)
    large = type(codec)(
        *[SECRET] * (codec is not CODEC), max_payload_bytes=2**20, max_result_bytes=2**20
    )
    payload, result = (
        large.encode_call(unannotated, ["x" * 262_144], {}),
        large.encode_result("x" * 65_536),
    )
    assert large.decode_result(result) == "x" * 65_536
    with pytest.raises(CodecError, match="262,144"):
        codec.decode_call(payload, unannotated)
    with pytest.raises(CodecError, match="65,536"):
        codec.decode_result(result)


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, None])
def test_a_size_limit_is_a_positive_number(limit):
    with pytest.raises(InvalidConfigError, match="max_payload_bytes"):
        MessagePackCodec(max_payload_bytes=limit)
    with pytest.raises(InvalidConfigError, match="max_result_bytes"):
        PickleCodec(SECRET, max_result_bytes=limit)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (dt.datetime, "tomorrow"),
        (Order, Line("a")),
        (Order, RushOrder(uuid.UUID(int=1), decimal.Decimal(1))),
        (list[Order], [RushOrder(uuid.UUID(int=1), decimal.Decimal(1))]),
        (list[Line], [Line("a", count="two")]),  # type: ignore[arg-type]  # on purpose
        (Path2, Line("a")),
        (Spiteful, {"value": 1}),
        (Positive, {"value": 0}),
    ],
)
def test_what_would_not_arrive_as_annotated_is_refused_at_submit(annotation, value):
    assert refusal(taking(annotation), value).where == "argument 'value'"
    assert refusal(taking(annotation), value=value).where == "argument 'value'"
    with pytest.raises(CodecError, match="result"):
        CODEC.encode_result(value, returning(annotation))


# --- bytes from anybody


def typed(order: Order, *rest: dt.datetime, **others: set[uuid.UUID]) -> None: ...


HOSTILE = [
    b"",
    b"\xc1",
    b"\x91" * 100_000,
    b"\x92" + b"\x91" * 200_000 + b"\x80",
    b"\xdd\xff\xff\xff\xff",
    b"\x92\xdd\xff\xff\xff\xff\x80",
    b"\x92\x90\xdf\xff\xff\xff\xff",
    b"\x92\x91\xc6\xff\xff\xff\xff\x80",
    b"\x92\x91\xa1\xff\x80",
    b"\x92\x91\x81\x80\x01\x80",
    b"\x92\x91\x81\x91\x80\x01\x80",
    b"\x92\x91\xd4\x05\x01\x80",
    b"\x92\x91\xc7\x0c\xff" + b"\xff" * 12 + b"\x80",
    b"\x92\x90\x81\x01\x02",
    b"\x92\x90\x80\x00",
    b"\x92\x91" + b"\x91" * 40 + b"\x01\x80",
]


def fuzz(read: Any, *args: object) -> None:
    """It is read, or refused as it should be: any other exception fails the test."""
    with contextlib.suppress(CodecError):
        read(*args)


@pytest.mark.parametrize("payload", HOSTILE)
def test_hostile_bytes_are_a_codec_error(payload):
    for function in (unannotated, typed):
        with pytest.raises(CodecError):
            CODEC.decode_call(payload, function)


def test_bytes_nested_beyond_all_bounds_are_said_to_be():
    with pytest.raises(CodecError, match="nested deeper than 32"):
        CODEC.decode_result(b"\x91" * 60_000)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_codec_error(written):
    for function in (unannotated, typed, taking(Spiteful)):
        fuzz(CODEC.decode_call, written, function)
    for annotation in (None, Order, list[Event], dict[str, Size], Customer):
        fuzz(CODEC.decode_result, written, returning(annotation))


@given(plain, plain)
@example([{"value": 1}], {})
def test_no_plain_data_raises_anything_but_a_codec_error(args, kwargs):
    payload = msgspec.msgpack.encode([args, kwargs])
    for function in (unannotated, typed, taking(Spiteful), taking(Positive), taking(Dated)):
        fuzz(CODEC.decode_call, payload, function)
    for annotation in (Order, list[Event], dict[str, Size], Customer, Point):
        fuzz(CODEC.decode_result, msgspec.msgpack.encode(args), returning(annotation))


@given(st.binary(min_size=1, max_size=60), st.integers(0, 200))
def test_a_damaged_payload_raises_nothing_but_a_codec_error(patch, place):
    payload = CODEC.encode_call(typed, [ORDER, dt.datetime(2024, 1, 1)], {"a": {uuid.UUID(int=1)}})
    place %= len(payload)
    fuzz(CODEC.decode_call, payload[:place] + patch + payload[place + len(patch) :], typed)
    fuzz(CODEC.decode_call, payload[:place], typed)


@dataclasses.dataclass(frozen=True)
class Place:
    """A key of a dict in Python, and a map in MessagePack, which can be no key."""

    x: int


def test_a_key_that_messagepack_cannot_have_arrives_if_its_class_is_annotated():
    def function(order, *more): ...

    assert refusal(function, {Place(1): "a"}).where == "argument 'order'"
    assert refusal(function, 1, {Place(1): "a"}).where == "argument 2"
    assert returned(dict[Place, str], {Place(1): "a"}) == {Place(1): "a"}


def test_a_result_that_is_not_as_annotated_is_a_codec_error():
    with pytest.raises(CodecError, match="result"):
        CODEC.decode_result(CODEC.encode_result("soon"), returning(dt.datetime))


def test_a_plan_keeps_no_function_alive():
    import gc
    import weakref

    codec = MessagePackCodec()

    def make() -> "weakref.ref[Any]":
        function = taking(Order)
        codec.encode_call(function, [ORDER], {})
        return weakref.ref(function)

    gone = make()
    gc.collect()
    assert gone() is None


# --- pickle


def test_pickle_carries_functions_and_any_object():
    codec = PickleCodec(SECRET)
    factor = 3
    payload = codec.encode_call(unannotated, [lambda x: x * factor, 1j], {"order": ORDER})
    (function, number), kwargs = codec.decode_call(payload, unannotated)
    assert (function(2), number, kwargs) == (6, 1j, {"order": ORDER})
    assert codec.decode_result(codec.encode_result({1, 2})) == {1, 2}
    assert codec.carries_functions
    assert not CODEC.carries_functions


BURNT: list[str] = []


def burn(text: str) -> None:
    BURNT.append(text)


class Bomb:
    def __reduce__(self) -> Any:
        return (burn, ("decoded",))


def test_what_another_secret_signed_is_refused_before_it_is_decoded():
    ours, theirs = PickleCodec(SECRET), PickleCodec("x" * 16)
    call, result = theirs.encode_call(unannotated, [Bomb()], {}), theirs.encode_result(Bomb())
    BURNT.clear()  # what was pickled is unpickled once where it is sent
    with pytest.raises(CodecError, match="signature"):
        ours.decode_call(call, unannotated)
    with pytest.raises(CodecError, match="signature"):
        ours.decode_result(result)
    assert BURNT == []
    theirs.decode_result(result)  # the bomb does work
    assert BURNT.pop() == "decoded"


def test_a_result_cannot_pass_for_a_call():
    codec = PickleCodec(SECRET)
    with pytest.raises(CodecError, match="signature"):
        codec.decode_call(codec.encode_result(([], {})), unannotated)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_one_changed_byte_breaks_the_signature(place, change):
    codec = PickleCodec(SECRET)
    written = bytearray(codec.encode_result(["a", 1]))
    written[place % len(written)] ^= change
    with pytest.raises(CodecError, match="signature"):
        codec.decode_result(bytes(written))


@given(st.binary(max_size=100))
def test_no_bytes_pass_for_signed_ones(written):
    codec = PickleCodec(SECRET)
    for read in (codec.decode_result, functools.partial(codec.decode_call, function=unannotated)):
        with pytest.raises(CodecError):
            read(written)


def fail() -> None:
    raise Unprintable


class Undecodable:
    def __reduce__(self) -> Any:
        return (fail, ())


def test_what_cannot_be_pickled_or_unpickled_is_a_codec_error():
    codec = PickleCodec(SECRET)
    with pytest.raises(CodecError) as caught:
        codec.encode_call(taking(None), [1, (each for each in "ab")], {})
    assert caught.value.where == "argument 2"
    with pytest.raises(CodecError, match="argument 'value'"):
        codec.encode_call(taking(None), [], {"value": (each for each in "ab")})
    with pytest.raises(CodecError, match="result"):
        codec.encode_result(each for each in "ab")
    with pytest.raises(CodecError, match="Unprintable"):
        codec.decode_result(codec.encode_result(Undecodable()))


def test_a_refused_call_leaves_nothing_on_the_classes_of_its_function():
    @dataclasses.dataclass
    class Local:
        value: int = 1

    codec, function = PickleCodec(SECRET), taking(Local)
    with pytest.raises(CodecError, match="argument 2"):
        codec.encode_call(function, [Local(), (each for each in "ab")], {})
    arrived, _ = codec.decode_call(codec.encode_call(function, [Local(5)], {}), function)
    assert arrived[0].value == 5


def test_a_function_that_travels_is_named_when_it_cannot():
    stream = (each for each in "ab")

    def function(value):
        return stream

    with pytest.raises(CodecError) as caught:
        PickleCodec(SECRET).encode_call(function, [function, 1], {})
    assert caught.value.where == "function"
    with pytest.raises(CodecError) as caught:
        PickleCodec(SECRET).encode_call(unannotated, [unannotated, stream], {})
    assert caught.value.where == "argument 'value'"


@pytest.mark.parametrize("secret", ["", "short", b"x" * 15, None, 16, bytearray(16)])
def test_a_secret_has_at_least_16_bytes_and_is_never_shown(secret):
    with pytest.raises(InvalidConfigError) as caught:
        PickleCodec(secret)
    assert not secret or not isinstance(secret, str) or secret not in str(caught.value)
    assert SECRET not in repr(PickleCodec(SECRET))


def test_without_cloudpickle_the_error_says_what_to_install(monkeypatch):
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(TaskQueueError, match=r"pip install 'kew\[pickle\]'"):
        PickleCodec(SECRET)
