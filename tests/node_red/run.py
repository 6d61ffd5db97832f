"""The flow of `docs/node-red.md` in a real Node-RED, against a real mosquitto: `scripts/test-node-red` runs this.

What is published is made by `core/wire.py`, so that flow and daemon cannot drift apart; what the flow says is read
from Node-RED's log, where its debug nodes write.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edged.core import wire
from edged.core.types import Event, Message, State, WallTime
from tests.fakes import until
from tests.mosquitto import Mosquitto

PAGE = Path(__file__).parents[2] / "docs" / "node-red.md"
TOPICS = wire.Topics("edged", "porch")
NOW = WallTime(1_795_341_600.123, "synced")
START = Event(
    id="01JD9Z6S3V5K7M1N3P5Q7R9T0W",
    seq=1,
    log="01JD9YQ0A1B2C3D4E5F6G7H8J9",
    boot_id="3b9c4d0e-6c0b-4b52-9d8a-6d6f0a9b1c2d",
    event_type="start",
    rule="cat",
    label="cat",
    region="full",
    score=0.91,
    peak_score=0.91,
    time=NOW,
    start_time=NOW,
    duration_s=None,
    reason=None,
    t_s=10.0,
    start_t_s=10.0,
    frame_age_ms=41,
    model="tiny-int8@01234567",
)
START_S, SAID_S = 120.0, 30.0


def flow(host: str, port: int) -> list[dict[str, Any]]:
    """The flow of the page with the broker's address filled in, and nothing else changed."""
    found = re.search(r"^```json\n(\[.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None
    nodes: list[dict[str, Any]] = json.loads(found[1])
    for node in nodes:
        if node["type"] == "mqtt-broker":
            node |= {"broker": host, "port": str(port)}
    return nodes


class NodeRed:
    """A Node-RED without editor and without a listening socket."""

    def __init__(self, program: Path, folder: Path, nodes: list[dict[str, Any]]) -> None:
        (folder / "flows.json").write_text(json.dumps(nodes), encoding="utf-8")
        settings = {"httpAdminRoot": False, "httpNodeRoot": False, "flowFile": "flows.json", "credentialSecret": False}
        (folder / "settings.js").write_text(f"module.exports = {json.dumps(settings)};\n", encoding="utf-8")
        self._log = folder / "log"
        node = shutil.which("node")
        assert node is not None
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [node, str(program), "--userDir", str(folder), "--settings", str(folder / "settings.js")],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def text(self) -> str:
        """Its log so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def said(self, name: str) -> list[str]:
        """What the debug node of that name wrote."""
        return re.findall(rf"\[debug:{re.escape(name)}\] (.*)", self.text())

    def wait(self, name: str, expected: list[str]) -> None:
        """Waits until the debug node wrote exactly that."""
        try:
            until(lambda: len(self.said(name)) >= len(expected), SAID_S)
        except AssertionError:
            print(self.text(), file=sys.stderr)
            raise
        assert self.said(name) == expected, self.said(name)

    def stop(self) -> None:
        """Ends it."""
        self._process.terminate()
        self._process.wait(timeout=START_S)


def state(value: State) -> Message:
    """The state of the rule."""
    return wire.state(TOPICS, "cat", value, 0.91, NOW, 1, START.id)


def scenario(red: NodeRed, say: paho.Client) -> None:
    """Retained states before and after `online`, a start, its repeat, its end, a late event, and the will."""

    def publish(*messages: Message) -> None:
        for message in messages:
            say.publish(message.topic, message.payload, message.qos, message.retain).wait_for_publish(SAID_S)

    told = ["cat at porch is unknown"]
    until(lambda: "Connected to broker" in red.text(), START_S)
    red.wait("state", told)  # ON lies retained, and the device is offline
    publish(wire.availability(TOPICS, wire.ONLINE))
    told.append("cat at porch is ON")
    red.wait("state", told)
    publish(state("OFF"), state("OFF"))
    told.append("cat at porch is OFF")
    red.wait("state", told)

    end = replace(START, id=START.id[:-1] + "Z", seq=2, event_type="end", duration_s=7.5, reason="gone")
    second = replace(START, id=START.id[:-1] + "X", seq=3, score=0.87)
    live = [wire.event(TOPICS, event, late=False) for event in (START, START, end, second)]
    publish(*live, wire.event(TOPICS, START, late=True))
    told.append("cat at porch is unknown")
    publish(wire.availability(TOPICS, wire.OFFLINE))
    red.wait("state", told)  # so what went before has arrived, too
    red.wait("notification", [f"cat at porch, score {score}, {wire.iso(NOW.utc_s)}" for score in (0.91, 0.87)])
    assert "[error]" not in red.text(), red.text()


def main(arguments: Sequence[str]) -> int:
    """The path of Node-RED's red.js is the only argument."""
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = Mosquitto(program, folder)
        broker.start()
        say = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        red = None
        try:
            say.connect(broker.host, broker.port)
            say.loop_start()
            for message in (wire.availability(TOPICS, wire.OFFLINE), state("ON")):
                say.publish(message.topic, message.payload, 1, retain=True).wait_for_publish(SAID_S)
            red = NodeRed(Path(arguments[0]), folder, flow(broker.host, broker.port))
            scenario(red, say)
        finally:
            if red is not None:
                red.stop()
            say.disconnect()
            say.loop_stop()
            broker.stop()
    print("test-node-red: OK: the flow of docs/node-red.md says what it should")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
