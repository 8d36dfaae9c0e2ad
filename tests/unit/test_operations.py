"""Operations are values, listed once; whatever treats them alike reads the list."""

import inspect
import typing
from typing import Any

import attrs
import pytest

from kew.adapters.memory import store as memory
from kew.adapters.redis import store as redis
from kew.app import ports
from kew.app.partitions import routes
from kew.app.partitions.merging import MERGED
from kew.app.partitions.routes import ROUTES
from kew.app.ports import (
    OPERATIONS,
    Claim,
    Find,
    ListSchedules,
    Operation,
    Pasts,
    ReadPayload,
    Settle,
    Statuses,
    Submit,
    by_method,
    operations,
)
from tests.support.operations import Operations

STORES = {"memory": memory, "redis": redis}
BY_METHOD = (Submit, Claim, Settle)


def subclasses(kind: type[Any]) -> set[type[Any]]:
    return {one for one in kind.__subclasses__() if one.__module__.startswith("kew.")}


def answer_of(kind: type[Any]) -> object:
    [base] = kind.__orig_bases__
    [answer] = typing.get_args(base)
    return answer


def test_every_operation_is_listed_once():
    assert set(OPERATIONS) == subclasses(Operation)
    assert len(OPERATIONS) == len(set(OPERATIONS)) == len({kind.name for kind in OPERATIONS})


@pytest.mark.parametrize("kind", OPERATIONS, ids=lambda kind: kind.name)
def test_an_operation_is_a_frozen_value_that_the_port_exports_and_documents(
    kind: type[Operation[object]],
):
    assert getattr(ports, kind.__name__) is getattr(operations, kind.__name__) is kind
    assert kind.__doc__
    assert kind.__setattr__ is not object.__setattr__
    assert "changes" in vars(kind) or kind.changes
    fields = [field.name for field in attrs.fields(kind)]
    assert fields[:1] == ["queue"] or "queue" not in fields


@pytest.mark.parametrize("store", STORES)
def test_a_store_has_one_handler_for_each_operation_with_its_answer(store: str):
    handlers = STORES[store].HANDLERS
    assert set(handlers) == set(OPERATIONS)
    for kind, handler in handlers.items():
        if kind in BY_METHOD:
            assert handler is by_method
            continue
        hints = typing.get_type_hints(handler, localns=vars(STORES[store]))
        assert hints["operation"] is kind
        assert hints["return"] == answer_of(kind), kind


def test_every_operation_has_a_route_through_partitions_with_its_answer():
    assert set(ROUTES) == set(OPERATIONS)
    assert {kind for kind, route in ROUTES.items() if route is routes.to_all} == set(MERGED)
    for kind, route in ROUTES.items():
        if route is routes.by_queue:
            assert [field.name for field in attrs.fields(kind)][:1] == ["queue"], kind
    whole = {kind for kind in OPERATIONS if "queue" not in vars(kind)} - set(MERGED)
    # each goes where its queues or ids are
    assert whole == {Statuses, Pasts, Find, ReadPayload, ListSchedules}


def test_the_differential_test_draws_every_operation():
    drawn = {name.removeprefix("_") for name, _ in inspect.getmembers(Operations)}
    assert {kind.name for kind in OPERATIONS} <= drawn
