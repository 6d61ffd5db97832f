"""What a running daemon does when it is told to over MQTT, and what it does not.

The flood is a seeded tenth of what `python -m benchmarks.reliability flood` runs whole.
"""

from __future__ import annotations

import json
import os
import socket
import time

import paho.mqtt.publish
import pytest

from benchmarks import reliability
from tests.conftest import EMULATED
from tests.daemon import START_S, Daemon, Listener, write_config
from tests.drawn import story_clip
from tests.fakes import until

FULL = bool(os.environ.get("EDGED_FULL"))
RULES = [{"label": "circle", "delay_on_s": 0.0, "delay_off_s": 0.0}]

pytestmark = [
    pytest.mark.skipif(EMULATED, reason="a dozen process starts, each of which takes seconds under emulation"),
    pytest.mark.timeout(600),
]


@pytest.fixture
def config(tmp_path, mosquitto, prefix):
    clip = story_clip(tmp_path / "visits.avi", [("circle", 5), ("background", 5)])
    return write_config(tmp_path / "e.toml", f"file:{clip}", mosquitto.port, prefix, RULES)


@pytest.fixture
def send(mosquitto, prefix):
    def send(level: str, payload: str = "", retain: bool = False) -> None:
        topic = f"{prefix}/test/{level}"
        paho.mqtt.publish.single(topic, payload, 1, retain, hostname=mosquitto.host, port=mosquitto.port)

    return send


def answer(listener: Listener, command: str, count: int = 1):
    return listener.wait(f"test/response/{command}", count)[-1]


