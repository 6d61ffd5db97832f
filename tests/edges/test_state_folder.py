"""The state folder on a real disk."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from edged.edges.state_folder import SYSTEM, StateFolder, state_root


def test_what_was_written_is_read_by_the_next_process(tmp_path: Path) -> None:
    assert StateFolder(tmp_path / "porch").write("last_exit.json", {"code": 0, "reason": "stopped … gut"})
    assert StateFolder(tmp_path / "porch").read("last_exit.json") == {"code": 0, "reason": "stopped … gut"}


def test_the_folder_is_made_when_it_is_first_written(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "a" / "b" / "porch")
    assert folder.read("x.json") == {}
    assert not (tmp_path / "a").exists()
    assert folder.write("x.json", {"a": 1})
    assert json.loads((tmp_path / "a" / "b" / "porch" / "x.json").read_bytes()) == {"a": 1}


def test_a_file_is_replaced_whole_and_nothing_is_left_behind(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.write("x.json", {"long": "x" * 10_000})
    with (tmp_path / "x.json").open(encoding="utf-8") as reader:
        folder.write("x.json", {"a": 1})
        assert len(reader.read()) > 10_000  # whoever reads the old file reads all of it
    assert folder.read("x.json") == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_what_is_there_already_is_not_written_once_more(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    assert folder.write("x.json", {"a": 1})
    before = (tmp_path / "x.json").stat().st_ino
    assert folder.write("x.json", {"a": 1})
    assert (tmp_path / "x.json").stat().st_ino == before
    assert folder.write("x.json", {"a": 2})
    assert folder.read("x.json") == {"a": 2}


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"[1, 2]", b"\xff\xfe", b"null"])
def test_a_damaged_file_is_read_as_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    assert StateFolder(tmp_path).read("x.json") == {}


def test_a_folder_that_cannot_be_written_is_said_and_survived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "porch").write_text("a file where the folder should be", encoding="utf-8")
    assert not StateFolder(tmp_path / "porch").write("x.json", {"a": 1})
    assert not StateFolder(tmp_path / "porch" / "deeper").write("x.json", {"a": 1})
    assert [record.getMessage().split(" ")[0] for record in caplog.records] == ["x.json", "x.json"]


def test_a_write_that_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    (tmp_path / "x.json").mkdir()  # a name that cannot be replaced by a file
    assert not folder.write("x.json", {"a": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_makes_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    os.chown(tmp_path, 4321, 4322)
    StateFolder(tmp_path / "porch").write("x.json", {"a": 1})
    for path in (tmp_path / "porch", tmp_path / "porch" / "x.json"):
        assert (path.stat().st_uid, path.stat().st_gid) == (4321, 4322)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_gives_away_is_what_it_wrote_and_no_link_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, other, fsync = tmp_path / "state", tmp_path / "other", os.fsync
    root.mkdir()
    other.write_text("root's own", encoding="utf-8")
    os.chown(root, 4321, 4322)

    def swapped(descriptor: int) -> None:
        fsync(descriptor)
        (temporary,) = root.iterdir()  # as the folder's owner may at any moment
        temporary.unlink()
        temporary.symlink_to(other)

    monkeypatch.setattr(os, "fsync", swapped)
    StateFolder(root).write("x.json", {"a": 1})
    assert other.stat().st_uid == 0


def test_systemd_says_where_state_lives() -> None:
    assert state_root({"STATE_DIRECTORY": "/var/lib/edged"}) == Path("/var/lib/edged")
    assert state_root({"STATE_DIRECTORY": "/a/one:/a/two"}) == Path("/a/one")


def test_without_systemd_it_depends_on_who_asks() -> None:
    found = state_root({"XDG_STATE_HOME": "/home/somebody/state"})
    assert found == (SYSTEM if os.geteuid() == 0 else Path("/home/somebody/state/edged"))
