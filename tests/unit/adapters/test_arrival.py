"""What a value is that arrives: equal and of the same type all the way down, or it was refused. Kind by kind."""

import collections
import collections.abc as abc
import contextlib
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import math
import pathlib
import types
import typing
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Literal, NamedTuple, Required, Self, TypedDict, TypeVar, Unpack
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pydantic
import pytest
from typing_extensions import TypeAliasType

from kew.adapters.codecs import MessagePackCodec
from kew.adapters.codecs.sameness import difference
from kew.app.ports import CodecError
from kew.domain.errors import InvalidConfigError

CODEC = MessagePackCodec()
U = uuid.UUID(int=5)
BERLIN = ZoneInfo("Europe/Berlin")
T = TypeVar("T")


def taking(annotation: object) -> Any:
    def function(value: Any) -> None: ...

    function.__annotations__["value"] = annotation
    return function


def returning(annotation: object) -> Any:
    def function() -> None: ...

    function.__annotations__["return"] = annotation
    return function


def arrived(annotation: object, value: object, codec: MessagePackCodec = CODEC) -> tuple[Any, Any]:
    """As an argument, and as a result."""
    function, giver = taking(annotation), returning(annotation)
    args, _ = codec.decode_call(codec.encode_call(function, [value], {}), function)
    return args[0], codec.decode_result(codec.encode_result(value, giver), giver)


def refusals(annotation: object, value: object, codec: MessagePackCodec = CODEC) -> str:
    with pytest.raises(CodecError) as at_submit:
        codec.encode_call(taking(annotation), [value], {})
    with pytest.raises(CodecError) as of_result:
        codec.encode_result(value, returning(annotation))
    assert (at_submit.value.where, of_result.value.where) == ("argument 'value'", "result")
    return at_submit.value.reason


# --- enums


class Perm(enum.Flag):
    READ = 1
    WRITE = 2


class Mode(enum.IntFlag):
    READ = 1


class Word(enum.StrEnum):
    A = "a"


class Odd(enum.Enum):
    PAIR = (1, 2)
    THING = object()


# --- dataclasses


@dataclasses.dataclass
class Shape:
    name: str


@dataclasses.dataclass
class Circle(Shape):
    radius: float = 0.0


@dataclasses.dataclass
class Drawing:
    shapes: list[Shape]
    main: Shape | None = None


@dataclasses.dataclass
class Box:
    extra: Any = None
    stuff: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Counted:
    n: int

    def __post_init__(self) -> None:
        self.n += 1


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    x: int
    tags: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Doubled:
    a: int
    b: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.b = self.a * 2


@dataclasses.dataclass
class Seeded:
    a: int
    seed: dataclasses.InitVar[int] = 3
    kept: int = dataclasses.field(init=False, default=0)

    def __post_init__(self, seed: int) -> None:
        self.kept = seed


@dataclasses.dataclass
class Keyed:
    a: int
    key: dataclasses.InitVar[int]


@dataclasses.dataclass
class Private:
    _a: int
    price: float = 1.0


@dataclasses.dataclass
class Cached:
    a: int

    @functools.cached_property
    def double(self) -> int:
        return self.a * 2


@dataclasses.dataclass
class Tree:
    children: list["Tree"] = dataclasses.field(default_factory=list)
    value: Any = None


# --- attrs


@attrs.define
class Hidden:
    _a: int
    __b: int = 2


@attrs.define
class Aliased:
    a: int = attrs.field(alias="other")


@attrs.frozen(cache_hash=True)
class Converted:
    a: int = attrs.field(converter=int)
    b: list[int] = attrs.field(factory=list, init=False)


@attrs.define
class Incremented:
    a: int = attrs.field(converter=lambda value: value + 1)


# --- Structs, NamedTuples, TypedDicts


class Event(msgspec.Struct, frozen=True):
    a: int
    at: dt.datetime


class Tagged(msgspec.Struct, tag="x", rename="camel", omit_defaults=True):
    a_b: int = 5


class Row(msgspec.Struct, array_like=True):
    a: int
    b: str = "x"


class Point(NamedTuple):
    x: int
    y: int = 0


class Entry(TypedDict, total=False):
    id: Required[uuid.UUID]
    n: int


# --- pydantic


class Order(pydantic.BaseModel):
    id: uuid.UUID = pydantic.Field(default_factory=uuid.uuid4)
    at: dt.datetime | None = None
    number: int = pydantic.Field(default=1, alias="N")


class Open(pydantic.BaseModel, extra="allow"):
    a: int


