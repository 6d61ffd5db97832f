"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edged.modelstore import durable


def test_a_file_has_its_whole_content_on_the_disk_before_it_takes_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled, fsync = [], os.fsync

    def watched(descriptor: int) -> None:
        settled.append((os.fstat(descriptor).st_size, (tmp_path / "file").exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    durable.write(tmp_path / "file", b"content")
    assert settled[0] == (len(b"content"), False)
    assert (tmp_path / "file").read_bytes() == b"content"


def test_a_file_that_cannot_be_replaced_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    durable.write(tmp_path / "file", b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        durable.write(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_link_in_the_place_of_a_new_folder_gets_neither_owner_nor_mode(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(tmp_path, 4321, 4322)
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    before = other.stat()
    (tmp_path / "new").symlink_to(other)
    with pytest.raises(OSError, match="Not a directory"):
        durable.own(tmp_path / "new", 0o755)
    now = other.stat()
    assert (now.st_mode, now.st_uid) == (before.st_mode, before.st_uid)
    (tmp_path / "new").unlink()
    (tmp_path / "new").mkdir(mode=0o700)
    durable.own(tmp_path / "new", 0o755)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o755
