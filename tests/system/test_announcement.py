"""What lies retained at a broker when the configuration changes, and what Home Assistant is told at its birth."""

from __future__ import annotations

import json

import paho.mqtt.publish
import pytest

from tests.conftest import EMULATED
from tests.daemon import START_S, Daemon, Listener, write_config
from tests.drawn import story_clip
from tests.fakes import until

CIRCLE = {"label": "circle", "delay_on_s": 0.0, "delay_off_s": 0.0}
STAR = {"label": "star"}

pytestmark = pytest.mark.skipif(EMULATED, reason="process starts take seconds under emulation")


@pytest.fixture
def run(tmp_path, mosquitto, prefix):
    """Starts the daemon with these rules below a topic prefix, runs `then`, and ends it."""
    clip = story_clip(tmp_path / "visits.avi", [("circle", 5), ("background", 5)])

    def run(rules, below, listener, then=lambda: None) -> None:
        config = write_config(tmp_path / "e.toml", f"file:{clip}", mosquitto.port, f"{prefix}/{below}", rules)
        more = f'discovery_prefix = "{prefix}/ha"\nbirth_topic = "{prefix}/birth"\n'
        config.write_text(config.read_text() + more)
        with Daemon(config, tmp_path / "state") as daemon:
            seen = len(listener.payloads(f"{below}/test/health"))
            listener.wait(f"{below}/test/health", seen + 1, START_S)
            then()
            assert daemon.stop() == 0, daemon.errors.read_text()

    return run


DISCOVERY = "ha/device/edged_test/config"


def test_a_removed_rule_is_cleared_and_has_a_tombstone(run, mosquitto, prefix):
    with Listener(mosquitto.host, mosquitto.port, prefix) as listener:
        run([CIRCLE, STAR], "a", listener)
        first = listener.payloads(DISCOVERY)[-1]
        run([CIRCLE], "a", listener)
        second = listener.payloads(DISCOVERY)[-1]
        until(lambda: listener.payloads("a/test/state/star")[-1] == "")
        assert listener.payloads("a/test/threshold/star")[-1] == ""
    assert set(first["cmps"]) == set(second["cmps"]), "every component is still named"
    assert second["cmps"]["occupancy_star"] == {"p": "binary_sensor"}
    assert second["cmps"]["occupancy_circle"] == first["cmps"]["occupancy_circle"]
    with Listener(mosquitto.host, mosquitto.port, prefix) as later:
        retained = {topic for topic, _, is_retained in later.messages if is_retained}
        assert "a/test/state/star" not in retained


def test_another_prefix_clears_what_lay_under_the_old_one(run, mosquitto, prefix):
    with Listener(mosquitto.host, mosquitto.port, prefix) as listener:
        run([CIRCLE], "a", listener)
        run([CIRCLE], "b", listener)
        for name in ("availability", "pipeline", "info", "enabled", "state/circle", "threshold/circle"):
            until(lambda name=name: listener.payloads(f"a/test/{name}")[-1] == "")
        assert listener.payloads(DISCOVERY)[-1]["avty"] == [{"t": f"{prefix}/b/test/availability"}]


def test_discovery_comes_again_after_a_birth(run, mosquitto, prefix):
    with Listener(mosquitto.host, mosquitto.port, prefix) as listener:

        def birth() -> None:
            before = len(listener.payloads(DISCOVERY))
            topic = f"{prefix}/birth"
            paho.mqtt.publish.single(topic, "online", 1, hostname=mosquitto.host, port=mosquitto.port)
            listener.wait(DISCOVERY, before + 1, 30)

        run([CIRCLE], "a", listener, birth)
        said = [text for topic, text, _ in listener.messages if topic == DISCOVERY]
    assert len(said) >= 2
    assert len(set(said)) == 1, "the same bytes for the same configuration"
    assert json.loads(said[0])["dev"]["ids"] == ["edged_test"]