class Secretive(pydantic.BaseModel):
    a: int
    excluded: str = pydantic.Field("x", exclude=True)
    _inner: int = pydantic.PrivateAttr(default=1)


class Nested(pydantic.BaseModel):
    order: Order
    orders: list[Order]
    shape: Shape
    anything: Any = None


class Strict(pydantic.BaseModel, strict=True, frozen=True):
    id: uuid.UUID
    at: dt.datetime


class Incrementing(pydantic.BaseModel):
    a: int

    @pydantic.field_validator("a")
    @classmethod
    def increment(cls, value: int) -> int:
        return value + 1


class Renamed(pydantic.BaseModel):
    a: int = pydantic.Field(validation_alias=pydantic.AliasChoices("aa", "A"))
    b: int = pydantic.Field(2, serialization_alias="BB")


class Ids(pydantic.RootModel[list[uuid.UUID]]):
    pass


class Page(pydantic.BaseModel, typing.Generic[T]):
    items: list[T]


class Linked(pydantic.BaseModel):
    url: pydantic.HttpUrl
    size: pydantic.ByteSize = pydantic.ByteSize(5)
    mail: pydantic.AnyUrl | None = None


class UserId(str):
    pass


class Cents(int):
    pass


class Ratio(float):
    pass


class Digest(bytes):
    pass


@pydantic.dataclasses.dataclass
class Checked:
    a: int
    u: uuid.UUID


def with_a_private_value() -> Secretive:
    value = Secretive(a=1, excluded="kept")
    value._inner = 7
    return value


ARRIVES = [
    (Perm, Perm.READ | Perm.WRITE),
    (Literal[Word.A, "b"], Word.A),
    (list[Perm], [Perm.READ | Perm.WRITE]),
    (Mode, Mode(8)),
    (dict[Word, int], {Word.A: 1}),
    (Odd, Odd.PAIR),
    (Shape | Circle, Circle("c", 2.0)),
    (list[Shape | Circle], [Shape("s"), Circle("c", 2.0)]),
    (Box, Box(U, {"id": U, "when": [(dt.date(2026, 1, 1),)]})),
    (Counted, Counted(1)),
    (Slotted, Slotted(1, ["a"])),
    (Doubled, Doubled(2)),
    (Seeded, Seeded(1, 7)),
    (Private, Private(1, 2)),
    (Cached, Cached(2)),
    (Tree, Tree([Tree(value=U)])),
    (Checked, Checked(1, U)),
    (Hidden, Hidden(1)),
    (Aliased, Aliased(other=3)),
    (Converted, Converted("4")),
    (Incremented, Incremented(1)),
    (Event, Event(1, dt.datetime(2026, 1, 1, tzinfo=BERLIN))),
    (Tagged, Tagged()),
    (Tagged, Tagged(7)),
    (Row, Row(1)),
    (dict[str, Point], {"a": Point(1)}),
    (Shape | Point, Point(1, 2)),
    (Entry, {"id": U}),
    (Entry, {"id": U, "note": "not declared"}),
    (list[Entry], [{"id": U, "note": U}]),
    (Order, Order()),
    (Order, Order(N=4, at=dt.datetime(2026, 1, 1, tzinfo=BERLIN))),
    (list[Order] | None, [Order()]),
    (Open, Open.model_validate({"a": 1, "b": U})),
    (Secretive, with_a_private_value()),
    (Nested, Nested(order=Order(), orders=[Order()], shape=Shape("s"), anything=U)),
    (Strict, Strict(id=U, at=dt.datetime(2026, 1, 1))),
    (Incrementing, Incrementing(a=1)),
    (Renamed, Renamed.model_validate({"aa": 1})),
    (Ids, Ids([U])),
    (Page[int], Page[int](items=[1])),
    (Page[Order], Page[Order](items=[Order()])),
    (
        Linked,
        Linked.model_validate({"url": "https://a.example/x?y=1", "mail": "mailto:a@b.example"}),
    ),
    (UserId, UserId("u")),
    (dict[UserId, Cents | None], {UserId("u"): Cents(3), UserId("v"): None}),
    (list[Ratio], [Ratio(1.5), Ratio(math.nan)]),
    (Digest, Digest(b"x")),
    (Cents, Cents(2**70)),
    (Any, [1, {2, 3}, (4,), {"a": (1, U)}]),
    (list[tuple[int, str]], [(1, "a")]),
    (dict, collections.Counter("aab")),
    (collections.Counter[str], collections.Counter("aab")),
    (collections.OrderedDict, collections.OrderedDict(a=1)),
    (abc.Mapping[str, int], collections.OrderedDict(a=1)),
    (collections.defaultdict, collections.defaultdict(list, {"a": [1]})),
    (collections.deque[int], collections.deque([1], maxlen=3)),
    (collections.ChainMap, collections.ChainMap[str, Any]({"a": 1}, {"b": U})),
    (Any, types.MappingProxyType({"a": 1})),
    (abc.Sequence[int], (1, 2)),
    (abc.Iterable[int], {1}),
    (set, {1, math.nan}),
    (dict, {1: 1, "1": 2, None: 3, b"x": 4, 1.5: 5}),
    (dict, {(1, U): 2, frozenset({1}): 3}),
    (int, 2**70),
    (int, -(2**70)),
    (float, math.nan),
    (float, -0.0),
    (float, -math.inf),
    (float, 1),
    (complex, complex(math.nan, -0.0)),
    (decimal.Decimal, decimal.Decimal("1.10")),
    (decimal.Decimal, decimal.Decimal("sNaN")),
    (decimal.Decimal, decimal.Decimal("-0")),
    (fractions.Fraction, fractions.Fraction(1, 3)),
    (dt.datetime, dt.datetime(2026, 1, 1)),
    (dt.datetime, dt.datetime(2026, 1, 1, tzinfo=BERLIN)),
    (dt.datetime, dt.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1)),
    (dt.datetime, dt.datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC"))),
    (dt.datetime, dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=2, seconds=3)))),
    (dt.datetime, dt.datetime(2026, 1, 1, fold=1)),
    (dt.datetime, dt.datetime.max.replace(tzinfo=dt.UTC)),
    (dt.time, dt.time(1, 2, 3, tzinfo=BERLIN)),
    (dt.timedelta, dt.timedelta.min),
    (bytearray, bytearray(b"x")),
    (memoryview, memoryview(b"x")),
    (pathlib.Path, pathlib.Path("/a")),
    (list[pathlib.Path], [pathlib.Path("a")]),
    (Any, pathlib.PureWindowsPath("c:/a")),
    (uuid.UUID | str, U),
    (uuid.UUID | str, str(U)),
    (dt.datetime | str, "2026-01-01"),
    (int | float, 1),
    (float | decimal.Decimal, 1.5),
    (Shape | dict, {"name": "s"}),
    (typing.NewType("Id", uuid.UUID), U),
    ("Missing", U),
    ("list[Missing]", [1]),
]


