"""Which version a start runs under the policy require, whatever its age."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest

from edged import trusted, usage
from edged.beginning import begin
from edged.config import load as load_config
from edged.config import outline
from edged.keeping import Keeper
from edged.modelstore import install, remembered, signature
from tests import versions
from tests.daemon import write_config
from tests.scenes import flat, write_picture

DECEMBER, JANUARY = datetime.date(2026, 12, 1), datetime.date(2027, 1, 2)


class Board:
    """A store with signed versions of `garden`, and configurations that ask for a signature."""

    def __init__(self, folder):
        self.folder, self.root, self.key = folder, folder / "state", folder / "fleet.pem"
        self.public = signature.new_key(self.key)
        write_picture(folder / "a.png", flat(90))

    def put(self, version, expires=""):
        def text(told):
            return told.replace(f'"{versions.NAME}"', '"garden"').replace("[files]", f"{expires}\n[files]")

        made = versions.make(self.folder / version, version, text=text)
        signature.sign_folder(made, self.key)
        return install(made, self.root / "models")

    def config(self, name, device="test"):
        path = write_config(
            self.folder / f"{device}.toml", f"file:{self.folder / 'a.png'}", 1883, "p", [{"label": "circle"}]
        )
        named = f'name = "{device}"'
        table = f'name = "{name}"\ntrusted_keys = ["fleet:{self.public}"]\npolicy = "require"'
        text = path.read_text().replace('name = "test"', named).replace(f'name = "{versions.NAME}"', table)
        path.write_text(text)
        return load_config(path)

    def start(self, config, today):
        """The version that runs; None where none does."""
        trust = replace(trusted.trust(outline(config), self.root), today=today)
        begun = begin(outline(config), self.root, trust, starts=True)
        if begun.model is None:
            return None
        trust.accept(begun.model[0].folder)
        begun.model[1].close()
        return begun.model[0].version


@pytest.fixture
def board(tmp_path):
    return Board(tmp_path)


EXPIRES = "expires = 2026-12-31\n"


@pytest.mark.parametrize("name", ["garden", "garden@1.0.0", "path"])
def test_what_is_in_use_goes_on_after_its_expiry_and_nothing_else_does(board, name):
    folder = board.put("1.0.0", EXPIRES)
    config = board.config(str(folder) if name == "path" else name)
    assert board.start(config, JANUARY) is None, "it was not in use"
    assert board.start(config, DECEMBER) == "1.0.0"
    assert board.start(config, JANUARY) == "1.0.0"
    assert not remembered.read(board.root / "models"), "nobody chose it: a newer one that is installed takes over"
    assert board.start(board.config("garden", "another"), JANUARY) is None


def test_a_pinned_version_goes_on_when_another_instance_accepted_a_newer_one(board):
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        board.put(version)
    pinned = board.config("garden@1.0.0", "pinned")
    assert board.start(pinned, DECEMBER) == "1.0.0"
    assert board.start(board.config("garden"), DECEMBER) == "3.0.0"
    assert board.start(pinned, DECEMBER) == "1.0.0"
    assert board.start(board.config("garden@1.0.0", "another"), DECEMBER) is None, "there is no way back for others"


def test_what_goes_on_after_its_expiry_is_in_use_for_the_store_too(board):
    board.put("1.0.0", "expires = 2020-12-31\n")
    board.put("2.0.0", "expires = 2020-12-30\n")
    config = board.config("garden")
    remembered.remember(board.root / "models", "garden", "1.0.0")
    assert board.start(config, datetime.date(2020, 12, 1)) == "1.0.0"
    (board.root / "models" / remembered.FILE_NAME).unlink()
    trust = Keeper(config, board.root).trust
    assert ("garden", "1.0.0") in trust.in_use
    if trust.today is not None:
        assert [one.folder.name for one in usage.uses(config, None, board.root)] == ["garden@1.0.0"]
