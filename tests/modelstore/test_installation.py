"""Models go into the store and out of it: whole or not at all, also when the process is killed at any step."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edged.core.errors import ModelError
from edged.modelstore import find, install, load, remembered, remove
from edged.modelstore.installation import MAX_VERSIONS, OBJECTS
from edged.modelstore.store import versions
from tests.conftest import EMULATED
from tests.model_folders import TFLITE, make

ROOT = Path(__file__).parent.parent.parent


def names(store):
    return sorted(path.name for path in store.iterdir() if path.name != OBJECTS)


def objects(store):
    return sorted(path.name for path in (store / OBJECTS).iterdir())


def test_an_installed_model_is_found_by_name_and_by_version(tmp_path):
    store = tmp_path / "models"
    old = install(make(tmp_path / "a", golden__a_png=b"picture"), store)
    new = install(make(tmp_path / "b", version="1.10.0"), store)
    install(make(tmp_path / "c", version="1.9.0"), store)
    assert old == store / "tiny@1.0.0"
    assert load(old).version == "1.0.0"
    assert find("tiny", [store]) == new
    assert find("tiny@1.0.0", [store]) == old
    assert list(versions("tiny", [store])) == ["1.10.0", "1.9.0", "1.0.0"]
    with pytest.raises(ModelError, match=r"no version '2' of model tiny \(versions here: 1.10.0, 1.9.0, 1.0.0\)"):
        find("tiny@2", [store])


def test_the_remembered_version_is_used_while_it_is_there(tmp_path):
    store = tmp_path / "models"
    for version in ("1.0.0", "1.1.0"):
        install(make(tmp_path / version, version=version), store)
    remembered.remember(store, "tiny", "1.0.0")
    assert find("tiny", [store]) == store / "tiny@1.0.0"
    remove(store / "tiny@1.0.0")
    assert find("tiny", [store]) == store / "tiny@1.1.0"
    (store / "active.json").write_text("{")
    assert find("tiny", [store]) == store / "tiny@1.1.0"


def test_the_choice_before_is_remembered_too(tmp_path):
    for version in ("1.0.0", "1.1.0", "1.1.0"):
        remembered.remember(tmp_path, "tiny", version)
    assert remembered.read(tmp_path) == {"tiny": remembered.Choice("1.1.0", "1.0.0")}


def test_a_version_of_the_store_goes_before_the_model_that_ships_and_a_folder_by_hand_before_both(tmp_path):
    store, shipped = tmp_path / "models", tmp_path / "shipped"
    make(shipped / "tiny", version="1.1.0")
    assert find("tiny", [store, shipped]) == shipped / "tiny"
    install(make(tmp_path / "a", version="1.2.0"), store)
    assert find("tiny", [store, shipped]) == store / "tiny@1.2.0"
    assert find("tiny@1.1.0", [store, shipped]) == shipped / "tiny"
    make(store / "tiny", version="0.1")
    assert find("tiny", [store, shipped]) == store / "tiny"


def test_a_newer_model_that_ships_is_newer_than_one_of_the_store(tmp_path):
    store, shipped = tmp_path / "models", tmp_path / "shipped"
    install(make(tmp_path / "a", version="1.2.0"), store)
    make(shipped / "tiny", version="1.3.0")
    assert find("tiny", [store, shipped]) == shipped / "tiny"


def test_only_what_the_manifest_names_is_installed_and_every_content_once(tmp_path):
    store = tmp_path / "models"
    first = make(tmp_path / "a", golden__a_png=b"picture")
    (first / "setup.py").write_text("no code in a model")
    one = install(first, store)
    two = install(make(tmp_path / "b", version="2", labels_txt=b"a\nb\nc\n"), store)
    assert not (one / "setup.py").exists()
    assert (one / "model.tflite").samefile(two / "model.tflite")
    assert len(objects(store)) == 4
    remove(two)
    assert len(objects(store)) == 3
    remove(one)
    assert objects(store) == names(store) == []


def test_an_installed_version_is_never_changed(tmp_path):
    store = tmp_path / "models"
    folder = install(make(tmp_path / "a"), store)
    inode = (folder / "model.tflite").stat().st_ino
    assert install(make(tmp_path / "a"), store) == folder
    assert (folder / "model.tflite").stat().st_ino == inode
    with pytest.raises(ModelError, match="this version is installed already"):
        install(make(tmp_path / "b", labels_txt=b"a\nb\nc\n"), store)
    assert load(folder).labels == ("nothing", "cat", "Tiger-Katze")
    assert names(store) == ["tiny@1.0.0"]


def test_a_damaged_version_is_mended_by_installing_it_again(tmp_path):
    store = tmp_path / "models"
    folder = install(make(tmp_path / "a"), store)
    (folder / "model.tflite").chmod(0o644)
    (folder / "model.tflite").write_bytes(TFLITE[:-1] + b"?")
    with pytest.raises(ModelError, match="its sha256 is"):
        load(folder)
    install(make(tmp_path / "a"), store)
    assert load(folder).version == "1.0.0"
    assert names(store) == ["tiny@1.0.0"]


@pytest.mark.parametrize(
    ("folder", "fragment"),
    [
        ({"named": {"x": "0" * 64}}, "x: there is no such file"),
        ({"named": {"golden": "0" * 64}, "golden__a_png": b""}, "'golden/a.png' is inside 'golden', which is a file"),
        ({"named": {"model.sig": "0" * 64}}, "files: model.sig is no file that the manifest can give the sha256 of"),
        ({"named": {"model.toml": "0" * 64}}, "files: model.toml is no file that the manifest can give"),
        ({"named": {"model.sig/a": "0" * 64}}, "'model.sig/a' is inside 'model.sig'"),
        ({"named": {"model.tflite": "0" * 64}}, "its sha256 is"),
        ({"model_tflite": b"<html>"}, "is a web page"),
        ({"labels_txt": b"a\na\n"}, "already on line 1"),
        ({"change": lambda text: text.replace("schema = 1", "schema = 2")}, "schema: "),
    ],
)
def test_what_is_no_sound_model_leaves_nothing(tmp_path, folder, fragment):
    with pytest.raises(ModelError, match=fragment) as caught:
        install(make(tmp_path / "a", **folder), tmp_path / "models")
    assert "\n" not in str(caught.value)
    assert names(tmp_path / "models") == objects(tmp_path / "models") == []


def test_old_versions_go_but_never_what_is_in_use_or_was_before(tmp_path):
    store = tmp_path / "models"
    numbers = [str(number) for number in range(MAX_VERSIONS + 4)]
    for number in numbers:
        install(make(tmp_path / number, version=number), store)
        if number in "02":
            remembered.remember(store, "tiny", number)
    kept = sorted(versions("tiny", [store]), key=int)
    assert kept == ["0", "2", *numbers[-MAX_VERSIONS + 2 :]]


def test_a_file_system_without_links_has_copies(tmp_path, monkeypatch):
    def refuse(*_words, **_options):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    folder = install(make(tmp_path / "a"), tmp_path / "models")
    assert load(folder).version == "1.0.0"
    assert objects(tmp_path / "models") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_installs_belongs_to_the_owner_of_the_state_folder(tmp_path):
    os.chown(tmp_path, 12345, 12345)
    store = tmp_path / "models"
    install(make(tmp_path / "a", golden__a_png=b"picture"), store)
    remembered.remember(store, "tiny", "1.0.0")
    assert {path.stat().st_uid for path in (store, *store.rglob("*"))} == {12345}


KILLING = """
import os, signal, sys
from pathlib import Path
from edged.modelstore import install, load, remembered, remove
from edged.modelstore.installation import changing
from edged.modelstore.store import find, versions

