"""Which file a URL means, and which file systems can't have it."""

from pathlib import Path

import pytest

from kew.adapters.sqlite.address import Address, check_file_system, file_system_of, parse
from kew.bootstrap import connect
from kew.domain.errors import InvalidConfigError, StoreUnsuitableError

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
server:/export /mnt/shared\\040files nfs4 rw 0 0
/dev/sdb1 /mnt ext4 rw 0 0
"""


def test_three_slashes_begin_an_absolute_path_and_two_a_relative_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert parse("sqlite:///var/lib/kew.db") == Address("/var/lib/kew.db", "full")
    assert parse("sqlite://kew.db").path == str(tmp_path.resolve() / "kew.db")
    assert parse("sqlite://data/a%20b.db").path == str(tmp_path.resolve() / "data/a b.db")


def test_two_names_of_one_file_are_one_address(tmp_path: Path):
    (tmp_path / "link").symlink_to(tmp_path)
    assert parse(f"sqlite://{tmp_path}/link/kew.db") == parse(f"sqlite://{tmp_path}/kew.db")


def test_synchronous_is_full_or_normal():
    assert parse("sqlite:///kew.db?synchronous=full").synchronous == "full"
    assert parse("sqlite:///kew.db?synchronous=normal").synchronous == "normal"


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite:///kew/", "sqlite://:memory:", "sqlite:///a%00b"]
)
def test_a_url_without_a_file_is_refused(url: str):
    with pytest.raises(InvalidConfigError, match=r"sqlite:///path/to/kew\.db"):
        parse(url)


@pytest.mark.parametrize("query", ["synchronous=off", "synchronous=", "mode=ro", "a"])
def test_an_option_that_there_is_not_is_refused(query: str):
    with pytest.raises(InvalidConfigError, match="synchronous=normal"):
        parse(f"sqlite:///kew.db?{query}")


def test_the_parts_of_a_url_say_which_file_they_use(tmp_path: Path):
    parts = connect(f"sqlite://{tmp_path}/kew.db?synchronous=normal", "kew")
    assert parts.address == f"sqlite://{tmp_path.resolve()}/kew.db"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/kew.db", "ext4"),
        ("/tmp/kew.db", "tmpfs"),
        ("/tmpfile", "ext4"),
        ("/mnt/kew.db", "ext4"),
        ("/mnt/shared files/kew.db", "nfs4"),
    ],
)
def test_the_longest_mount_point_has_the_file(path: str, kind: str):
    assert file_system_of(path, MOUNTS) == kind


def test_a_network_file_system_is_refused_with_advice(tmp_path: Path):
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    with pytest.raises(StoreUnsuitableError, match=r"nfs4.*local disk, or use Redis"):
        check_file_system("/mnt/shared files/kew.db", mounts)
    check_file_system("/mnt/kew.db", mounts)
    check_file_system("/mnt/shared files/kew.db", tmp_path / "a system without this file")
