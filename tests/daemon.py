"""`edged` as a process, and a subscriber beside it: what a user would see of a running device."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.fakes import until

START_S = 120.0
"""Generous: under emulation the imports alone take seconds."""


def command(*words: str | Path) -> list[str]:
    """An `edged` command line of the Python that runs the tests."""
    return [sys.executable, "-m", "edged", *map(str, words)]


def environment(state: Path) -> dict[str, str]:
    """The test's own environment with a state folder of its own."""
    return {**os.environ, "STATE_DIRECTORY": str(state)}


def edged(*words: str | Path, state: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        command(*words), env=environment(state), capture_output=True, text=True, timeout=START_S, check=False
    )


class Daemon:
    """A running `edged run`."""

    def __init__(self, config: Path, state: Path, *words: str) -> None:
        self.errors = state / "stderr.txt"
        state.mkdir(exist_ok=True)
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                command("run", "--config", config, *words),
                env=environment(state),
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and waits for the end: the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Waits for the end: the exit code."""
        self.output, _ = self.process.communicate(timeout=START_S)
        return self.process.returncode

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


class Listener:
    """Every message below a prefix, in the order of arrival."""

    def __init__(self, host: str, port: int, prefix: str) -> None:
        self.messages: list[tuple[str, str, bool]] = []
        self._prefix = prefix
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{prefix}/#", 1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _data, message: self.messages.append(
            (message.topic.removeprefix(f"{prefix}/"), bytes(message.payload).decode(), message.retain)
        )
        self._client.connect(host, port)
        self._client.loop_start()
        assert self._subscribed.wait(30)

    def payloads(self, topic: str) -> list[Any]:
        """What arrived on one topic (below the prefix), parsed where it is JSON."""
        found = [text for name, text, _ in list(self.messages) if name == topic]
        return [json.loads(text) if text.startswith("{") else text for text in found]

    def wait(self, topic: str, count: int = 1, timeout_s: float = START_S) -> list[Any]:
        """Waits until so many messages arrived on a topic."""
        until(lambda: len(self.payloads(topic)) >= count, timeout_s)
        return self.payloads(topic)

    def wait_state(self, topic: str, state: str, timeout_s: float = START_S) -> dict[str, Any]:
        """Waits until the last message on a topic has a state."""

        def arrived() -> bool:
            payloads = self.payloads(topic)
            return bool(payloads) and payloads[-1]["state"] == state

        until(arrived, timeout_s)
        return dict(self.payloads(topic)[-1])

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def write_config(
    path: Path, source: str, port: int, prefix: str, rules: Sequence[dict[str, Any]], **camera: Any
) -> Path:
    """A configuration with the tiny model; keys of [camera] by name.

    Shapes appear and vanish here faster than anything that walks: the gate looks at every frame, and lets it pass.
    """
    lines = ["[device]", 'name = "test"', "[camera]", f'source = "{source}"']
    lines += [f"{key} = {json.dumps(value)}" for key, value in camera.items()]
    lines += ["[model]", 'name = "shapes-int8"', "threads = 1", "[motion]", "idle_fps = 120"]
    for rule in rules:
        lines += ["[[rule]]", *(f"{key} = {json.dumps(value)}" for key, value in rule.items())]
    lines += ["[mqtt]", 'host = "127.0.0.1"', f"port = {port}", f'topic_prefix = "{prefix}"']
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path
