"""The demo's work: the files of a folder, and the task that digests one of them."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from kew import QueuePriority
from kew.cli.screen import printable

SMALL_BYTES = 8 * 1024
LARGE_BYTES = 64 * 1024
CHUNK_BYTES = 1024 * 1024
NOT_THE_LIBRARY = {"site-packages", "dist-packages"}
READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def digest_file(path: bytes) -> dict[str, Any]:
    """The task: read one file. A plain function, so it runs in a thread.

    It opens the file without blocking and checks its kind again, since a pipe may have replaced it.
    """
    begun = time.perf_counter()
    digest, lines, size, last = hashlib.sha256(), 0, 0, b"\n"
    descriptor = os.open(path, READ)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("no longer a regular file")
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            lines += chunk.count(b"\n")
            size += len(chunk)
            last = chunk[-1:]
    return {
        "sha256": digest.hexdigest(),
        "lines": lines + (last != b"\n"),
        "bytes": size,
        "seconds": time.perf_counter() - begun,
    }


@attrs.frozen(kw_only=True)
class File:
    """A file to be digested. `task_id` depends only on its path, so that it is the same in every run."""

    task_id: str
    path: bytes
    name: str
    size: int

    @property
    def priority(self) -> QueuePriority:
        """Small files first."""
        if self.size < SMALL_BYTES:
            return QueuePriority.HIGH
        return QueuePriority.MEDIUM if self.size < LARGE_BYTES else QueuePriority.LOW


@attrs.frozen(kw_only=True)
class Folder:
    """The contents of a folder and its subfolders.

    `others` counts entries that are not regular files (pipes, sockets, devices), `closed` the unreadable subfolders.
    """

    path: Path
    files: tuple[File, ...]
    others: int
    closed: int

    @property
    def queue(self) -> str:
        """The name of the folder's queue: the folder's name, and a digest of its path."""
        name = re.sub(r"[^A-Za-z0-9_.-]", "-", self.path.name)[:40] or "root"
        return f"demo-{name}-{_short(os.fsencode(self.path))[:8]}"

    @property
    def total_bytes(self) -> int:
        """The size of all files, as the file system reports it."""
        return sum(file.size for file in self.files)


def look_into(path: Path, *, is_library: bool = False) -> Folder:
    """Find every file below `path`, without following links to folders. `is_library`: skip installed packages.

    A broken link counts as a file: its task will fail, which shows how the queue handles failures.
    """
    root = os.fsencode(path)
    files, others, closed = [], 0, list[OSError]()
    for place in _walk(root, NOT_THE_LIBRARY if is_library else set(), closed):
        try:
            found = os.stat(place)  # noqa: PTH116 - as below
        except OSError:
            files.append(_file(root, place, 0))
            continue
        if stat.S_ISREG(found.st_mode):
            files.append(_file(root, place, found.st_size))
        else:
            others += 1
    return Folder(path=path, files=tuple(files), others=others, closed=len(closed))


def _walk(root: bytes, skip: set[str], closed: list[OSError]) -> Iterator[bytes]:
    for folder, inner, names in os.walk(root, onerror=closed.append):
        inner[:] = sorted(name for name in inner if os.fsdecode(name) not in skip)
        for name in sorted(names):
            yield os.path.join(folder, name)  # noqa: PTH118 - a path may not be valid text, which pathlib requires


def _file(root: bytes, place: bytes, size: int) -> File:
    name = printable(os.path.relpath(place, root))
    task_id = f"{_short(place)}:{name[-56:]}"
    return File(task_id=task_id, path=place, name=name, size=size)


def _short(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]
