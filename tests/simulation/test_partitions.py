"""A namespace that is spread over three stores, which are cut off one by one."""

import os

import pytest

from kew.domain.partitions import RESERVED
from kew.simulation.batch import Choice, Summary
from kew.simulation.faults import Fault
from kew.simulation.partitions import PartitionedServer
from kew.simulation.plan import draw_plan
from kew.simulation.simulation import simulate

SEEDS = int(os.environ.get("KEW_PARTITION_SEEDS", "4"))
CHOICES = (Choice(store="partitions"), Choice(store="partitions", workload="partitions"))


@pytest.mark.no_cover
@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.workload)
def test_partitions_keep_every_promise(choice: Choice, monkeypatch: pytest.MonkeyPatch):
    reserved: list[int] = []
    at_end = PartitionedServer.leftovers

    def counted(server: PartitionedServer) -> object:
        reserved.extend(
            part.namespace.queues[RESERVED].indexed.state.ticket for part in server.parts
        )
        return at_end(server)

    monkeypatch.setattr(PartitionedServer, "leftovers", counted)
    summary = Summary()
    for seed in range(SEEDS):
        summary.add(choice.run(seed))
    assert not summary.violations, summary.violations
    assert max(reserved) > 10, "hardly an id was reserved"
    assert summary.tally.of(Fault.RESTART) > 10, "hardly a call met a partition that was cut off"


@pytest.mark.no_cover
def test_a_seed_gives_one_trace():
    plans = [draw_plan(3, workload="partitions", store="partitions") for _ in range(2)]
    assert len({simulate(plan).trace_hash for plan in plans}) == 1
