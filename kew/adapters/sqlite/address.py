"""Where the file is, and how surely it is written: `sqlite:///path/to/kew.db?synchronous=normal`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote

import attrs

from kew.domain.errors import InvalidConfigError, StoreUnsuitableError

SYNCHRONOUS: Final = ("full", "normal")
MOUNTS: Final = Path("/proc/self/mounts")
NETWORK: Final = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "gpfs", "beegfs"),
        *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone"),
    }
)
"""File systems on which processes of several hosts would not see each other's locks."""


@attrs.frozen
class Address:
    """A file.

    `synchronous`: "full" (what is acknowledged survives a power failure) or "normal" (only the end of the process).
    """

    path: str
    synchronous: str = "full"


def parse(url: str) -> Address:
    """The address in a URL. Three slashes begin an absolute path, two a relative one. Raises `InvalidConfigError`."""
    text, _, query = url.removeprefix("sqlite://").partition("?")
    path = unquote(text)
    if not path or path.endswith("/") or "\0" in path or path == ":memory:":
        raise InvalidConfigError(
            "the URL of a SQLite store is sqlite:///path/to/kew.db, or sqlite://kew.db for a relative path"
        )
    options = dict(parse_qsl(query, keep_blank_values=True))
    synchronous = options.pop("synchronous", "full")
    if options or synchronous not in SYNCHRONOUS:
        raise InvalidConfigError(
            "the only option of a SQLite store's URL is synchronous=full (the default) or synchronous=normal"
        )
    return Address(os.path.realpath(path), synchronous)


def check_file_system(path: str, mounts: Path = MOUNTS) -> None:
    """Raise `StoreUnsuitableError` if the file is on a network file system, as far as the machine says so."""
    kind = file_system_of(path, mounts.read_text()) if mounts.exists() else ""
    if kind in NETWORK:
        raise StoreUnsuitableError(
            f"{path} is on a network file system ({kind}), where SQLite's locks and shared memory don't work: "
            "put the file on a local disk, or use Redis"
        )


def file_system_of(path: str, mounts: str) -> str:
    """The type of the file system that has a path, from the text of /proc/mounts; "": unknown."""
    found = ("", "")
    for line in mounts.splitlines():
        _, where, kind, *_ = (*line.split(" "), "", "")
        place = where.replace("\\040", " ")
        if path == place or path.startswith(place.rstrip("/") + "/"):
            found = max(found, (place, kind), key=lambda each: len(each[0]))
    return found[1]
