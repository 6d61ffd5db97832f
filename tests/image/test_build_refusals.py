"""What image/build refuses before it makes anything."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import EMULATED

pytestmark = pytest.mark.skipif(EMULATED, reason="a shell script for the machine that makes images")

BUILD = Path(__file__).parents[2] / "image/build"


@pytest.fixture
def build(tmp_path: Path):
    """Runs it where all tools are there, whoever runs the test, and where no image comes of it in any case."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, script in (("id", "echo 0"), ("dpkg-query", "echo installed"), ("apt-get", "exit 1")):
        (tools / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tools / name).chmod(0o755)
    (tmp_path / "cache/edged/image-tools-trixie").mkdir(parents=True)
    (tmp_path / "empty").touch()
    environ = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def run(out: Path) -> subprocess.CompletedProcess[str]:
        command = [BUILD, "--deb", tmp_path / "empty", "--raspios", tmp_path / "empty", out]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("device", "character special file"),
        ("link to a device", "character special file"),
        ("pipe", "fifo"),
        ("folder", "directory"),
    ],
)
def test_what_is_no_file_is_not_replaced_by_an_image(build, tmp_path, kind, words):
    out = Path("/dev/null") if kind == "device" else tmp_path / "out"
    if kind == "link to a device":
        out.symlink_to("/dev/null")
    elif kind == "pipe":
        os.mkfifo(out)
    elif kind == "folder":
        out.mkdir()
    before = out.stat()
    done = build(out)
    assert done.returncode == 1
    assert done.stderr == (
        f"image-build: expected the name of a file for the image, found {words} {out}: "
        "make a file, such as edged.img, and write it to the card with Raspberry Pi Imager or dd.\n"
    )
    assert (out.stat().st_mode, out.stat().st_ino) == (before.st_mode, before.st_ino)


@pytest.mark.parametrize("is_there", [True, False])
def test_an_older_image_or_nothing_is_a_place_for_one(build, tmp_path, is_there):
    out = tmp_path / "edged.img"
    if is_there:
        out.write_bytes(b"an older image")
    done = build(out)
    assert "expected a Raspberry Pi OS with two partitions" in done.stderr, "it went on to look at what it was given"
    assert (out.read_bytes() if is_there else out.exists()) == (b"an older image" if is_there else False)
