"""scripts/install: what it refuses, each in one sentence, and what it hands to apt-get, which is faked."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "install"
PYTHON = {"12": "3.11", "13": "3.13"}

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "dpkg-deb"))) or not Path("/etc/os-release").exists(),
    reason="the script is for Debian",
)


def release() -> str:
    lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    return next((line.partition("=")[2].strip('"') for line in lines if line.startswith("VERSION_ID=")), "")


def python() -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, text=True).stdout.strip()


on_its_debian = pytest.mark.skipif(
    not Path("/usr/bin/python3").exists() or PYTHON.get(release()) != python(), reason="needs Debian 12 or 13 as it is"
)


@pytest.fixture
def board(tmp_path):
    """Runs the script on a board: `answers` are what the commands print that tell what kind of board it is."""
    commands, called = tmp_path / "bin", tmp_path / "called"
    commands.mkdir()

    def run(*arguments: str, dpkg: str = "arm64", uid: str = "0") -> tuple[int, str, list[str]]:
        answers = {
            "dpkg": f"echo {dpkg}",
            "id": f"echo {uid}",
            "systemctl": "exit 3",
            "apt-get": f'echo "$*" >>{called}',
        }
        for name, body in answers.items():
            (commands / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
            (commands / name).chmod(0o755)
        path = f"{commands}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", str(SCRIPT), *arguments], capture_output=True, text=True, env={**os.environ, "PATH": path}
        )
        asked = called.read_text(encoding="utf-8").splitlines() if called.exists() else []
        return done.returncode, done.stdout + done.stderr, asked

    return run


@pytest.fixture
def package(tmp_path):
    """Makes a package with nothing in it."""

    def make(name: str = "edged", version: str = f"0.1.0~deb{release()}") -> str:
        tree = tmp_path / f"{name}-{version}"
        (tree / "DEBIAN").mkdir(parents=True)
        fields = f"Package: {name}\nVersion: {version}\nArchitecture: arm64\nMaintainer: x\nDescription: x\n"
        (tree / "DEBIAN/control").write_text(fields, encoding="utf-8")
        path = tmp_path / f"{name}.deb"
        subprocess.run(["dpkg-deb", "--build", str(tree), str(path)], check=True, capture_output=True)
        return str(path)

    return make


def test_another_processor_is_refused_in_one_sentence(board, package):
    code, told, asked = board("--deb", package(), dpkg="armhf")
    assert (code, asked) == (1, [])
    assert told.startswith("install: expected a 64-bit system for ARM (arm64), found armhf; ")
    assert told.count("\n") == 1


@on_its_debian
def test_whoever_is_not_root_is_told_the_command(board, package):
    code, told, asked = board("--deb", package(), uid="1000")
    assert (code, asked) == (1, [])
    assert "say: sudo scripts/install" in told


@on_its_debian
def test_a_package_for_another_debian_is_refused(board, package):
    other = "12" if release() == "13" else "13"
    code, told, asked = board("--deb", package(version=f"0.1.0~deb{other}"))
    assert (code, asked) == (1, [])
    assert f"expected a package for Debian {release()}" in told
    assert f"found version 0.1.0~deb{other}" in told


@on_its_debian
def test_what_is_no_package_of_edged_is_refused(board, package, tmp_path):
    assert "expected the package edged, found mosquitto" in board("--deb", package("mosquitto"))[1]
    (tmp_path / "picture.deb").write_bytes(b"x")
    assert "expected a Debian package, found something else" in board("--deb", str(tmp_path / "picture.deb"))[1]


@pytest.mark.parametrize("arguments", [("--deb",), ("--deb", "/no/such/file.deb"), ("--help",), ("file.deb",)])
def test_wrong_usage(board, arguments):
    assert board(*arguments)[0] == 2


@on_its_debian
@pytest.mark.skipif(Path("/etc/edged/edged.toml").exists(), reason="edged is installed here")
def test_the_package_is_installed_over_whatever_is_there_and_the_next_steps_are_said(board, package):
    path = package()
    for times in (1, 2):
        code, told, asked = board("--deb", path)
        assert code == 0, told
        assert len(asked) == times
        assert "--reinstall --allow-downgrades install " in asked[-1]
        assert "sudo systemctl start edged" in told
