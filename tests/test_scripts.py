"""What the scripts share, scripts/debian, and what they keep: commands of the machine are faked."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DEBIAN = ROOT / "scripts" / "debian"

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="the scripts are bash's")

Machine = Callable[..., tuple[int, str, list[str]]]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Runs a command line where commands do what `faked` says: its status, what it said, and apt-get's calls."""
    commands, called = tmp_path / "bin", tmp_path / "called"
    commands.mkdir()

    def run(*command: str, **faked: str) -> tuple[int, str, list[str]]:
        for name, body in faked.items():
            path = commands / name.replace("_", "-")
            path.write_text(f'#!/bin/bash\n[[ $0 != *apt-get ]] || echo "$*" >>{called}\n{body}\n', encoding="utf-8")
            path.chmod(0o755)
        environment = {
            **os.environ,
            "PATH": f"{commands}:{os.environ['PATH']}",
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        }
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=tmp_path
        )
        asked = called.read_text(encoding="utf-8").splitlines() if called.exists() else []
        return done.returncode, done.stdout, asked

    return run


def shared(line: str) -> tuple[str, ...]:
    """A line of a script called test-x that has sourced what they share."""
    return ("bash", "-euo", "pipefail", "-c", f'source {DEBIAN}; {line}; echo "went on"', "/somewhere/test-x")


ONE_IS_THERE = '[[ ${*: -1} == git ]] && echo installed || { echo "no packages found" >&2; exit 1; }'


def test_a_tool_that_is_there_is_not_installed(machine: Machine) -> None:
    assert machine(*shared("install_tools git"), dpkg_query=ONE_IS_THERE, apt_get="") == (0, "went on\n", [])


def test_what_is_missing_is_named_and_installed(machine: Machine) -> None:
    code, told, asked = machine(
        *shared("install_tools git lintian kmod"), dpkg_query=ONE_IS_THERE, apt_get="", id="echo 0"
    )
    assert (code, told) == (0, "test-x: installing lintian kmod\nwent on\n")
    assert asked[0].endswith("update")
    assert asked[1].endswith("install lintian kmod")


def test_whoever_may_not_install_is_told_what_to_say(machine: Machine) -> None:
    code, told, asked = machine(*shared("install_tools git kmod"), dpkg_query=ONE_IS_THERE, apt_get="", id="echo 1000")
    assert (code, told, asked) == (1, "test-x: needs kmod (apt install kmod)\n", [])


def test_an_apt_that_fails_ends_the_script(machine: Machine) -> None:
    code, told, _ = machine(*shared("install_tools kmod"), dpkg_query=ONE_IS_THERE, apt_get="exit 100", id="echo 0")
    assert (code, told.splitlines()[-1]) == (1, "test-x: apt-get could not install kmod; its messages are above.")


def test_a_mirror_that_apt_does_not_know_is_looked_for_once_more(machine: Machine, tmp_path: Path) -> None:
    knows = tmp_path / "lists"
    apt_get = (
        f'case "$*" in *update) touch {knows} ;; *Debian*) [[ ! -e {knows} ]] || echo http://mirror/debian/ ;; esac'
    )
    code, told, asked = machine(
        *shared("unpack_debian trixie tree --include=dash"),
        apt_get=apt_get,
        id="echo 0",
        mmdebstrap='printf "%s\\n" "$@"',
    )
    assert code == 0
    assert "--include=dash\ntrixie\ntree\n" in told
    assert "http://mirror/debian/ trixie main\nwent on\n" in told
    assert sum(call.endswith("update") for call in asked) == 1


def test_without_a_mirror_nothing_is_unpacked(machine: Machine) -> None:
    # As scripts/build-deb calls it: there nothing but the function itself ends the script.
    code, told, _ = machine(
        *shared("x=$(unpack_debian trixie tree)"), apt_get="", id="echo 0", mmdebstrap="echo unpacked >&2"
    )
    assert (code, told.count("\n")) == (1, 1)
    assert told.startswith("test-x: apt on this machine has no source labelled Debian to take Debian trixie from")


def test_a_registration_that_runs_nothing_is_not_enough(machine: Machine) -> None:
    code, told, _ = machine(
        *shared("enable_emulation tree"), uname="echo x86_64", mount="", update_binfmts="", chroot="exit 1"
    )
    assert (code, told.count("\n")) == (1, 1)
    assert told.startswith("test-x: arm64 programs do not run here although qemu-aarch64 is enabled")


def test_an_arm64_machine_needs_no_emulation(machine: Machine) -> None:
    line = shared("enable_emulation tree")
    assert machine(*line, uname="echo aarch64", mount="exit 1", update_binfmts="exit 1") == (0, "went on\n", [])


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="the script is for Debian")
def test_what_could_not_be_fetched_is_not_kept(machine: Machine, tmp_path: Path) -> None:
    # A Python that makes environments in which pip fails.
    offline = """[[ ${2:-} != venv ]] || { mkdir -p "$3/bin"; ln -s /bin/false "$3/bin/python"; }"""
    code, told, _ = machine("bash", str(ROOT / "scripts/build-deb"), str(tmp_path / "out"), python3=offline)
    assert code == 1, told
    assert [
        path.name for path in (tmp_path / "cache/edged").glob("deb-tools-*") if not path.name.endswith(".partial")
    ] == []