@pytest.mark.parametrize(("annotation", "value"), ARRIVES)
def test_it_arrives_as_an_argument_and_as_a_result(annotation, value):
    for received in arrived(annotation, value):
        assert type(received) is type(value)
        assert difference(value, received) is None


labelled = UserId("u")
labelled.label = "lost"  # type: ignore[attr-defined]

REFUSED = [
    (UserId, "u"),
    (UserId, labelled),
    (str, UserId("u")),
    (Any, Cents(3)),
    (int, Word.A),
    (str, Word.A),
    (Any, Perm.READ),
    (dict[str, int], {Word.A: 1}),
    (Shape, Circle("c")),
    (list[Shape], [Circle("c")]),
    (dict[str, Shape], {"a": Circle("c")}),
    (Drawing, Drawing([Circle("c")])),
    (Drawing, Drawing([], Circle("c"))),
    (Keyed, Keyed(1, 2)),
    (Shape, Shape(None)),  # type: ignore[arg-type]  # as many write it
    (Point, Point(U)),  # type: ignore[arg-type]
    (tuple, Point(1)),
    (Entry, {"n": 1}),
    (Page[int], Page[int].model_construct(items=["no"])),
    (collections.defaultdict, collections.defaultdict(lambda: 1)),
    (int, "no"),
    (bytes, bytearray(b"x")),
    (str, pathlib.Path("x")),
    (list[str], ["\ud800"]),
    (dict, {"\udfff": 1}),
    (dt.datetime, dt.datetime(2026, 1, 1, tzinfo=type("Zone", (dt.tzinfo,), {})())),
    ("Missing", Shape("s")),
    (Callable, len),
    (type, int),
    (Any, Shape),
    (Any, object()),
]


@pytest.mark.parametrize(("annotation", "value"), REFUSED)
def test_it_is_refused_as_an_argument_and_as_a_result(annotation, value):
    assert refusals(annotation, value)


def test_an_attribute_that_is_no_field_is_not_lost_silently():
    shape = Shape("s")
    shape.colour = "red"  # type: ignore[attr-defined]
    assert ".colour would be lost" in refusals(Shape, shape)


