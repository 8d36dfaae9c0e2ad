"""Any value as JSON: valid, whatever it is."""

import collections
import dataclasses
import decimal
import enum
import json
import math
import uuid
from datetime import UTC, date, datetime, time
from typing import Any

import attrs
import msgspec
import pydantic
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from kew import TaskInfo, TaskStatus
from kew.app.json_values import json_value


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    SMALL = 1


class Text(str):
    pass


@dataclasses.dataclass
class Line:
    sku: str
    price: float = math.nan


@attrs.frozen
class Customer:
    name: str


class Event(msgspec.Struct):
    at: datetime


class Order(pydantic.BaseModel):
    id: uuid.UUID


class Silent:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def info(result: object) -> TaskInfo:
    return TaskInfo(
        "t", "test", "q", 1, TaskStatus.COMPLETED, datetime(2026, 1, 1, tzinfo=UTC), result=result
    )


def strictly(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (math.nan, None),
        ([math.inf, -math.inf, 1.5], [None, None, 1.5]),
        ({math.nan: 1}, {"nan": 1}),
        ({True: 1, None: 2, 3: 4, 0.5: 5}, {"true": 1, "null": 2, "3": 4, "0.5": 5}),
        ({(1, 2): 3, Colour.RED: 4, b"a": 5}, {"(1, 2)": 3, "red": 4, "YQ==": 5}),
        ({1: "first", "1": "last"}, {"1": "last"}),
        ([b"\xff", bytearray(b"a"), memoryview(b"a")], ["/w==", "YQ==", "YQ=="]),
        ({1}, [1]),
        ((1, collections.deque([2])), [1, [2]]),
        (
            [date(2026, 1, 2), time(1, 2), datetime(2026, 1, 2, tzinfo=UTC)],
            ["2026-01-02", "01:02:00", "2026-01-02T00:00:00+00:00"],
        ),
        ([Colour.RED, Size.SMALL, Text("x"), True, 2**70], ["red", 1, "x", True, 2**70]),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Line("a"), {"sku": "a", "price": None}),
        (
            [Customer("Ada"), Event(datetime(2026, 1, 1))],
            [{"name": "Ada"}, {"at": "2026-01-01T00:00:00"}],
        ),
        (Order(id=uuid.UUID(int=1)), {"id": "00000000-0000-0000-0000-000000000001"}),
        (Silent(), "<Silent>"),
        ("\ud800", "\ud800"),
        (Line, str(Line)),
    ],
)
def test_any_result_becomes_valid_json(result: object, expected: object):
    assert strictly(info(result).to_json())["result"] == expected


def test_a_result_that_contains_itself_becomes_text_at_some_depth():
    loop: list[object] = []
    loop.append(loop)
    assert "[...]" in info(loop).to_json()


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.integers() | st.floats() | st.none() | st.binary(), inner)
        | st.tuples(inner)
    ),
)


@given(plain)
def test_whatever_a_codec_gives_becomes_valid_json(result: object):
    assert strictly(json.dumps(json_value(result), allow_nan=False)) == json_value(result)


# --- pydantic and FastAPI


def client() -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fastapi.testclient import TestClient

    app = FastAPI()

    @app.get("/task")
    async def task() -> TaskInfo:
        return info({"price": math.nan, "by": {1}})

    @app.get("/tasks", response_model=list[TaskInfo])
    async def tasks() -> list[TaskInfo]:
        return [info(b"\xff")]

    @app.get("/undeclared")
    async def undeclared():  # without an annotation
        return {"task": info([math.inf, {1: b"\xff"}])}

    return TestClient(app)


def test_a_task_info_is_a_response_of_fastapi():
    one = client().get("/task")
    assert (one.status_code, one.json()["result"]) == (200, {"price": None, "by": [1]})
    assert one.json()["status"] == "completed"
    assert one.json()["queued_time"] == "2026-01-01T00:00:00Z"
    (listed,) = client().get("/tasks").json()
    assert listed["result"] == "/w=="
    assert TaskInfo.from_json(one.text).status is TaskStatus.COMPLETED


def test_a_task_info_is_a_response_of_fastapi_without_an_annotation_too():
    answer = client().get("/undeclared")
    assert answer.status_code == 200
    assert TaskInfo.from_json(json.dumps(answer.json()["task"])).result == [None, {"1": "/w=="}]


def test_an_info_as_a_dict_has_the_values_of_its_json():
    one = info({"price": math.nan})
    assert dict(one) == json.loads(one.to_json())


def test_the_openapi_schema_names_the_fields_of_a_task_info():
    schema = client().get("/openapi.json").json()
    response = schema["paths"]["/task"]["get"]["responses"]["200"]["content"]["application/json"]
    assert response["schema"] == {"$ref": "#/components/schemas/TaskInfo"}
    described = schema["components"]["schemas"]["TaskInfo"]
    assert list(described["properties"]) == list(TaskInfo.__struct_fields__)
    assert described["required"] == ["task_id", "task_type", "queue_name", "priority"]
    assert "completed" in schema["components"]["schemas"]["TaskStatus"]["enum"]


def test_a_task_info_is_a_field_of_a_pydantic_model():
    class Report(pydantic.BaseModel):
        info: TaskInfo

    report = Report(info=info([1]))
    assert report.info.result == [1]
    assert Report.model_validate_json(report.model_dump_json()) == report
    assert Report.model_validate(
        {"info": {"task_id": "t", "task_type": "x", "queue_name": "q", "priority": 1}}
    ).info == TaskInfo("t", "x", "q", 1)
    with pytest.raises(pydantic.ValidationError):
        Report.model_validate({"info": {"task_id": 5}})
