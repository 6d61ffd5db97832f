"""What lies retained at a broker when the configuration changes, and what Home Assistant is told at its birth."""

from __future__ import annotations

import json
import socket

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

    def run(rules, below, listener, then=lambda: None, *, name="test", file="e.toml", port=mosquitto.port) -> None:
        config = write_config(tmp_path / file, f"file:{clip}", port, f"{prefix}/{below}", rules)
        more = f'discovery_prefix = "{prefix}/ha"\nbirth_topic = "{prefix}/birth"\n'
        config.write_text(config.read_text().replace('name = "test"', f'name = "{name}"') + more)
        with Daemon(config, tmp_path / "state") as daemon:
            if listener is not None:
                seen = len(listener.payloads(f"{below}/{name}/health"))
                listener.wait(f"{below}/{name}/health", seen + 1, START_S)
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


OWN = ("availability", "pipeline", "info", "enabled", "state/circle", "threshold/circle")


def test_another_prefix_clears_what_lay_under_the_old_one(run, mosquitto, prefix):
    def cleared() -> None:
        until(lambda: all(listener.payloads(f"a/test/{name}")[-1] == "" for name in OWN), 60)

    with Listener(mosquitto.host, mosquitto.port, prefix) as listener:
        run([CIRCLE], "a", listener)
        run([CIRCLE], "b", listener, cleared)
        assert listener.payloads(DISCOVERY)[-1]["avty"] == [{"t": f"{prefix}/b/test/availability"}]


def record(tmp_path) -> dict:
    """What is remembered of what was announced, of the only configuration file."""
    (path,) = (tmp_path / "state").glob("announced-*.json")
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_start_without_a_broker_forgets_nothing_of_what_is_to_be_cleared(run, mosquitto, prefix, tmp_path):
    with Listener(mosquitto.host, mosquitto.port, prefix) as listener:
        run([CIRCLE, STAR], "a", listener)
        stderr = tmp_path / "state" / "stderr.txt"
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            run([CIRCLE], "a", None, lambda: until(lambda: b"refused" in stderr.read_bytes(), START_S),
                port=nobody.getsockname()[1])  # fmt: skip
        assert record(tmp_path)["stale"] == {f"{prefix}/a/test": [
            f"{prefix}/a/test/state/star", f"{prefix}/a/test/threshold/star"
        ]}  # fmt: skip
        run([CIRCLE], "a", listener, lambda: until(lambda: record(tmp_path)["stale"] == {}))
        assert listener.payloads("a/test/state/star")[-1] == ""
        assert listener.payloads("a/test/threshold/star")[-1] == ""


def test_another_name_clears_what_lay_under_the_old_one_after_its_will(run, mosquitto, prefix):
    everything = [*(f"a/first/{name}" for name in OWN), "ha/device/edged_first/config"]
    with Listener(mosquitto.host, mosquitto.port, prefix) as listener:

        def cleared() -> None:
            until(lambda: all(listener.payloads(topic)[-1] == "" for topic in everything), 60)

        run([CIRCLE], "a", listener, name="first")
        run([CIRCLE], "a", listener, cleared, name="second")
        assert listener.payloads("a/first/availability")[-2:] == ["offline", ""]


def test_a_renamed_device_leaves_its_old_name_to_whoever_has_it_now(run, mosquitto, prefix, tmp_path):
    """Another daemon took the name before this one first connected with its own."""
    with Listener(mosquitto.host, mosquitto.port, prefix) as listener:
        run([CIRCLE], "a", listener, name="first")

        def both() -> None:
            run([CIRCLE], "a", listener, birth, name="second")
            # Long enough that nothing more is to come: the daemon has seen that the old name is in use.
            assert record_of("second")["stale"].keys() == {f"{prefix}/a/first"}

        def birth() -> None:
            seen = len(listener.payloads("a/second/info"))
            assert seen
            listener.wait("a/first/state/circle", len(listener.payloads("a/first/state/circle")) + 4)

        def record_of(name):
            found = [json.loads(path.read_text()) for path in (tmp_path / "state").glob("announced-*.json")]
            return next(one for one in found if one["root"] == f"{prefix}/a/{name}")

        run([CIRCLE], "a", listener, both, name="first", file="other.toml")
        for name in OWN:
            assert "" not in listener.payloads(f"a/first/{name}")
        assert "" not in listener.payloads("ha/device/edged_first/config")


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
