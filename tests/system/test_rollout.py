"""A new version on many boards, as docs/models.md says: signed, in a catalogue, fetched, asked for, and taken back."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import paho.mqtt.publish
import pytest

from tests import versions
from tests.conftest import EMULATED
from tests.daemon import START_S, Daemon, Listener, command, edged, environment, write_config
from tests.drawn import story_clip
from tests.fakes import until

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
NAME = "garden-animals"
BOARDS = ("porch", "garden")
RULES = [{"label": "circle", "delay_on_s": 0.0, "delay_off_s": 0.0}]

pytestmark = [
    pytest.mark.skipif(EMULATED, reason="a dozen process starts, each of which takes seconds under emulation"),
    pytest.mark.timeout(300),
]


def together(*commands, state):
    """Commands at once, each with the state folder that `state` has for it: what each of them printed."""
    running = [
        subprocess.Popen(
            command(*words), env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for words, folder in zip(commands, state, strict=True)
    ]
    said = [process.communicate(timeout=START_S) for process in running]
    assert [process.returncode for process in running] == [0] * len(running), said
    return [out for out, _ in said]


class Workshop:
    """Where models are made: a key, model folders, and a catalogue, by the commands of the page."""

    def __init__(self, home, url):
        self.home, self.url, self.catalogue = home, url, home / "catalogue.toml"
        home.mkdir()

    def made(self, version):
        """A model folder with another name than what ships, which needs no signature."""
        text = f'name = "{versions.NAME}"', f'name = "{NAME}"'
        return versions.make(self.home / f"{NAME}-{version}", version, text=lambda found: found.replace(*text))

    def sign(self, *words):
        done = edged("model", "sign", *words, state=self.home)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def publish(self, version):
        """The page's own script, and a web server that has what it names."""
        (script,) = re.findall(r"^```sh\n(cd ~/garden-animals\n.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
        current = self.home / NAME
        shutil.copytree(self.home / f"{NAME}-{version}", current)
        script = script.replace("https://models.example.org", self.url)
        environ = {**os.environ, "HOME": str(self.home)}
        subprocess.run(["bash", "-euo", "pipefail", "-c", script], env=environ, check=True, timeout=60)
        prefix = f"/{NAME}/{version}/"
        return lambda ask: ask.file((current / ask.path.removeprefix(prefix)).read_bytes())


class Board:
    """A device with its own configuration and state folder, and what is heard of it."""

    def __init__(self, name, folder, mosquitto, prefix, trusted, listener):
        self.name, self.state, self.listener = name, folder / name, listener
        clip = story_clip(folder / f"{name}.avi", [("circle", 5), ("background", 5)])
        self.config = write_config(folder / f"{name}.toml", f"file:{clip}", mosquitto.port, prefix, RULES)
        text = self.config.read_text(encoding="utf-8").replace('name = "test"', f'name = "{name}"')
        model = f'name = "{NAME}"\n{trusted}policy = "require"\nprobation_s = 1'
        self.config.write_text(text.replace(f'name = "{versions.NAME}"', model), encoding="utf-8")
        self.state.mkdir()

    def heard(self, level):
        return self.listener.payloads(f"{self.name}/{level}")

    def model(self, *words):
        return ("model", words[0], "--config", self.config, *words[1:])

    def stands(self, state, version, runs):
        """Waits until `D/info` says so."""

        def stands():
            told = self.heard("info")
            activation = told[-1]["activation"] if told else {}
            return (activation.get("state"), activation.get("version")) == (state, version)

        until(stands, START_S)
        assert self.heard("info")[-1]["model"]["version"] == runs

    def judges(self):
        """The hash in `D/info` is that of the model in the next event."""
        event = self.listener.wait(f"{self.name}/event/circle", len(self.heard("event/circle")) + 1)[-1]
        assert event["model"] == f"{NAME}@{self.heard('info')[-1]['model']['sha256'][:8]}"


def ask(boards, version, mosquitto, prefix):
    """The same request to all of them at once: their answers."""
    counts = [len(board.heard("response/model")) + 1 for board in boards]
    payload = json.dumps({"name": NAME, "version": version})
    messages = [(f"{prefix}/{board.name}/request/model", payload, 1, False) for board in boards]
    paho.mqtt.publish.multiple(messages, hostname=mosquitto.host, port=mosquitto.port)
    return [
        board.listener.wait(f"{board.name}/response/model", count)[-1]
        for board, count in zip(boards, counts, strict=True)
    ]


@pytest.fixture
def boards(tmp_path, mosquitto, prefix, workshop):
    """Two boards on which 1.0.0 was chosen, and the older 0.9.0 is in the store."""
    for version in ("0.9.0", "1.0.0", "1.1.0"):
        workshop.made(version)
    key = workshop.home / "fleet.pem"
    trusted = workshop.sign("--new-key", key)
    assert re.fullmatch(r'trusted_keys = \["fleet:.*"\]\n', trusted)
    with Listener(mosquitto.host, mosquitto.port, prefix) as listener:
        found = [Board(name, tmp_path, mosquitto, prefix, trusted, listener) for name in BOARDS]
        states = [board.state for board in found]
        for version in ("0.9.0", "1.0.0"):
            folder = workshop.home / f"{NAME}-{version}"
            assert workshop.sign("--key", key, folder).startswith(f"signed {NAME} {version}\n")
            together(*(board.model("add", folder) for board in found), state=states)
        together(*(board.model("use", f"{NAME}@1.0.0") for board in found), state=states)
        yield found


@pytest.fixture
def workshop(tmp_path, https_server, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(https_server.ca_file))
    return Workshop(tmp_path / "home", https_server.url)


def pull(workshop, *boards):
    """As the timer of the page does it, on several boards at once: what each of them printed."""
    words = ("pull", "--catalogue", workshop.catalogue, NAME)
    return together(*(board.model(*words) for board in boards), state=[board.state for board in boards])


def stand(boards, state, version, runs):
    """Waits until all of them say so, and sees that they go on watching, with the version that they name."""
    for board in boards:
        board.stands(state, version, runs)
        board.judges()


@pytest.fixture
def running(boards):
    """The same, with their daemons, which end well and have lost no event."""
    with contextlib.ExitStack() as ending:
        daemons = [ending.enter_context(Daemon(board.config, board.state)) for board in boards]
        stand(boards, "settled", "1.0.0", runs="1.0.0")
        yield boards
        assert [daemon.stop() for daemon in daemons] == [0, 0]
        assert not any("Traceback" in daemon.errors.read_text() for daemon in daemons)
    for board in boards:
        events = board.heard("event/circle")
        assert [one["seq"] for one in events] == list(range(1, len(events) + 1))


def test_two_boards_take_a_signed_version_and_go_back(running, workshop, https_server, mosquitto, prefix):
    boards = porch, garden = running
    key = workshop.home / "fleet.pem"

    # A new version, fetched by one board: the other does not know it, says so, and goes on with what it has.
    workshop.sign("--key", key, workshop.home / f"{NAME}-1.1.0")
    https_server.answer = workshop.publish("1.1.0")
    assert pull(workshop, porch)[0].startswith(f"installed {NAME}@1.1.0; ")
    (answer,) = ask([garden], "1.1.0", mosquitto, prefix)
    assert answer["status"] == "error"
    assert answer["error"].startswith(f"there is no version '1.1.0' of model {NAME} (versions here: ")
    assert "\n" not in answer["error"]
    stand([garden], "refused", "1.1.0", runs="1.0.0")
    stand([porch], "settled", "1.0.0", runs="1.0.0")

    # The next night: what is there is not fetched again.
    https_server.asked.clear()
    known, new = pull(workshop, porch, garden)
    assert known == f"{NAME}@1.1.0 was there already, the same\n"
    assert new.startswith(f"installed {NAME}@1.1.0; ")
    assert [path for path, _ in https_server.asked].count(f"/{NAME}/1.1.0/model.tflite") == 1

    # All are asked at once, and once more.
    for answer in ask(boards, "1.1.0", mosquitto, prefix):
        assert (answer["status"], answer["error"]) == ("ok", None)
        assert answer["data"] == {"name": NAME, "version": "1.1.0", "previous": "1.0.0"}
    stand(boards, "settled", "1.1.0", runs="1.1.0")
    for board in boards:
        assert "probation" in [told["activation"]["state"] for told in board.heard("info")]
    for answer in ask(boards, "1.1.0", mosquitto, prefix):
        assert answer["error"].startswith("expected another version than the one that runs, found 1.1.0")

    # No request brings an old version back, however well it is signed.
    for answer in ask(boards, "0.9.0", mosquitto, prefix):
        assert answer["error"].startswith(f"model {NAME} 0.9.0 is older than 1.1.0, which was accepted")
    stand(boards, "refused", "0.9.0", runs="1.1.0")

    # A signed downgrade does, outside of the service.
    back = workshop.home / "back.toml"
    back.write_text(workshop.sign("--key", key, "--downgrade-from", "1.1.0", workshop.home / f"{NAME}-0.9.0"))
    words = ("use", "--downgrade", back, f"{NAME}@0.9.0")
    together(*(board.model(*words) for board in boards), state=[board.state for board in boards])
    stand(boards, "settled", "0.9.0", runs="0.9.0")

    # The version that ran just before comes back by a request.
    assert [answer["status"] for answer in ask(boards, "1.1.0", mosquitto, prefix)] == ["ok", "ok"]
    stand(boards, "settled", "1.1.0", runs="1.1.0")
