"""The demo's work: which files there are, what a task does with one, and what it is called."""

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
from kew.adapters.cli.screen import printable

SMALL_BYTES = 8 * 1024
LARGE_BYTES = 64 * 1024
CHUNK_BYTES = 1024 * 1024
NOT_THE_LIBRARY = {"site-packages", "dist-packages"}
READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def digest_file(path: bytes) -> dict[str, Any]:
    """The task: read one file. A plain function, so it runs in a thread.

    Opened without blocking and looked at once more, since a pipe may have taken its place.
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
    """A file to be digested. `task_id` follows from its place alone, so every run calls it the same."""

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
    """What stands below a folder. `others` counts what is no file to read (pipes, sockets, devices),
    `closed` folders that can't be looked into.
    """

    path: Path
    files: tuple[File, ...]
    others: int
    closed: int

    @property
    def queue(self) -> str:
        """The folder's own queue: its name, and a digest of its path."""
        name = re.sub(r"[^A-Za-z0-9_.-]", "-", self.path.name)[:40] or "root"
        return f"demo-{name}-{_short(os.fsencode(self.path))[:8]}"

    @property
    def total_bytes(self) -> int:
        """Of all files, as the folder tells it."""
        return sum(file.size for file in self.files)


def look_into(path: Path, *, is_library: bool = False) -> Folder:
    """Every file below `path`; links to folders are not followed. `is_library`: without installed packages.

    A link that leads nowhere counts as a file: reading it will fail, which is for the queue to deal with.
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
            yield os.path.join(folder, name)  # noqa: PTH118 - a path may be no text, and pathlib takes only text


def _file(root: bytes, place: bytes, size: int) -> File:
    name = printable(os.path.relpath(place, root))
    task_id = f"{_short(place)}:{name[-56:]}"
    return File(task_id=task_id, path=place, name=name, size=size)


def _short(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]