def test_what_a_cached_property_keeps_is_of_no_account():
    value = Cached(2)
    assert value.double == 4
    assert arrived(Cached, value) == (value, value)


def test_a_value_that_contains_itself_is_refused():
    loop = Tree()
    loop.children.append(loop)
    assert "nested deeper than 32" in refusals(Tree, loop)
    endless: list[Any] = [(1,)]
    endless.append(endless)
    endless.append(endless)
    assert "nested deeper than 32" in refusals(Any, endless)
    assert "nested deeper than 32" in refusals(list, endless)


def test_a_local_class_that_names_itself_arrives():
    @dataclasses.dataclass
    class Branch:
        inside: "list[Branch]"

    received = arrived(Branch | Shape, Branch([Branch([])]))
    assert received == (Branch([Branch([])]), Branch([Branch([])]))


def test_two_classes_of_one_name_are_not_confused():
    other = dataclasses.make_dataclass("Shape", [("name", str)])
    function = taking(tuple[Shape, other, Any])  # type: ignore[valid-type]
    other.__qualname__ = Shape.__qualname__
    sent = (Shape("a"), other("b"), Shape("c"))
    other.__module__ = "elsewhere"
    payload = CODEC.encode_call(function, [sent], {})
    assert CODEC.decode_call(payload, function) == ([sent], {})
    other.__module__ = Shape.__module__
    with pytest.raises(
        CodecError, match="two classes in the function's annotations are called Shape"
    ):
        MessagePackCodec().encode_call(function, [sent], {})
    other.__module__ = "__main__"  # which may be called otherwise where the task runs
    with pytest.raises(CodecError, match="rename one"):
        MessagePackCodec().encode_call(function, [sent], {})


def test_the_keywords_of_an_unpacked_typed_dict_are_checked_one_by_one():
    def function(**options: Unpack[Entry]) -> None: ...

    payload = CODEC.encode_call(function, [], {"id": U, "n": 1})
    assert CODEC.decode_call(payload, function) == ([], {"id": U, "n": 1})
    with pytest.raises(CodecError, match="argument 'n': it is annotated as int"):
        CODEC.encode_call(function, [], {"n": "no"})


def test_elements_of_args_and_kwargs_are_checked_one_by_one():
    def function(*numbers: int, **ids: uuid.UUID) -> None: ...

    with pytest.raises(CodecError, match="argument 2: it is annotated as int"):
        CODEC.encode_call(function, [1, "two"], {})
    with pytest.raises(CodecError, match="argument 'b': it is annotated as UUID"):
        CODEC.encode_call(function, [], {"a": U, "b": str(U)})


def test_self_and_type_variables_say_nothing():
    class Node:
        def join(self, other: Self, more: T) -> Self:  # type: ignore[empty-body]
            ...

    payload = CODEC.encode_call(Node().join, [1, U], {})
    assert CODEC.decode_call(payload, Node().join) == ([1, U], {})


@pytest.mark.parametrize("annotation", [Awaitable[uuid.UUID], abc.Coroutine[Any, Any, uuid.UUID]])
def test_the_result_of_a_function_that_returns_an_awaitable_is_what_is_awaited(annotation):
    function = returning(annotation)
    assert CODEC.decode_result(CODEC.encode_result(U, function), function) == U
    with pytest.raises(CodecError, match="annotated as UUID"):
        CODEC.encode_result("no", function)


def test_a_function_that_says_that_it_returns_nothing_may_return_something():
    assert arrived(None, None) == (None, None)
    function = returning(None)
    assert CODEC.decode_result(CODEC.encode_result(U, function), function) == U


class Evil:
    """An annotation that raises at every look."""

    __hash__ = None  # type: ignore[assignment]
    __name__ = "Evil"  # for pytest

    def __getattr__(self, name: str) -> None:
        raise RuntimeError(name)

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")


UserIds = TypeAliasType("UserIds", list[uuid.UUID])


@pytest.mark.parametrize(
    "annotation",
    [Evil(), typing.Annotated[int, Evil()], typing.ForwardRef("x"), typing.ParamSpec("P"), "1 +"],
)
def test_an_annotation_that_means_nothing_is_no_obstacle(annotation):
    for received in arrived(annotation, 1):
        assert received == 1


class Moody(type):
    def __subclasscheck__(cls, kind: type) -> bool:
        raise RuntimeError("no answer")

    def __instancecheck__(cls, value: object) -> bool:
        raise RuntimeError("no answer")


