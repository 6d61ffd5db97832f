"""The installed package as arm64 code, under QEMU, in a Debian that has what it depends on and nothing more."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import edged
from tests.deb.conftest import Package

IMPORTS = "numpy, cv2, ai_edge_litert.interpreter, paho.mqtt.client, pydantic, simplejpeg, sqlite3, ssl, faulthandler"


@pytest.fixture(scope="module")
def root(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Debian with the package's files; nothing was configured, so this shows what they need to run and no more."""
    board = Path(os.environ["EDGED_PACKAGES"], f"board-{package.debian}").resolve()
    root = tmp_path_factory.mktemp(f"board{package.debian}") / "root"
    subprocess.run(["cp", "-a", str(board), str(root)], check=True)
    subprocess.run(["dpkg-deb", "--extract", str(package.path), str(root)], check=True)
    (root / "etc/edged").mkdir(parents=True)
    return root


def run(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    # cortex-a72: what a Raspberry Pi 4 can run and no more.
    environment = {"PATH": "/usr/sbin:/usr/bin", "HOME": "/root", "QEMU_CPU": "cortex-a72", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(["chroot", str(root), *command], capture_output=True, text=True, env=environment)


def test_the_command_runs(root):
    done = run(root, "/usr/bin/edged", "--version")
    assert (done.stdout, done.returncode) == (f"edged {edged.__version__}\n", 0), done.stderr


def test_every_library_loads_and_is_the_package_s(root):
    code = f"import sys; sys.path.insert(0, '/usr/lib/edged'); import {IMPORTS}; print(numpy.__file__, cv2.__file__)"
    done = run(root, "/usr/bin/python3", "-sP", "-c", code)
    assert done.returncode == 0, done.stderr
    assert all(path.startswith("/usr/lib/edged/") for path in done.stdout.split())


def test_the_example_and_its_model_fit(root):
    shutil.copy(root / "usr/share/edged/edged.toml", root / "etc/edged/edged.toml")
    done = run(root, "/usr/bin/edged", "check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_configuration_that_cannot_be_used_ends_with_78(root):
    (root / "etc/edged/edged.toml").write_text("[mqtt]\nhots = 'x'\n", encoding="utf-8")
    done = run(root, "/usr/bin/edged", "run")
    assert done.returncode == 78
    assert "/etc/edged/edged.toml:2" in done.stderr


def test_the_lock_reads_the_same_configuration(root):
    shutil.copy(root / "usr/share/edged/edged.toml", root / "etc/edged/edged.toml")
    text = (root / "etc/edged/edged.toml").read_text(encoding="utf-8")
    (root / "etc/edged/edged.toml").write_text(text.replace('"homeassistant.local"', '"192.0.2.7"'), encoding="utf-8")
    done = run(root, "/usr/sbin/edged-lock")
    assert done.returncode == 0, done.stderr
    drop_in = root / "etc/systemd/system/edged.service.d/30-lock.conf"
    assert "IPAddressAllow=192.0.2.7" in drop_in.read_text(encoding="utf-8")


def test_nothing_is_ever_written_beside_the_package(root, package):
    # Last: by now root has run every command, and byte-code was never made anew.
    library = {"/" + path.relative_to(root).as_posix() for path in (root / "usr/lib/edged").rglob("*")}
    assert library == {path for path in package.listing if path.startswith("/usr/lib/edged/")}
