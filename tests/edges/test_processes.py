"""Other processes: real ones of this machine, and a /proc of the test where only files count."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.edges import processes

HOLDER = "import sys; file = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A file that another process has open, and the number of that process."""
    path = tmp_path / "video0"
    path.write_bytes(b"")
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        yield path, holder.pid
        holder.kill()


def test_who_has_a_file_open_is_found(held: tuple[Path, int]) -> None:
    path, pid = held
    (found,) = processes.holders(path).processes
    assert found.pid == pid
    assert str(path) in found.words
    link = path.with_name("by-id")
    link.symlink_to(path)
    assert [one.pid for one in processes.holders(link).processes] == [pid]


def test_this_process_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "video0"
    with path.open("wb"):
        assert processes.holders(path).processes == ()


def test_a_file_that_is_not_there_is_held_by_nobody(tmp_path: Path) -> None:
    assert processes.holders(tmp_path / "nothing") == processes.Holders((), is_complete=True)


def write(root: Path, pid: int, comm: str, cmdline: str, cgroup: str) -> Path:
    folder = root / f"proc/{pid}"
    (folder / "fd").mkdir(parents=True)
    for name, text in (("comm", f"{comm}\n"), ("cmdline", cmdline.replace(" ", "\0") + "\0"), ("cgroup", cgroup)):
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_the_service_of_a_holder_is_told(tmp_path: Path) -> None:
    device = tmp_path / "video0"
    device.write_bytes(b"")
    folder = write(tmp_path, 4_000_001, "python3", "/usr/bin/edged run", "0::/system.slice/edged.service\n")
    (folder / "fd/7").symlink_to(device)
    write(tmp_path, 4_000_002, "cat", "cat", "0::/user.slice/session-1.scope\n")
    (found,) = processes.holders(device, tmp_path).processes
    assert (found.pid, found.name, found.unit) == (4_000_001, "python3", "edged.service")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look at every process")
def test_what_may_not_be_looked_at_is_told() -> None:
    assert not processes.holders(Path("/dev/null")).is_complete


def test_daemons_are_told_by_their_command_line(tmp_path: Path) -> None:
    for number, line in enumerate(
        (
            "/opt/edged/bin/python3 /opt/edged/bin/edged run",
            "/usr/bin/edged run --config /etc/edged/porch.toml",
            "python3 -m edged run",
            "/usr/bin/edged check",
            "vi run edged",
            "",
        )
    ):
        write(tmp_path, 4_000_000 + number, "python3", line, "0::/system.slice/edged.service\n")
    assert sorted(one.pid for one in processes.daemons(tmp_path)) == [4_000_000, 4_000_001, 4_000_002]
