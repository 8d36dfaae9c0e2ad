"""An environment for each contender, made when first needed in a folder that git ignores, with pinned versions."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.contenders import Contender

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".bench"
PINS = ROOT / "benchmarks" / "pins"
PYTHONS = ("python3.13", "python3.12", "python3.11")


class NotInstallable(Exception):
    """A contender can't take part; the message says why."""


def base_python() -> str:
    """The Python that all environments are made with: BENCH_PYTHON, else the newest on the PATH that starts."""
    asked = os.environ.get("BENCH_PYTHON")
    for name in (asked,) if asked else PYTHONS:
        found = shutil.which(name)
        if found and _quiet([found, "-c", "import venv, ensurepip, ssl"]):
            return found
    raise SystemExit(f"none of these Pythons can be used: {asked or ', '.join(PYTHONS)}")


def base_version() -> str:
    """The version of that Python."""
    asked = [base_python(), "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def command(contender: Contender, program: str | None = None) -> list[str]:
    """What starts a contender's program, after its environment was made."""
    path = ROOT / "benchmarks" / "programs" / (program or contender.program)
    if contender.loop == "node":
        ready_node(contender.environment)
        return [shutil.which("node") or "node", str(path)]
    source = worktree(contender.commit) if contender.commit else ROOT
    return [str(ready_python(contender.environment, source=source)), str(path)]


def variables(contender: Contender) -> dict[str, str]:
    """The environment variables of a contender's program."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    folder = str(CACHE / contender.environment)
    return {**kept, "BENCH_LOOP": contender.loop, "BENCH_NODE_FOLDER": folder}


def ready_python(name: str, *, source: Path = ROOT) -> Path:
    """The interpreter of environment `name`; kew's own is installed from `source`, so that its code is what runs."""
    folder = CACHE / name
    is_kew = name.partition("@")[0] == "kew"
    pins = PINS / ("kew.txt" if is_kew else f"{name}.txt")
    python = folder / "bin" / "python"
    made_of = f"{base_python()} {_digest(pins)}"
    if is_kew:
        made_of += f" {source} {_digest(source / 'pyproject.toml', ROOT / 'constraints.txt')}"
    if _is_made_of(folder, made_of):
        return python
    print(f"== Installing {name}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    _run([base_python(), "-m", "venv", str(folder)])
    pip = [str(python), "-m", "pip", "install", "--quiet", "--quiet", "--disable-pip-version-check"]
    if is_kew:
        constraints = ["-c", str(ROOT / "constraints.txt")]
        _run([*pip, "--editable", f"{source}[pickle]", "-r", str(pins), *constraints])
    else:
        _run([*pip, "-r", str(pins)])
    (folder / ".made-of").write_text(made_of)
    return python


def worktree(commit: str) -> Path:
    """The files of a commit, in a folder of their own."""
    folder = CACHE / "worktrees" / commit
    if not folder.exists():
        _run(["git", "-C", str(ROOT), "worktree", "prune"])
        _run(["git", "-C", str(ROOT), "worktree", "add", "--detach", str(folder), commit])
    return folder


def remove_worktree(commit: str) -> None:
    """Leave nothing of it in the repository."""
    folder = CACHE / "worktrees" / commit
    if folder.exists():
        _run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(folder)])


def ready_node(name: str) -> None:
    """The packages of a Node program."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise NotInstallable("there is no Node here")
    folder = CACHE / name
    made_of = _digest(PINS / name / "package-lock.json")
    if _is_made_of(folder, made_of):
        return
    print(f"== Installing {name}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(PINS / name, folder)
    _run(
        ["npm", "install", "--silent", "--no-audit", "--no-fund"], folder
    )  # "npm ci" wants other platforms too
    (folder / ".made-of").write_text(made_of)


def _digest(*paths: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def _is_made_of(folder: Path, made_of: str) -> bool:
    note = folder / ".made-of"
    return note.exists() and note.read_text() == made_of


def _quiet(arguments: list[str]) -> bool:
    return subprocess.run(arguments, capture_output=True, check=False).returncode == 0


def _run(arguments: list[str], folder: Path | None = None) -> None:
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotInstallable(f"{' '.join(arguments[:4])}... failed: {done.stderr.strip()[-400:]}")