work, kind = Path(sys.argv[1]), sys.argv[2]
CHANGES = {"open", "os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "os.chown", "os.chmod", "os.truncate"}

def change(store):
    if kind == "install":
        install(work / "new", store)
    elif kind == "use":
        with changing(store):
            remembered.remember(store, "tiny", "2.0.0")
    else:
        remove(store / "tiny@2.0.0")

def begin(store):
    install(work / "old", store)
    remembered.remember(store, "tiny", "1.0.0")
    if kind != "install":
        install(work / "new", store)

def step(store, last):
    # Killed in front of the n-th thing that changes or opens a file: every state between two steps is met.
    count = 0
    def watch(event, _arguments):
        nonlocal count
        if event in CHANGES:
            count += 1
            if count > last:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(watch)
    change(store)
    os._exit(0)

step_number = 0
while True:
    store = work / f"{kind}-{step_number}"
    begin(store)
    child = os.fork()
    if child == 0:
        step(store, step_number)
    _, status = os.waitpid(child, 0)
    before = sorted(versions("tiny", [store]))
    assert load(find("tiny", [store])).version in ("1.0.0", "2.0.0")
    for folder in versions("tiny", [store]).values():
        load(folder)
    install(work / "other", store)
    left = [path.name for path in store.iterdir() if path.name.startswith(".")]
    orphans = [path.name for path in (store / ".objects").iterdir() if path.stat().st_nlink == 1]
    assert left == [".objects"] and not orphans, (left, orphans)
    print(step_number, before, flush=True)
    step_number += 1
    if os.waitstatus_to_exitcode(status) == 0:
        break
"""


@pytest.mark.skipif(EMULATED, reason="forks under an emulator are slow, and the code is the same")
@pytest.mark.parametrize("kind", ["install", "use", "remove"])
def test_killed_at_any_step_the_old_or_the_new_is_there_and_no_litter_stays(tmp_path, kind):
    small = b"\x1c\x00\x00\x00TFL3" + bytes(200)
    for name, version in (("old", "1.0.0"), ("new", "2.0.0"), ("other", "0.1.0")):
        make(tmp_path / name, version=version, model_tflite=small + version.encode())
    said = subprocess.run(
        [sys.executable, "-c", KILLING, str(tmp_path), kind], cwd=ROOT, capture_output=True, text=True, timeout=250
    )
    assert said.returncode == 0, said.stderr
    seen = [line.partition(" ")[2] for line in said.stdout.splitlines()]
    assert len(seen) > 3
    both, alone = "['1.0.0', '2.0.0']", "['1.0.0']"
    assert (seen[0], seen[-1]) == {"install": (alone, both), "use": (both, both), "remove": (both, alone)}[kind]
