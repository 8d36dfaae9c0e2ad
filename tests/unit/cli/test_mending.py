"""The command that `kew why` gives for each reason."""

import pytest

from kew import Explanation, Reason, TaskInfo
from kew.cli.mending import COMMANDS, mending
from kew.domain.explaining import Code, Holder, Sure
from kew.domain.task import TaskStatus

WITHOUT = {Code.DRAINING, Code.KEY_SNOOZED, Code.PROCESS_SHARE, Code.BEHIND, Code.EXPIRED}
HOLDERS = (Holder(task_id="old 1", process="web-1:7", started_at=5),)


def commands(*reasons: Reason, status: TaskStatus = TaskStatus.QUEUED) -> list[str]:
    explanation = Explanation(
        task_id="t-1", status=status, now=10, text="", reasons=reasons, sure=Sure.UNKNOWN
    )
    info = TaskInfo("t-1", "t", "my mails", 2, status=status, key="acme's")
    return mending(explanation, info)


def test_each_reason_has_a_command_or_ends_by_itself():
    assert {*COMMANDS} | WITHOUT | {Code.ENDED} == {*Code}
    assert not {*COMMANDS} & WITHOUT


@pytest.mark.parametrize("code", COMMANDS)
def test_each_command_names_what_is_meant_so_that_a_shell_takes_it(code: Code):
    [command] = commands(Reason(code=code, text=""))
    assert "{" not in command
    if "kew queue" in command or "kew breaker" in command:
        assert "'my mails'" in command
    if "kew key" in command:
        assert "'acme'\"'\"'s'" in command


def test_a_slot_is_given_by_more_slots_or_by_the_task_that_holds_it():
    reason = Reason(code=Code.SLOTS_FULL, text="", holders=HOLDERS)
    assert commands(reason) == [
        "kew queue set 'my mails' max_workers=NUMBER, or kew task cancel 'old 1'"
    ]


def test_reasons_that_one_command_ends_name_it_once():
    paused, snoozed = (Reason(code=code, text="") for code in (Code.PAUSED, Code.QUEUE_SNOOZED))
    assert commands(paused, snoozed) == ["kew queue resume 'my mails'"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (TaskStatus.FAILED, ["kew task replay t-1"]),
        (TaskStatus.CANCELLED, ["kew task replay t-1"]),
        (TaskStatus.COMPLETED, []),
    ],
)
def test_what_ended_without_success_can_be_replayed(status: TaskStatus, expected: list[str]):
    assert commands(Reason(code=Code.ENDED, text=""), status=status) == expected
