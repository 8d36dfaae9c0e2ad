"""`kew demo` in memory: what it does with a folder, and what it prints."""

import hashlib
import logging
import os
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner, Result

from kew import QueuePriority, TaskInfo, TaskStatus, cli
from kew.cli import screen, summary, words
from kew.cli.commands import kew
from kew.cli.folder import digest_file, look_into
from kew.cli.tally import Tally


def run(*arguments: object) -> Result:
    return CliRunner().invoke(kew, ["demo", *map(str, arguments)])


def write(folder: Path, **contents: str) -> Path:
    for name, text in contents.items():
        (folder / name).write_text(text)
    return folder


def test_every_file_below_the_folder_is_digested(tmp_path):
    write(tmp_path, one="a\nb\n", two="c")
    (tmp_path / "below").mkdir()
    write(tmp_path / "below", three="d\ne\nf")
    result = run(tmp_path)
    assert result.exit_code == 0, result.output
    assert "3 files digested" in result.output
    assert "lines        6" in result.output
    assert "bytes        10" in result.output


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--redis", "localhost", "URL"),
        ("--redis", "redis://localhost/zero", "URL"),
        ("--workers", "0", "max_workers"),
        ("--namespace", "a b", "namespace"),
    ],
)
def test_a_bad_option_is_refused_before_the_folder_is_looked_into(
    tmp_path, monkeypatch, option, value, words
):
    monkeypatch.setattr("kew.cli.demo.look_into", None)
    result = run(tmp_path, option, value)
    assert result.exit_code == 2
    assert result.output.count("\n") == 1
    assert words in result.output


def test_what_cannot_be_read_is_tried_three_times_and_listed(tmp_path):
    write(tmp_path, good="fine\n")
    (tmp_path / "broken").symlink_to("nowhere")
    result = run(tmp_path)
    assert result.exit_code == 0
    assert "1 file digested" in result.output
    assert "1 failed" in result.output
    assert "dead letters, after 3 attempts:\n  broken\n    FileNotFoundError" in result.output


def test_piped_output_has_no_control_codes_even_if_a_file_name_does(tmp_path):
    write(tmp_path, **{"\x1b[31mred\n[bold]": "x\n"})
    (tmp_path / os.fsdecode(b"\xff\xfe")).write_text("y\n")
    result = run(tmp_path)
    assert "2 files digested" in result.output
    assert "[31mred" in result.output
    assert all(letter.isprintable() or letter == "\n" for letter in result.output)


def test_pipes_are_left_out_and_never_opened(tmp_path):
    write(tmp_path, one="1\n")
    os.mkfifo(tmp_path / "pipe")
    result = run(tmp_path)
    assert "1 file digested" in result.output
    assert "not regular files: 1" in result.output


def test_a_pipe_that_took_a_files_place_is_an_error_and_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no longer a regular file"):
        digest_file(os.fsencode(tmp_path / "pipe"))


def test_an_empty_folder_is_no_mistake(tmp_path):
    result = run(tmp_path)
    assert result.exit_code == 0
    assert "no files" in result.output


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["/no/such/folder"], "doesn't exist"),
        ([__file__], "is a file"),
        ([".", "--redis", "http://localhost"], "must begin with redis://"),
        ([".", "--redis", "localhost:6379"], "must begin with redis://"),
        ([".", "--workers", "0"], "max_workers must be a whole number"),
        ([".", "--namespace", "{x}"], "namespace '{x}' is invalid"),
    ],
)
def test_a_wrong_word_gets_one_line_of_advice_and_exit_code_2(arguments, advice, tmp_path):
    write(tmp_path, one="1\n")
    if arguments[0] == ".":
        arguments = [str(tmp_path), *arguments[1:]]
    result = run(*arguments)
    assert result.exit_code == 2
    assert advice in result.stderr
    assert result.stderr.startswith("kew: ")
    assert len(result.stderr.splitlines()) == 1


def test_without_the_extra_the_command_line_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "rich", None)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert "pip install 'kew[cli]'" in capsys.readouterr().err


# --- the parts


def test_a_digest_counts_a_last_line_without_its_end(tmp_path):
    write(tmp_path, file="one\ntwo")
    digest = digest_file(os.fsencode(tmp_path / "file"))
    assert digest["sha256"] == hashlib.sha256(b"one\ntwo").hexdigest()
    assert (digest["lines"], digest["bytes"]) == (2, 7)


