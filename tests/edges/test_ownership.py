"""Whose files are and who may read them, on a real file system."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from edged.edges import ownership

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


def test_a_file_and_a_folder_are_told(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("x", encoding="utf-8")
    path.chmod(0o640)
    held = ownership.look(path)
    assert held is not None
    assert (held.path, held.mode, held.is_folder) == (str(path), 0o640, False)
    assert held.owner == ownership.user_name(os.geteuid())
    folder = ownership.look(tmp_path)
    assert folder is not None
    assert folder.is_folder


def test_a_folder_that_is_closed_keeps_others_from_all_in_it(tmp_path: Path) -> None:
    """pytest's own folders are closed, so that this one stands beside them."""
    with tempfile.TemporaryDirectory() as name:
        inner = Path(name, "in/it")
        inner.mkdir(parents=True)
        path = inner / "password"
        path.write_text("x", encoding="utf-8")
        path.chmod(0o644)
        for mode, expected in ((0o755, 0o644), (0o711, 0o644), (0o700, 0o640)):
            Path(name).chmod(mode)
            held = ownership.look(path)
            assert held is not None
            assert held.mode == expected, oct(mode)


def test_what_is_not_there_is_nobodys(tmp_path: Path) -> None:
    assert ownership.look(tmp_path / "nothing") is None
    assert ownership.look(tmp_path / "nothing/in/it") is None
    assert ownership.may_read(tmp_path / "nothing", "root") is None


def test_a_user_that_is_none_has_a_number() -> None:
    assert ownership.user_name(4_000_000_001) == "4000000001"


@pytest.mark.parametrize(("mode", "expected"), [(0o600, False), (0o640, False), (0o604, True), (0o644, True)])
def test_a_stranger_may_read_what_others_may(tmp_path: Path, mode: int, expected: bool) -> None:
    path = tmp_path / "password"
    path.write_text("x", encoding="utf-8")
    path.chmod(mode)
    assert ownership.may_read(path, "nobody") is expected
    assert ownership.may_read(path, "root") is True
    assert ownership.may_read(path, "no such user") is None


@ROOT_ONLY
def test_an_owner_and_a_group_may_read_what_they_may(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("x", encoding="utf-8")
    for owner, group, mode, expected in (
        (65534, 0, 0o400, True),
        (65534, 0, 0o044, False),
        (0, 65534, 0o040, True),
        (0, 65534, 0o004, False),
    ):
        os.chown(path, owner, group)
        path.chmod(mode)
        assert ownership.may_read(path, "nobody") is expected, (owner, group, oct(mode))


@ROOT_ONLY
def test_files_of_somebody_else_are_found(tmp_path: Path) -> None:
    for name in ("outbox.db", "settings.json"):
        (tmp_path / name).write_text("", encoding="utf-8")
    assert ownership.strangers(tmp_path) == ()
    os.chown(tmp_path / "outbox.db", 65534, 65534)
    assert ownership.strangers(tmp_path) == ("outbox.db",)


def test_a_file_system_that_takes_something_is_told(tmp_path: Path) -> None:
    assert not ownership.is_read_only(tmp_path)
    with pytest.raises(FileNotFoundError):
        ownership.is_read_only(tmp_path / "nothing")
