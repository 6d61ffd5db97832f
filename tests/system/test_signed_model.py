"""`edged run` under `policy = "require"`: a signed model runs and is noted, what is wrong with it ends with 78."""

from __future__ import annotations

import json
import shutil

import pytest

from edged.modelstore import bundled, remembered, signature
from tests.conftest import EMULATED
from tests.daemon import Daemon, edged, write_config
from tests.drawn import story_clip

pytestmark = pytest.mark.skipif(EMULATED, reason="nothing in it depends on the processor")


def package(folder, key, version):
    """The tiny model under a name of its own, signed."""
    shutil.copytree(bundled() / "shapes-int8", folder)
    path = folder / "model.toml"
    text = path.read_text().replace('"shapes-int8"', '"mine"', 1).replace('version = "1.0.0"', f'version = "{version}"')
    path.write_text(text)
    signature.sign_folder(folder, key)
    return folder


def test_a_signed_model_runs_and_no_older_one_after_it(tmp_path, mosquitto, prefix):
    key = tmp_path / "fleet.pem"
    public = signature.new_key(key)
    clip = story_clip(tmp_path / "a.avi", [("background", 5), ("circle", 15)])
    rules = [{"label": "circle"}]
    config = write_config(tmp_path / "e.toml", f"file:{clip}", mosquitto.port, prefix, rules, pace="max", at_end="stop")
    required = f'name = "mine"\ntrusted_keys = ["fleet:{public}"]\npolicy = "require"'
    config.write_text(config.read_text().replace('name = "shapes-int8"', required))
    state = tmp_path / "state"

    def run():
        with Daemon(config, state) as daemon:
            return daemon.wait(), daemon.errors.read_text()

    def model(*words):
        done = edged("model", words[0], "--config", config, *words[1:], state=state)
        assert done.returncode == 0, done.stderr

    model("add", package(tmp_path / "2", key, "2.0.0"))
    assert run()[0] == 0
    assert json.loads((state / "models" / "trust.json").read_text()) == {public: {"mine": "2.0.0"}}

    # An older one, as well signed as the other, is not taken. What is on probation does not count yet.
    model("add", package(tmp_path / "1", key, "2.1.0"))
    assert run()[0] == 0
    model("add", package(tmp_path / "0", key, "1.0.0"))
    done = edged("model", "use", "--config", config, "mine@1.0.0", state=state)
    assert done.returncode == 78
    assert "is older than 2.0.0, which was accepted" in done.stderr

    # What lost its signature does not run: the one before does, as long as that is good.
    (state / "models" / "mine@2.1.0" / "model.sig").unlink()
    model("use", "mine@2.0.0")
    remembered.remember(state / "models", "mine", "2.1.0")
    code, said = run()
    assert code == 0
    assert "mine 2.1.0 is not used, 2.0.0 is: model mine 2.1.0 is not signed" in said
    (state / "models" / "mine@2.0.0" / "model.sig").unlink()
    code, said = run()
    assert code == 78
    assert "mine 2.0.0 is not signed" in said
    assert "Traceback" not in said
