"""What is in the place of a file of a model and is no file: a sentence, and nobody waits for it."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edged.core.errors import ModelError
from edged.keeping import Keeper
from edged.modelstore import available, bundled, install, load, manifest, signature
from edged.modelstore.regular import opened

FILES = ("model.toml", "model.sig", "labels.txt", "model.tflite", "golden/star.png", "golden/expected.json")


def sentence(call: Callable[[], object]) -> str:
    """What a call is refused with; fails where it does not end, as whoever opens a pipe does not."""
    said: list[str] = []

    def run() -> None:
        try:
            call()
        except ModelError as error:
            said.append(str(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "it waits for ever"
    assert said, "it was taken"
    return said[0]


def pipe(path: Path) -> str:
    os.mkfifo(path)
    return "a named pipe"


def device(path: Path) -> str:
    path.symlink_to("/dev/zero")
    return "a device"


def folder(path: Path) -> str:
    path.mkdir()
    return "a folder"


def socket_file(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))
    return "a socket"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return shutil.copytree(bundled() / "shapes-int8", tmp_path / "shapes")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("make", [pipe, device, folder])
def test_what_is_no_file_is_a_sentence_of_every_command(
    tmp_path: Path, package: Path, name: str, make: Callable[[Path], str]
) -> None:
    (package / name).unlink(missing_ok=True)
    what = make(package / name)
    if what == "a device" and name not in ("model.toml", "model.sig"):
        what = "a link that leads out"  # these may not be links to anything outside
    keeper = Keeper(None, tmp_path / "state")
    assert what in sentence(lambda: keeper.add(package))
    assert available([tmp_path / "state" / "models"]) == ()
    said = sentence(lambda: keeper.verify(str(package)))
    assert what in said
    assert "\n" not in said


@pytest.mark.parametrize("make", [pipe, device])
def test_a_signed_downgrade_is_a_file_too(tmp_path: Path, package: Path, make: Callable[[Path], str]) -> None:
    keeper = Keeper(None, tmp_path / "state")
    signature.new_key(tmp_path / "fleet.pem")
    signature.sign_folder(package, tmp_path / "fleet.pem")
    keeper.add(package)
    what = make(tmp_path / "statement")
    assert what in sentence(lambda: keeper.use("shapes-int8@1.0.0", tmp_path / "statement"))


def test_what_became_a_pipe_after_it_was_looked_at_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    pipe(path)
    monkeypatch.setattr("edged.modelstore.regular.check", lambda _path: None)
    assert "is no file but a named pipe" in sentence(lambda: opened(path))


def test_a_socket_is_no_file(tmp_path: Path) -> None:
    what = socket_file(tmp_path / "file")
    assert what in sentence(lambda: opened(tmp_path / "file"))


def test_links_are_followed_as_ever(tmp_path: Path, package: Path) -> None:
    (package / "model.toml").rename(tmp_path / "manifest")
    (package / "model.toml").symlink_to(tmp_path / "manifest")
    (package / "labels.txt").rename(package / "words")
    (package / "labels.txt").symlink_to("words")
    assert load(package).name == "shapes-int8"
    assert load(install(package, tmp_path / "models")).labels == load(package).labels
    assert manifest.read(package).name == "shapes-int8"