def test_a_files_task_is_called_the_same_in_every_run(tmp_path):
    write(tmp_path, file="1")
    (first,) = look_into(tmp_path).files
    (tmp_path / "file").write_text("changed")
    (second,) = look_into(tmp_path).files
    assert first.task_id == second.task_id


def test_a_long_foreign_name_still_makes_a_legal_task_id(tmp_path):
    (tmp_path / ("\N{GRINNING FACE}" * 60)).write_text("1")
    (file,) = look_into(tmp_path).files
    assert len(file.task_id.encode()) <= 256


def test_installed_packages_are_no_part_of_the_standard_library(tmp_path):
    (tmp_path / "site-packages").mkdir()
    write(tmp_path / "site-packages", stranger="1")
    write(tmp_path, own="1")
    assert [file.name for file in look_into(tmp_path, is_library=True).files] == ["own"]
    assert len(look_into(tmp_path).files) == 2


@pytest.mark.parametrize(
    ("size", "priority"),
    [(0, QueuePriority.HIGH), (8192, QueuePriority.MEDIUM), (65536, QueuePriority.LOW)],
)
def test_small_files_go_first(tmp_path, size, priority):
    (tmp_path / "file").write_bytes(b"x" * size)
    (file,) = look_into(tmp_path).files
    assert file.priority is priority


def info_of(tally: Tally, **changes: object) -> TaskInfo:
    (file,) = tally.folder.files
    result = {"sha256": "00", "lines": 1, "bytes": 2, "seconds": 0.1}
    return TaskInfo(file.task_id, "digest", "q", 1, result=result, **changes)  # type: ignore[arg-type]


def test_an_end_that_is_recorded_twice_counts_once(tmp_path):
    tally = Tally(look_into(write(tmp_path, file="1")))
    done = info_of(tally, status=TaskStatus.COMPLETED)
    tally.found(done)
    tally.ended_as(done)
    assert (len(tally.before), len(tally.now), tally.ended) == (1, 0, 1)


def test_a_retry_that_succeeds_is_listed(tmp_path):
    tally = Tally(look_into(write(tmp_path, file="1")))
    tally.ended_as(info_of(tally, status=TaskStatus.RETRY, retry_count=1, error="OSError: x"))
    assert tally.ended == 0
    tally.ended_as(info_of(tally, status=TaskStatus.COMPLETED, retry_count=1))
    assert (tally.ended, len(tally.retried), len(tally.dead)) == (1, 1, 0)


def test_the_store_is_named_without_its_password(tmp_path):
    from kew.cli.demo import Order

    order = Order(
        folder=look_into(tmp_path),
        given=tmp_path,
        url="redis://me:secret@host:6379/0",
        workers=1,
        namespace="n",
    )
    assert order.store == "redis://host:6379/0, namespace n"
    assert "secret" not in order.again()
    assert order.again().endswith("--redis URL --namespace n")
    order = attrs.evolve(order, url="redis://host:6379/0?username=me&password=secret")
    assert "secret" not in order.store + order.again()
    order = attrs.evolve(order, url="sqlite:///a/demo.db?synchronous=normal")
    assert order.store == "sqlite:///a/demo.db?synchronous=normal, namespace n"
    assert "--store 'sqlite:///a/demo.db?synchronous=normal' --namespace n" in order.again()


def test_numbers_are_told_in_words():
    assert [summary.seconds(value) for value in (0.0001, 0.041, 0.5, 3.21, 125)] == [
        "< 1 ms",
        "41 ms",
        "0.5 s",
        "3.2 s",
        "2 min 5 s",
    ]
    assert [words.volume(count) for count in (812, 8192, 2_000_000, 2**50)] == [
        "812 B",
        "8 KiB",
        "1.9 MiB",
        "1,024.0 TiB",
    ]
    assert summary.files(1) == "1 file"


def test_only_complaints_about_more_than_one_task_are_shown(capsys):
    logger = logging.getLogger("kew.test-complaints")
    logger.propagate = False
    logger.addHandler(screen.Complaints(screen.console()))
    logger.warning("task x: attempt 1 failed")
    logger.warning("queue q: no answer")
    logger.warning("queue q: no answer")
    assert capsys.readouterr().out == "kew: queue q: no answer\n"


def test_python_dash_m_is_the_same_command_line():
    command = [sys.executable, "-m", "kew", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
    assert done.stdout.startswith("kew, version ")
