"""`edged model` as a user runs it."""

from __future__ import annotations

import json
import shutil

import pytest

from edged.modelstore import bundled
from tests import versions
from tests.daemon import edged, write_config
from tests.scenes import flat, write_picture

SHAPES = bundled() / "shapes-int8"


@pytest.mark.parametrize(
    "words",
    [
        ["model"],
        ["model", "fly"],
        ["model", "use"],
        ["model", "sign"],
        ["model", "sign", "--key", "x"],
        ["model", "sign", "--new-key", "x", "--downgrade-from", "1", "y"],
    ],
)
def test_wrong_usage_is_exit_code_2(tmp_path, words):
    done = edged(*words, state=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: edged model" in done.stderr


def test_a_model_is_signed_installed_chosen_listed_and_removed(tmp_path):
    shutil.copytree(SHAPES, tmp_path / "shapes")
    state = tmp_path / "state"
    done = edged("model", "sign", "--new-key", tmp_path / "fleet.pem", tmp_path / "shapes", state=state)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "signed shapes-int8 1.0.0"
    assert done.stdout.splitlines()[1].startswith('trusted_keys = ["fleet:')
    key = done.stdout.partition("fleet:")[2][:44]
    for words, said in (
        (("add", tmp_path / "shapes"), "installed shapes-int8@1.0.0"),
        (("use", "shapes-int8@1.0.0"), "model shapes-int8 is version 1.0.0"),
        (("verify", "shapes-int8"), f"shapes-int8 1.0.0: sound, signed by unknown key {key}"),
    ):
        done = edged("model", *words, state=state)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(said)
    done = edged("model", "list", "--json", state=state)
    shapes = next(one for one in json.loads(done.stdout) if one["name"] == "shapes-int8")
    assert shapes["active"]
    assert shapes["signed_by"] == f"unknown key {key}"
    assert edged("model", "list", state=state).stdout.count("\n*  ") == 2
    assert edged("model", "remove", "shapes-int8", state=state).stdout == "removed shapes-int8@1.0.0\n"


@pytest.mark.parametrize(("model", "follows"), [("shapes-int8", True), ("shapes-int8@1.0.0", False)])
def test_use_promises_that_a_daemon_follows_only_where_it_does(tmp_path, model, follows):
    write_picture(tmp_path / "a.png", flat(90))
    config = write_config(tmp_path / "e.toml", f"file:{tmp_path / 'a.png'}", 1883, "p", [{"label": "circle"}])
    config.write_text(config.read_text().replace('name = "shapes-int8"', f'name = "{model}"'))
    state = tmp_path / "state"
    versions.put(state, tmp_path / "made", "2.0.0")
    done = edged("model", "use", "--config", config, "shapes-int8@2.0.0", state=state)
    assert done.stdout.startswith("model shapes-int8 is version 2.0.0 from now on"), done.stderr
    assert ("a running edged tries it" in done.stdout) == follows


@pytest.mark.parametrize("path", ["./shapes", "/tmp/a/model.tflite", "model.tflite"])
def test_use_takes_no_path(tmp_path, path):
    done = edged("model", "use", path, state=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"expected NAME or NAME@VERSION, found the path {path!r}" in done.stderr


def test_what_cannot_be_used_is_one_sentence_and_78(tmp_path):
    (tmp_path / "bare").mkdir()
    for words in (("add", tmp_path / "bare"), ("use", "none"), ("remove", "shapes-int8"), ("verify", "none")):
        done = edged("model", *words, state=tmp_path / "state")
        assert (done.returncode, done.stdout) == (78, "")
        assert len(done.stderr.splitlines()) == 1
