"""Installing, upgrading, downgrading, removing and purging, with dpkg itself, in a root that has nothing else.

The maintainer scripts run on this machine and are told the root by DPKG_ROOT (dpkg(1), --force-script-chrootless), so
that nothing has to be emulated. Starting the service is for a machine with systemd: tests/vm.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.deb.conftest import Package, built

ENABLED = "etc/systemd/system/multi-user.target.wants/edged.service"


class Board:
    """A root with the little that dpkg and the scripts want of one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("var/lib/dpkg/updates", "var/lib/dpkg/info", "etc", "usr/bin", "run"):
            (root / folder).mkdir(parents=True)
        for name in ("status", "available"):
            (root / "var/lib/dpkg" / name).touch()
        (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (root / "etc/group").write_text("root:x:0:\nvideo:x:44:\n")
        for name in ("shadow", "gshadow"):
            (root / "etc" / name).write_text("root:*:20000:0:99999:7:::\n" if name == "shadow" else "root:*::\n")
        self.before = self.files()

    def dpkg(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs dpkg on the root; what the package depends on is not there."""
        forced = ["--force-script-chrootless", "--force-depends", "--force-architecture", "--force-confold"]
        return subprocess.run(["dpkg", f"--root={self.root}", *forced, *words], capture_output=True, text=True)

    def install(self, path: Path) -> subprocess.CompletedProcess[str]:
        """Installs, over whatever is there."""
        return self.dpkg("--install", str(path))

    def files(self) -> set[str]:
        """Every path, without dpkg's own notes and the copies that the tools for users keep."""
        paths = (path.relative_to(self.root).as_posix() for path in self.root.rglob("*"))
        return {p for p in paths if not p.startswith("var/lib/dpkg") and not p.endswith(("-", ".pwd.lock"))}

    def make_store(self, format_: int) -> Path:
        """An event store as some version of edged would leave it."""
        path = self.root / "var/lib/edged/porch/outbox.db"
        path.parent.mkdir(parents=True, exist_ok=True)
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA application_id = 0x65646764")
            connection.execute(f"PRAGMA user_version = {format_}")
            connection.execute("CREATE TABLE IF NOT EXISTS store (one)")
        connection.close()
        return path

    def configure(self) -> dict[str, bytes]:
        """What a person and the service leave behind; the content of each file by its path."""
        files = {
            "etc/edged/edged.toml": b"# a configuration\n",
            "etc/edged/credentials/mqtt-password": b"secret\n",
            "etc/systemd/system/edged.service.d/30-lock.conf": b"[Service]\n",
            "etc/systemd/system/edged@garden.service.d/override.conf": b"[Service]\n",
            "var/lib/edged/models/cat/model.tflite": b"model",
            "var/lib/edged/porch/settings.json": b"{}",
        }
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        link = self.root / "etc/systemd/system/multi-user.target.wants/edged@garden.service"
        link.symlink_to("/usr/lib/systemd/system/edged@.service")
        return files


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path / "root")


@pytest.fixture(scope="session")
def package() -> Package:
    """The scripts are the same for either Debian."""
    return built("packages")[13]


@pytest.fixture(scope="session")
def light(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes the package with another version and without most of its library, which takes a second instead of ten."""
    trunk = package.unpack(tmp_path_factory.mktemp("trunk") / "it")
    (trunk / "DEBIAN/md5sums").unlink()
    for name in ("models", "clips"):
        shutil.rmtree(trunk / "usr/lib/edged/edged" / name)
    for path in (trunk / "usr/lib/edged").iterdir():
        if path.name != "edged":
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    @cache
    def make(version: str, format_: int | None = None) -> Path:
        folder = tmp_path_factory.mktemp("light")
        tree = folder / "tree"
        shutil.copytree(trunk, tree)
        control, preinst = tree / "DEBIAN/control", tree / "DEBIAN/preinst"
        control.write_text(re.sub(r"(?m)^Version: .*", f"Version: {version}", control.read_text()))
        if format_ is not None:
            preinst.write_text(re.sub(r"(?m)^format=.*", f"format={format_}", preinst.read_text()))
        path = folder / "edged.deb"
        command = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(tree), str(path)]
        subprocess.run(command, check=True, capture_output=True)
        return path

    return make


def test_a_first_installation_makes_user_folders_and_an_enabled_service(board, package):
    done = board.install(package.path)
    assert done.returncode == 0, done.stderr
    assert "not started, for want of a configuration" in done.stdout
    assert any(line.startswith("edged:") for line in (board.root / "etc/passwd").read_text().splitlines())
    assert stat.S_IMODE((board.root / "etc/edged").stat().st_mode) == 0o755
    assert stat.S_IMODE((board.root / "etc/edged/credentials").stat().st_mode) == 0o700
    assert (board.root / ENABLED).is_symlink()
    assert not (board.root / "etc/edged/edged.toml").exists()
    assert not list((board.root / "etc/systemd/system").glob("**/edged@*"))


def test_it_can_be_installed_twice(board, light, package):
    path = light(package.field("Version"))
    assert board.install(path).returncode == 0
    before = board.files()
    done = board.install(path)
    assert done.returncode == 0, done.stderr
    assert board.files() == before


def test_an_upgrade_keeps_configuration_events_models_and_drop_ins(board, light):
    assert board.install(light("0.0.9~deb13")).returncode == 0
    kept = board.configure()
    store = board.make_store(1).read_bytes()
    done = board.install(light("9.9~deb13"))
    assert done.returncode == 0, done.stderr
    assert {name: (board.root / name).read_bytes() for name in kept} == kept
    assert (board.root / "var/lib/edged/porch/outbox.db").read_bytes() == store
    assert "not started" not in done.stdout


def test_a_service_that_was_switched_off_stays_off(board, light):
    assert board.install(light("0.0.9~deb13")).returncode == 0
    (board.root / ENABLED).unlink()
    assert board.install(light("9.9~deb13")).returncode == 0
    assert not (board.root / ENABLED).exists()


def test_a_downgrade_that_can_read_the_events_is_taken(board, light):
    assert board.install(light("9.9~deb13")).returncode == 0
    board.make_store(1)
    done = board.install(light("0.0.9~deb13"))
    assert done.returncode == 0, done.stderr


def test_a_downgrade_that_cannot_read_the_events_is_refused_and_changes_nothing(board, light):
    assert board.install(light("9.9~deb13", format_=2)).returncode == 0
    store = board.make_store(2)
    before = board.files()
    done = board.install(light("0.0.9~deb13", format_=1))
    assert done.returncode != 0
    assert (
        f"expected an event store of format 1 or older, found format 2 in {store}, which a newer edged made"
        in done.stderr
    )
    assert board.files() == before
    listed = subprocess.run(
        ["dpkg-query", f"--admindir={board.root}/var/lib/dpkg", "-W", "-f", "${Version} ${db:Status-Status}", "edged"],
        capture_output=True,
        text=True,
    )
    assert listed.stdout == "9.9~deb13 installed"


def test_what_a_removed_newer_edged_left_is_refused_as_well(board, light):
    assert board.install(light("9.9~deb13", format_=2)).returncode == 0
    board.make_store(2)
    assert board.dpkg("--remove", "edged").returncode == 0
    assert "found format 2" in board.install(light("0.0.9~deb13", format_=1)).stderr


@pytest.mark.parametrize("content", [b"", b"x" * 64, b"SQLite format 3\0" + b"\xff" * 100])
def test_what_is_no_event_store_stops_nobody(board, light, content):
    file = board.root / "var/lib/edged/porch/other.db"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    done = board.install(light("1.0~deb13"))
    assert done.returncode == 0, done.stderr


def test_removing_keeps_what_is_the_user_s(board, light):
    assert board.install(light("1.0~deb13")).returncode == 0
    kept = board.configure()
    assert board.dpkg("--remove", "edged").returncode == 0
    assert {name: (board.root / name).read_bytes() for name in kept} == kept
    assert not (board.root / "usr/lib/edged").exists()


def test_purging_leaves_nothing(board, light):
    assert board.install(light("1.0~deb13")).returncode == 0
    board.configure()
    board.make_store(1)
    done = board.dpkg("--purge", "edged")
    assert done.returncode == 0, done.stderr
    left = board.files() - board.before
    assert not [name for name in left if "edged" in name]
    assert not [p for p in left if (board.root / p).is_file()]
    for name in ("passwd", "group", "shadow", "gshadow"):
        assert "edged" not in (board.root / "etc" / name).read_text()
