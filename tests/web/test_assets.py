"""What the page is made of: files that ship, load nothing from elsewhere, and are what they were vendored as."""

import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.web.invented import STATIC

ROOT = STATIC.parents[2]
OURS = sorted(
    path
    for path in STATIC.rglob("*")
    if path.suffix in {".js", ".css", ".html", ".svg"} and "vendor" not in path.parts
)


def test_vendored_files_have_the_hashes_that_are_written_down() -> None:
    vendor = STATIC / "vendor"
    lines = (vendor / "SHA256SUMS").read_text().splitlines()
    written = {name: digest for digest, name in (line.split() for line in lines)}
    found = {
        str(path.relative_to(vendor)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in vendor.rglob("*")
        if path.is_file() and path.parent != vendor
    }
    assert found == written
    for folder in vendor.iterdir():
        assert not folder.is_dir() or (folder / "LICENSE").is_file()


def test_no_file_loads_anything_from_elsewhere() -> None:
    for path in OURS:
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|[\"'(]//", text), path


def test_no_file_makes_markup_of_text() -> None:
    unsafe = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function"
        r"|srcdoc|setAttribute\(\"style\""
    )
    for path in OURS:
        assert not re.search(unsafe, path.read_text()), path


def test_the_html_has_neither_inline_scripts_nor_inline_styles() -> None:
    html = (STATIC / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", html)


def test_the_wheel_contains_every_file_of_the_page(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    (wheel,) = tmp_path.glob("kew-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {str(path.relative_to(ROOT)) for path in STATIC.rglob("*") if path.is_file()}
    assert expected <= names
