"""What was never loaded here is tried in a process of its own, once; what was, and what came with edged, is not."""

from __future__ import annotations

import json
import shutil
import threading

import pytest

from edged import app
from edged.core.errors import ConfigError, ModelError
from edged.edges.tflite import RUNTIME
from edged.keeping import Keeper
from edged.modelstore import bundled, load
from edged.proving import prove, prove_once, proven_ms
from tests import hostile
from tests.daemon import write_config
from tests.drawn import story_clip
from tests.tflite_files import Classifier

RULE = {"label": "circle", "score_threshold": 0.6, "delay_on_s": 0.0, "delay_off_s": 0.0, "refractory_s": 0.0}


@pytest.fixture
def root(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(bundled() / "shapes-int8", tmp_path / "model")


@pytest.fixture
def bad(folder):
    """A folder with right hashes and a model that cannot be loaded."""
    (folder / "model.tflite").write_bytes((folder / "model.tflite").read_bytes()[:5000])
    hostile.rehash(folder)
    return folder


def kept(root):
    return json.loads((root / "proven.json").read_text())


def test_a_proof_tells_what_was_found(root, folder):
    found = prove(load(folder), root)
    assert (found.spec.labels, found.pictures) == (load(folder).labels, 6)
    assert found.invoke_ms > 0
    assert proven_ms(root) == {load(folder).sha256: round(found.invoke_ms, 3)}


@pytest.mark.parametrize("ms", [None, "fast", -1, float("nan"), float("inf"), True, [1]])
def test_a_time_that_makes_no_sense_is_none(root, folder, ms):
    sha256 = load(folder).sha256
    prove(load(folder), root)
    (root / "proven.json").write_text(json.dumps({sha256: {**kept(root)[sha256], "invoke_ms": ms}, "x": 3}))
    assert proven_ms(root) == {}
    (root / "proven.json").write_text(json.dumps({sha256: {"on": "another board", "invoke_ms": 2}}))
    assert proven_ms(root) == {}


def test_it_can_be_called_from_any_thread(root, folder):
    found = []
    thread = threading.Thread(target=lambda: found.append(prove(load(folder), root)))
    thread.start()
    thread.join()
    assert found[0].pictures == 6


def test_what_was_proven_here_is_not_tried_again(root, bad):
    with pytest.raises(ModelError, match="cannot load it"):
        prove_once(load(bad), root)
    assert not root.exists()
    good = load(bundled() / "shapes-int8")
    (root).mkdir()
    prove(good, root)
    here = kept(root)[good.sha256]
    assert here["on"].startswith(RUNTIME)
    # It would be refused, were it looked at.
    (root / "proven.json").write_text(json.dumps({load(bad).sha256: here}))
    prove_once(load(bad), root)
    # Another runtime, or another board.
    (root / "proven.json").write_text(json.dumps({load(bad).sha256: {**here, "on": "another runtime"}}))
    with pytest.raises(ModelError, match="cannot load it"):
        prove_once(load(bad), root)
    (root / "proven.json").write_text("[1")
    with pytest.raises(ModelError, match="cannot load it"):
        prove_once(load(bad), root)


def test_what_is_remembered_is_bounded_and_of_this_board(root, folder):
    package = load(folder)
    prove(package, root)
    here = kept(root)[package.sha256]
    others = {f"{number:064}": here for number in range(150)}
    (root / "proven.json").write_text(json.dumps({"f" * 64: {"on": "another runtime"}, **others}))
    prove(package, root)
    now = kept(root)
    assert list(now) == [*list(others)[-99:], package.sha256]


def test_what_came_with_edged_costs_no_trial(root):
    app.open_model("shapes-int8", 1, root)
    assert not (root / "proven.json").exists()


def test_a_path_is_tried_before_it_is_loaded(root, folder):
    app.open_model(str(folder / "model.tflite"), 1, root)
    assert list(kept(root)) == [load(folder).sha256]


def test_add_leaves_nothing_to_be_tried_at_the_start(root, folder):
    text = (folder / "model.toml").read_text().replace('version = "1.0.0"', 'version = "2.0.0"')
    (folder / "model.toml").write_text(text)
    installed = Keeper(None, root).add(folder)
    assert list(kept(root)) == [load(installed).sha256]


def test_check_and_run_refuse_it_as_any_problem_of_the_configuration(tmp_path, root, bad):
    clip = story_clip(tmp_path / "clip.avi", [("circle", 2)])
    config = write_config(tmp_path / "e.toml", f"file:{clip}", 1883, "none", [RULE])
    config.write_text(config.read_text().replace('"shapes-int8"', json.dumps(str(bad))))
    with pytest.raises(ConfigError) as caught:
        app.load(config, print, root)
    (line,) = caught.value.problems
    assert "model.name: " in line
    assert "the runtime cannot load it" in line


MANIFEST = """
schema = 1
name = "colours"
version = "1.0.0"
task = "classify"
licence = "none"
source = "made by a test"
[files]
"model.tflite" = "{sha256:0>64}"
"labels.txt" = "{sha256:0>64}"
[input]
color = "rgb"
fit = "stretch"
mean = [0.0]
std = [255.0]
[output]
activation = "none"
"""


@pytest.mark.parametrize("factor", [0.0, 1.0])
def test_a_model_that_sees_no_difference_is_refused(root, tmp_path, factor):
    folder = tmp_path / "colours"
    folder.mkdir()
    (folder / "model.tflite").write_bytes(Classifier("float32", None, scaled=factor).content())
    (folder / "labels.txt").write_text("red\ngreen\nblue\nnone\n")
    (folder / "model.toml").write_text(MANIFEST.format(sha256="0"))
    hostile.rehash(folder)
    if factor:
        assert prove(load(folder), root).pictures == 0
        return
    with pytest.raises(ModelError, match="gives the same scores for every picture"):
        prove(load(folder), root)
    assert not (root / "proven.json").exists()