def test_generated_commands_do_no_harm(tmp_path, mosquitto):
    found = reliability.flood(10_000 if FULL else 1000, 1, FULL, mosquitto.port, tmp_path)
    print(f"{found.sent} of 10000 commands, {found.answers} answers, RSS grown {found.rss_growth_kib} KiB")
    assert found.errors_in_journal == 0
    assert found.answered_within == 10, "every request within the limit is answered"
    # Of those beyond it the first is told; of settings one a second and place.
    assert found.answers <= 11 + 3 * found.seconds + 11 * (found.seconds // 60)
    assert found.rss_growth_kib <= 1024
    assert found.ping_after is not False


def test_ping_pause_and_resume(config, tmp_path, mosquitto, prefix, send):
    with Listener(mosquitto.host, mosquitto.port, prefix) as listener, Daemon(config, tmp_path / "state") as daemon:
        listener.wait_state("test/pipeline", "running")
        send("request/ping", '{"transaction": "t1"}')
        assert answer(listener, "ping") == {"status": "ok", "data": None, "error": None, "transaction": "t1"}
        send("request/pause", '{"seconds": 600}')
        assert answer(listener, "pause")["status"] == "ok"
        assert listener.wait_state("test/pipeline", "paused")["reason"] == "requested"
        listener.wait_state("test/state/circle", "unknown")
        # What the pause itself ended is on its way; an answer comes after it.
        send("request/ping")
        answer(listener, "ping", 2)
        seen = len(listener.payloads("test/event/circle"))
        send("request/ping")
        answer(listener, "ping", 3)
        assert len(listener.payloads("test/event/circle")) == seen, "nobody looks"
        send("request/resume")
        listener.wait_state("test/pipeline", "running")
        listener.wait("test/event/circle", seen + 1)
        send("request/pause", '{"seconds": 1}')
        listener.wait_state("test/pipeline", "paused")
        listener.wait_state("test/pipeline", "running")
        assert daemon.stop() == 0


def test_detection_switched_off_stays_off_until_it_is_switched_on(config, tmp_path, mosquitto, prefix, send):
    state = tmp_path / "state"
    with Listener(mosquitto.host, mosquitto.port, prefix) as listener, Daemon(config, state) as daemon:
        listener.wait_state("test/pipeline", "running")
        send("enabled/set", "OFF")
        assert listener.wait_state("test/pipeline", "paused")["reason"] == "disabled"
        until(lambda: listener.payloads("test/enabled")[-1] == "OFF")
        send("enabled/set", "off")
        assert answer(listener, "enabled")["status"] == "error"
        daemon.stop()
    with Listener(mosquitto.host, mosquitto.port, prefix) as listener, Daemon(config, state) as daemon:
        until(lambda: "online" in listener.payloads("test/availability"), START_S)
        assert listener.wait_state("test/pipeline", "paused")["reason"] == "disabled"
        send("request/resume")
        assert answer(listener, "resume")["status"] == "ok"
        assert listener.wait_state("test/pipeline", "paused")["reason"] == "disabled", "only ON ends it"
        send("enabled/set", "ON")
        listener.wait_state("test/pipeline", "running")
        assert daemon.stop() == 0


def test_a_threshold_holds_until_the_file_changes(config, tmp_path, mosquitto, prefix, send):
    state, path = tmp_path / "state", tmp_path / "state" / "test" / "settings.json"
    with Listener(mosquitto.host, mosquitto.port, prefix) as listener, Daemon(config, state) as daemon:
        listener.wait("test/health")
        before = listener.payloads("test/threshold/circle")[-1]
        send("threshold/circle/set", "0.75")
        until(lambda: listener.payloads("test/threshold/circle")[-1] != before)
        info = listener.wait("test/info", 2)[-1]
        until(lambda: path.exists())
        assert json.loads(path.read_text())["threshold"]["circle"]["value"] == 0.75
        send("threshold/circle/set", "7")
        assert "0.01 to 1" in answer(listener, "threshold")["error"]
        daemon.stop()
    assert "runtime" in json.dumps(info)
    for score, expected in (("", 0.75), ("score_threshold = 0.5\n", 0.5)):
        config.write_text(config.read_text().replace("[mqtt]", f"{score}[mqtt]"))
        with Listener(mosquitto.host, mosquitto.port, prefix) as listener, Daemon(config, state) as daemon:
            until(lambda heard=listener: "online" in heard.payloads("test/availability")[-1:], START_S)
            listener.wait("test/health")
            assert float(listener.payloads("test/threshold/circle")[-1]) == expected
            daemon.stop()


def test_a_restart_comes_back_by_itself_and_is_not_repeated(config, tmp_path, mosquitto, prefix, send):
    with Listener(mosquitto.host, mosquitto.port, prefix) as listener, Daemon(config, tmp_path / "state") as daemon:
        listener.wait("test/health")
        send("request/restart", '{"transaction": 7}')
        assert answer(listener, "restart")["transaction"] == 7
        listener.wait("test/health", 2, 60)
        assert listener.payloads("test/info")[-1]["last_exit"] == {"code": 0, "reason": "stopped"}
        send("request/ping")
        answer(listener, "ping")
        assert len(listener.payloads("test/response/restart")) == 1
        assert "offline" not in listener.payloads("test/availability")[1:]
        assert daemon.stop() == 0


def test_for_systemd_a_restart_is_no_stop(config, tmp_path, mosquitto, prefix, send, monkeypatch):
    """After STOPPING=1 it would kill the process that goes on under the same number."""
    address = f"@edged-{prefix}"
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", "3600000000")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + address[1:])
        systemd.settimeout(START_S)
        with Listener(mosquitto.host, mosquitto.port, prefix) as listener, Daemon(config, tmp_path / "state") as daemon:
            heard = (line for line in iter(lambda: systemd.recv(200), b"") if not line.startswith(b"STATUS="))
            assert [next(heard) for _ in range(2)] == [b"READY=1", b"WATCHDOG=1"]
            listener.wait("test/health")
            send("request/restart")
            assert [next(heard) for _ in range(3)] == [b"WATCHDOG=1", b"READY=1", b"WATCHDOG=1"]
            assert daemon.stop() == 0
            assert next(heard) == b"STOPPING=1"


def test_a_retained_request_is_ignored(config, tmp_path, mosquitto, prefix, send):
    send("request/restart", "{}", retain=True)
    send("enabled/set", "OFF", retain=True)
    with Listener(mosquitto.host, mosquitto.port, prefix) as listener, Daemon(config, tmp_path / "state") as daemon:
        listener.wait_state("test/pipeline", "running")
        send("request/ping")
        answer(listener, "ping")
        assert not listener.payloads("test/response/restart")
        assert "paused" not in [one["state"] for one in listener.payloads("test/pipeline")]
        assert daemon.stop() == 0


def test_without_commands_nothing_is_obeyed(config, tmp_path, mosquitto, prefix, send):
    config.write_text(config.read_text() + "commands = false\n")
    with Listener(mosquitto.host, mosquitto.port, prefix) as listener, Daemon(config, tmp_path / "state") as daemon:
        listener.wait_state("test/pipeline", "running")
        send("request/ping")
        send("enabled/set", "OFF")
        seen, since_s = len(listener.payloads("test/event/circle")), time.monotonic()
        listener.wait("test/event/circle", seen + 2)
        until(lambda: time.monotonic() - since_s > 1.5)
        assert not [topic for topic, _, _ in listener.messages if topic.startswith("test/response")]
        assert "paused" not in [one["state"] for one in listener.payloads("test/pipeline")]
        assert daemon.stop() == 0
