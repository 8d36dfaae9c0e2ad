"""Programs whose namespace is spread over several stores."""

import re

import pytest

import kew
from kew import Parts, QueueConfig, TaskQueueManager
from kew.adapters.clocks import SystemClock
from kew.adapters.memory import connecting
from kew.domain.partitions import mark_of, partition_of

QUEUES = ("crm", "mails", "orders")  # one in each of three partitions


def memory_parts(name: str = "") -> Parts:
    store, wakeup = connecting.connect(name, "kew", SystemClock())
    return Parts(store=store, wakeup=wakeup)


async def test_a_program_runs_tasks_in_the_queues_of_all_partitions():
    async with TaskQueueManager(parts=Parts.partitioned([memory_parts() for _ in range(3)])) as q:

        @q.task()
        async def double(number: int) -> int:
            return 2 * number

        assert {partition_of(queue, 3) for queue in QUEUES} == {0, 1, 2}
        for queue in QUEUES:
            await q.create_queue(QueueConfig(queue))
        for queue in QUEUES:
            handle = await double.options(queue=queue).submit(21)
            assert re.fullmatch(rf"double-\w{{16}}{mark_of(queue)}", handle.task_id)
            assert await handle.result(timeout=30) == 42
            explicit = await double.options(queue=queue, task_id=f"id for {queue}").submit(2)
            assert await explicit.result(timeout=30) == 4
            assert (await q.get_task_status(f"id for {queue}")).queue_name == queue
            with pytest.raises(kew.TaskAlreadyExistsError):
                await double.options(queue="mails", task_id=f"id for {queue}").submit(2)


async def test_a_single_partition_costs_nothing_and_keeps_its_ids():
    parts = memory_parts()
    assert Parts.partitioned([parts]) is parts
    async with TaskQueueManager(parts=parts) as q:
        assert re.fullmatch(r"mail-\w{16}", q.new_task_id("mail", "mails"))
    with pytest.raises(kew.InvalidConfigError, match="at least one"):
        Parts.partitioned([])


async def test_processes_that_disagree_on_the_number_of_partitions_are_refused():
    names = [f"disagree-{n}" for n in range(3)]
    async with TaskQueueManager(parts=Parts.partitioned(list(map(memory_parts, names)))):
        other = TaskQueueManager(parts=Parts.partitioned(list(map(memory_parts, names[:2]))))
        with pytest.raises(kew.StoreUnsuitableError, match="number of partitions"):
            await other.initialize()


async def test_a_partition_by_itself_is_refused_with_the_number_that_there_are():
    names = [f"itself-{n}" for n in range(3)]
    async with TaskQueueManager(parts=Parts.partitioned(list(map(memory_parts, names)))):
        with pytest.raises(kew.StoreUnsuitableError, match=r"partition 2 of .* with 3, .*=3 in"):
            await TaskQueueManager(f"memory://{names[2]}").initialize()
    async with TaskQueueManager(f"memory://{names[2]}", namespace="other") as q:
        assert await q.get_queue_names() == []
