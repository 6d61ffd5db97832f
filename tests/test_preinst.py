"""Before a version is unpacked: it finds every event store that it could not read, wherever that is.

`tests/deb` has dpkg run the same script, out of the package.
"""

from __future__ import annotations

import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.conftest import EMULATED

pytestmark = pytest.mark.skipif(
    EMULATED, reason="a shell script, and its tools, which the emulated system does not have"
)

SCRIPT = Path(__file__).parents[1] / "packaging/maintainer/preinst"
FORMAT = 3


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "a root"
    (root / "etc/edged").mkdir(parents=True)
    return root


def store(path: Path, format_: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA application_id = 0x65646764")
        connection.execute(f"PRAGMA user_version = {format_}")
        connection.execute("CREATE TABLE store (one)")
    connection.close()
    return path


def install(root: Path, action: str = "upgrade") -> subprocess.CompletedProcess[str]:
    text = SCRIPT.read_text(encoding="utf-8").replace("@FORMAT@", str(FORMAT))
    command = ["sh", "-c", text, "preinst", action]
    return subprocess.run(
        command, env={"PATH": "/usr/bin:/bin", "DPKG_ROOT": str(root)}, capture_output=True, text=True
    )


def refused(root: Path, found: Path) -> bool:
    done = install(root)
    sentence = f"expected an event store of format {FORMAT} or older, found format {FORMAT + 1} in {found}, which"
    return done.returncode == 1 and sentence in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "name",
    ["porch/outbox.db", "porch/deep/er/outbox.db", "porch/a name with blanks.db", "outbox.db", "a b/-n", "x/$(y).db"],
)
def test_a_newer_store_is_found_at_any_depth_and_by_any_name(root, name):
    assert refused(root, store(root / "var/lib/edged" / name, FORMAT + 1))


def test_a_newer_store_among_others_is_found(root):
    for number in range(10):
        store(root / f"var/lib/edged/{number}/outbox.db", FORMAT)
    assert install(root).returncode == 0
    assert refused(root, store(root / "var/lib/edged/7/second.db", FORMAT + 1))


def test_a_folder_that_is_a_link_to_a_better_disk_is_followed(root, tmp_path):
    store(tmp_path / "disk/edged/porch/outbox.db", FORMAT + 1)
    (root / "var/lib").mkdir(parents=True)
    (root / "var/lib/edged").symlink_to(tmp_path / "disk/edged")
    (tmp_path / "disk/edged/loop").symlink_to(tmp_path / "disk/edged")
    assert refused(root, root / "var/lib/edged/porch/outbox.db")


@pytest.mark.parametrize(
    "text",
    [
        '[outbox]\npath = "{path}"\n',
        "[outbox]\n  path='{path}' # on the disk\n",
        'outbox.path = "{path}"\n',
        'outbox = {{ max_rows = 10, path = "{path}" }}\n',
        '[outbox]\n"path" = "{path}"\n',
    ],
)
def test_a_newer_store_that_a_configuration_names_is_found(root, text):
    (root / "etc/edged/edged.toml").write_text('[mqtt]\nhost = "broker"\n', encoding="utf-8")
    (root / "etc/edged/edged@garden.toml").write_text(text.format(path="/srv/my disk/events.db"), encoding="utf-8")
    path = store(root / "srv/my disk/events.db", FORMAT)
    assert install(root).returncode == 0
    path.unlink()
    assert refused(root, store(path, FORMAT + 1))


@pytest.mark.parametrize("action", ["install", "upgrade"])
@pytest.mark.parametrize("content", [b"", b"x" * 64, b"SQLite format 3\0" + b"\xff" * 100])
def test_what_is_no_newer_store_stops_nobody_and_is_not_told_of(root, content, action):
    other = root / "var/lib/edged/porch/other.db"
    other.parent.mkdir(parents=True)
    other.write_bytes(content)
    (other.parent / "gone").symlink_to("nowhere")
    (root / "etc/edged/edged.toml").write_text('[outbox]\npath = "/srv/none.db"\n', encoding="utf-8")
    done = install(root, action)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_board_without_edged_takes_it(tmp_path):
    done = install(tmp_path, "install")
    assert (done.returncode, done.stderr) == (0, "")
