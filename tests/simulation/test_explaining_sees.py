"""No reason can be left out of explanations without a test that fails: an oracle, or a contract."""

import inspect
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from kew.domain import reasons
from kew.domain.explaining import Code, Explanation, Reason
from kew.simulation.batch import Choice
from kew.simulation.faults import Fault
from tests.contracts import test_explaining as contracts
from tests.contracts import test_keys as keys
from tests.contracts import test_snoozing as snoozing
from tests.simulation.bugs import patched
from tests.support.scene import Scene
from tests.support.stores import memory_scene

SEEDS = 60
SEEN = sorted(set(Code) - {Code.HOST_BUSY, Code.ENDED, Code.DRAINING})
"""What claims show; the others, two of which are about ended tasks, are seen by the contracts alone."""

WHERE = {
    Code.EXPIRED: Choice(workload="expiring"),
    Code.FUNCTION_UNKNOWN: Choice(workload="functions"),
    Code.KEY_FULL: Choice(workload="keys"),
    Code.KEY_RATE: Choice(workload="keys"),
    Code.KEY_SNOOZED: Choice(workload="keys"),
    Code.NO_PROCESS: Choice(faults=(Fault.STORE_LEAP,)),
    Code.PAUSED: Choice(workload="expiring"),
    Code.RATE: Choice(workload="rates"),
}
"""Where a reason is given sooner than in the default mix."""

CONTRACTS: list[Callable[[Scene], Awaitable[None]]] = [
    test
    for name, test in vars(contracts).items()
    if name.startswith("test_") and list(inspect.signature(test).parameters) == ["scene"]
]
CONTRACTS += [
    keys.test_a_key_at_its_limit_is_a_reason_with_its_holders,
    keys.test_the_rate_of_its_key_is_a_reason_with_an_exact_end,
    snoozing.test_explain_names_the_snooze_of_a_key,
]


def without(code: Code) -> Callable[[Any], Any]:
    """Leave a reason out of every explanation, of waiting tasks and of ended ones."""

    def wrap(original: Callable[..., Explanation]) -> Callable[..., Explanation]:
        def explanation(*texts: Any, reasons: tuple[Reason, ...] = (), **more: Any) -> Explanation:
            rest = tuple(one for one in reasons if one.code is not code)
            return original(*texts, reasons=rest, **more)

        return explanation

    return wrap


@pytest.mark.no_cover
@pytest.mark.parametrize("code", SEEN)
def test_the_oracle_sees_that_a_reason_is_left_out(code: Code):
    def violations() -> Iterator[str]:
        for seed in range(SEEDS):
            with patched(reasons, "_explanation", without(code)):
                yield WHERE.get(code, Choice()).run(seed).oracle

    found = next(filter(None, violations()), "")
    assert found == "explaining"


@pytest.mark.parametrize("code", sorted(Code))
async def test_a_contract_sees_that_a_reason_is_left_out(code: Code):
    with patched(reasons, "_explanation", without(code)):
        assert [test.__name__ for test in CONTRACTS if not await holds(test)]


async def test_the_contracts_hold_if_nothing_is_left_out():
    assert [test.__name__ for test in CONTRACTS if not await holds(test)] == []


async def holds(test: Callable[[Scene], Awaitable[None]]) -> bool:
    scene = memory_scene()
    try:
        await test(scene)
    except (AssertionError, ValueError):  # the latter: there is no reason to unpack
        return False
    finally:
        await scene.close()
    return True