class Mood(str, metaclass=Moody):
    pass


def test_a_class_that_does_not_say_what_its_instances_are_refuses_all():
    assert "no answer" in refusals(Mood, "good")
    assert "no answer" in refusals(list[Mood], ["good"])


@pytest.mark.parametrize("value", [[1], {}, 5])
def test_a_literal_is_compared_with_what_is_not_hashable_too(value):
    assert "is annotated as Literal" in refusals(Literal["a"], value)


def test_the_alias_of_a_type_is_that_type():
    assert arrived(UserIds, [U]) == ([U], [U])
    assert "is annotated as UserIds" in refusals(UserIds, "x")
    assert "value[0] is annotated as UUID" in refusals(UserIds, ["x"])


# --- types that the codec is taught


class Money:
    def __init__(self, text: str) -> None:
        self.amount, self.currency = text.split()

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


class Markup(str):
    pass


TAUGHT = MessagePackCodec(types={Money: (str, Money), Markup: (str.__str__, Markup)})


@pytest.mark.parametrize("annotation", [Money, Any, list[Money] | Money, "Missing"])
def test_a_type_that_the_codec_was_taught_arrives_with_any_annotation(annotation):
    for received in arrived(annotation, Money("1 EUR"), TAUGHT):
        assert (type(received), str(received)) == (Money, "1 EUR")


def test_a_type_that_the_codec_was_taught_arrives_within_other_values():
    for received in arrived(Box, Box([Money("1 EUR")], {"m": Markup("<b>")}), TAUGHT):
        assert str(received.extra[0]) == "1 EUR"
        assert type(received.stuff["m"]) is Markup


def test_a_taught_type_is_checked_like_any_other():
    assert "is annotated as Money" in refusals(Money, "1 EUR", TAUGHT)
    assert "type Money would not arrive" in refusals(Any, Money("1 EUR"))


def test_a_conversion_that_loses_something_is_noticed():
    forgetful = MessagePackCodec(types={Money: (str, lambda text: Money("0 EUR"))})
    assert ".amount: would arrive changed" in refusals(Money, Money("1 EUR"), forgetful)


@pytest.mark.parametrize("wrong", [[Money], {Money: str}, {"Money": (str, Money)}, {Money: (str,)}])
def test_types_that_are_not_given_as_they_should_be_are_refused(wrong):
    with pytest.raises(InvalidConfigError, match="types"):
        MessagePackCodec(types=wrong)


# --- bytes from anybody


def described(*parts: object) -> bytes:
    return msgspec.msgpack.encode(msgspec.msgpack.Ext(1, msgspec.msgpack.encode(parts)))


def endless() -> bytes:
    inner = b"\x01"
    while len(inner) < 60_000:
        inner = msgspec.msgpack.encode(msgspec.msgpack.Ext(1, b"\x92\xa5value" + inner))
    return inner


HOSTILE = [
    described(),
    described("uuid"),
    described(5, 5),
    described("uuid", 5),
    described("uuid", "no"),
    described("subprocess:Popen", ["ls"]),
    described("class Shape", {"name": 5}),
    described("class Shape", {"name": "s", "__class__": 5}),
    described("class Shape", ["s"]),
    described("class Shape", {}, 1, 2),
    described("class Order", {"id": 5}, None),
    described("class Order", {}, [None]),
    described("class Perm", "x"),
    described("class Point", [1]),
    described("class Point", 5),
    described("datetime", "no", 0),
    described("datetime", "2026-01-01T00:00:00", 5),
    described("datetime", "2026-01-01T00:00:00", 0, "../../etc/passwd"),
    described("deque", [1], "x"),
    described("defaultdict", {}, "eval"),
    described("pairs", [[1]]),
    described("pairs", [[[], 1]]),
    described("set", [[]]),
    described("complex", [1, 2, 3]),
    described("Counter", 5),
    described("ChainMap", 5),
    described("int", "9" * 5000),
]


@pytest.mark.parametrize("written", [*HOSTILE, endless()])
def test_hostile_descriptions_are_a_codec_error(written):
    shapes = returning(Shape | Order | Perm | Point | None)
    with pytest.raises(CodecError):
        CODEC.decode_result(written, shapes)
    payload = b"\x92\x91" + written + b"\x80"
    for function in (taking(Any), taking(dt.datetime), taking(list[Shape | Order | Perm | Point])):
        with pytest.raises(CodecError):
            CODEC.decode_call(payload, function)
    with contextlib.suppress(CodecError):  # as plain data some can be read
        CODEC.decode_result(written)
