"""Bytes on a file system that a power cut may find half written."""

from __future__ import annotations

import tomllib
from itertools import pairwise

import pytest
from edged_import import durable
from edged_import.passwords import NOTE
from edged_import.texts import blanked

SECTOR = 512


def secret_across_sectors(at: int) -> tuple[bytes, bytes]:
    """A configuration whose password line begins at a byte, and what is left of it."""
    head = b"[mqtt]\nhost = " + b'"' + b"h" * (at - 18) + b'"\n'
    assert len(head) == at - 1
    old = head + b'\npassword = "' + b"s" * 40 + b'"\nport = 1883\n'
    return old, blanked(old, frozenset({4}), NOTE)


@pytest.mark.parametrize("at", [SECTOR - offset for offset in range(60)])
def test_a_cut_while_a_secret_is_taken_off_leaves_a_file_that_can_be_read(at):
    old, new = secret_across_sectors(at)
    wanted = tomllib.loads(new.decode())
    written = durable.steps(old, new)
    assert written[-1] == new
    for before, after in pairwise((old, *written)):
        for cut in range(0, len(old) + SECTOR, SECTOR):
            # Sectors are written whole, in whatever order.
            for mixed in (after[:cut] + before[cut:], before[:cut] + after[cut:]):
                found = tomllib.loads(mixed.decode())
                found["mqtt"].pop("password", None)
                assert found == wanted


def test_a_file_is_written_over_in_place(tmp_path):
    path = tmp_path / "edged.toml"
    old, new = secret_across_sectors(500)
    path.write_bytes(old)
    inode = path.stat().st_ino
    durable.comment_out(path, new)
    assert path.read_bytes() == new
    assert path.stat().st_ino == inode


def test_a_file_that_somebody_changed_meanwhile_is_left_alone(tmp_path):
    path = tmp_path / "edged.toml"
    path.write_bytes(b"longer than it was")
    with pytest.raises(ValueError, match="has changed"):
        durable.comment_out(path, b"# short")
    assert path.read_bytes() == b"longer than it was"


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "new" / "secret"
    durable.write(path, b"one", 0o600)
    durable.write(path, b"two", 0o600)
    assert [one.name for one in path.parent.iterdir()] == ["secret"]
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"two", 0o600)
