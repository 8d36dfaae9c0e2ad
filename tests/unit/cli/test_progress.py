"""How the command line shows the progress of a task."""

from datetime import UTC, datetime, timedelta

from kew import TaskInfo, TaskProgress, TaskStatus
from kew.cli.tasks import facts

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def test_a_tasks_progress_is_shown_with_its_message_and_its_age():
    progress = TaskProgress(value=0.4, message="page 12 of 30", time=NOW - timedelta(seconds=3))
    info = TaskInfo("t", "export", "q", 2, TaskStatus.PROCESSING, NOW, progress=progress)
    assert facts(info, NOW)["progress"] == "40 %: page 12 of 30 (3 s ago)"


def test_a_task_without_progress_shows_none():
    assert facts(TaskInfo("t", "export", "q", 2), NOW)["progress"] is None
