"""What a running device says of itself and of the board, on this machine as it is."""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema
import pytest

from tests.daemon import Daemon, Listener, write_config
from tests.drawn import story_clip


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_memory_disk_and_a_secret_that_everybody_can_read_are_told(tmp_path, mosquitto, prefix, mode):
    clip = story_clip(tmp_path / "b.avi", [("background", 10)])
    config = write_config(tmp_path / "e.toml", f"file:{clip}", mosquitto.port, prefix, [{"label": "circle"}])
    secret = tmp_path / "mqtt-password"
    secret.write_text("hush\n", encoding="utf-8")
    secret.chmod(mode)
    with config.open("a", encoding="utf-8") as file:
        file.write(f'username = "edged"\npassword_file = "{secret}"\n')
    with Listener(mosquitto.host, mosquitto.port, prefix) as listener, Daemon(config, tmp_path / "state") as daemon:
        health = listener.wait("test/health")[-1]
        daemon.stop()
    jsonschema.validate(health, json.loads((files("edged") / "schema" / "health.json").read_text(encoding="utf-8")))
    assert 10.0 < health["anonymous_mb"] < health["rss_mb"]
    assert health["memory_limit_mb"] > health["anonymous_mb"]
    assert health["disk_free_mb"] > 0.0
    told = {one["code"]: one["text"] for one in health["problems"]}
    assert ("secret_exposed" in told) is (mode == 0o644)
    if mode == 0o644:
        assert "mqtt.password_file" in told["secret_exposed"]
        assert str(tmp_path) not in told["secret_exposed"]
