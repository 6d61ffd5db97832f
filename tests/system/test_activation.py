"""Another version of the model in a running daemon: by every way in, and whatever goes wrong with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import paho.mqtt.publish
import pytest

from benchmarks import activation
from edged.modelstore import remembered
from tests import versions
from tests.conftest import EMULATED
from tests.daemon import START_S, Daemon, Listener, edged, environment, write_config
from tests.drawn import story_clip
from tests.fakes import until

FULL = bool(os.environ.get("EDGED_FULL"))
RULES = [{"label": "circle", "delay_on_s": 0.0, "delay_off_s": 0.0}]

pytestmark = [
    pytest.mark.skipif(EMULATED, reason="a dozen process starts, each of which takes seconds under emulation"),
    pytest.mark.timeout(3600 if FULL else 600),
]


class Place:
    """A configuration, a state folder, and what is heard of the daemon in it."""

    def __init__(self, folder, mosquitto, prefix, listener):
        self.folder, self.mosquitto, self.prefix, self.listener = folder, mosquitto, prefix, listener
        self.state = folder / "state"
        clip = story_clip(folder / "clip.avi", [("circle", 5), ("background", 5)])
        self.config = write_config(folder / "e.toml", f"file:{clip}", mosquitto.port, prefix, RULES)
        self.state.mkdir()

    def model_table(self, *lines):
        text = self.config.read_text(encoding="utf-8")
        self.config.write_text(text.replace("threads = 1", "\n".join(("threads = 1", *lines))), encoding="utf-8")

    def put(self, version, **changes):
        versions.put(self.state, self.folder / "made", version, **changes)

    def send(self, level, payload):
        topic = f"{self.prefix}/test/{level}"
        paho.mqtt.publish.single(topic, payload, 1, hostname=self.mosquitto.host, port=self.mosquitto.port)

    def ask(self, version, **more):
        """The answer to a request."""
        count = len(self.listener.payloads("test/response/model"))
        self.send("request/model", json.dumps({"name": versions.NAME, "version": version, **more}))
        return self.listener.wait("test/response/model", count + 1)[-1]

    def stands(self, state, version):
        """Waits until `D/info` says so."""

        def stands():
            told = self.listener.payloads("test/info")
            return bool(told) and (told[-1]["activation"]["state"], told[-1]["activation"]["version"]) == (
                state,
                version,
            )

        until(stands, START_S)
        return self.listener.payloads("test/info")[-1]

    def problems(self):
        return {one["code"]: one["text"] for one in self.listener.wait("test/health")[-1]["problems"]}

    def until_problem(self, code):
        until(lambda: code in self.problems(), START_S)
        return self.problems()[code]

    def next_event(self):
        count = len(self.listener.payloads("test/event/circle"))
        return self.listener.wait("test/event/circle", count + 1)[-1]


@pytest.fixture
def place(tmp_path, mosquitto, prefix):
    with Listener(mosquitto.host, mosquitto.port, prefix) as listener:
        yield Place(tmp_path, mosquitto, prefix, listener)


def test_by_request_by_home_assistant_and_by_the_command_line(place):
    place.model_table("probation_s = 1")
    for version in ("2.0.0", "3.0.0"):
        place.put(version)
    remembered.remember(place.state / "models", versions.NAME, "1.0.0")
    with Daemon(place.config, place.state) as daemon:
        place.listener.wait_state("test/pipeline", "running")
        first = place.stands("settled", "1.0.0")
        place.listener.wait("test/update/model")  # it may come after what it is told with
        until(lambda: place.listener.payloads("test/update/model")[-1]["latest_version"] == "3.0.0")
        assert place.ask("2.0.0", transaction="t") == {
            "status": "ok",
            "data": {"name": versions.NAME, "version": "2.0.0", "previous": "1.0.0"},
            "error": None,
            "transaction": "t",
        }
        told = place.stands("settled", "2.0.0")
        assert told["model"]["version"] == "2.0.0"
        assert told["model"]["sha256"] != first["model"]["sha256"]
        assert place.next_event()["model"] == f"{versions.NAME}@{told['model']['sha256'][:8]}"
        place.send("update/model/set", "install")
        place.stands("settled", "3.0.0")
        assert place.listener.payloads("test/update/model")[-1] == {
            "installed_version": "3.0.0",
            "latest_version": "3.0.0",
            "title": versions.NAME,
            "in_progress": False,
        }
        done = edged("model", "use", "--config", place.config, f"{versions.NAME}@2.0.0", state=place.state)
        assert done.returncode == 0, done.stderr
        place.stands("settled", "2.0.0")
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.errors.read_text()
    events = place.listener.payloads("test/event/circle")
    assert [one["seq"] for one in events] == list(range(1, len(events) + 1))
    with Daemon(place.config, place.state):
        place.stands("settled", "2.0.0")


def test_what_is_not_fit_is_refused_with_the_reason_and_what_runs_goes_on(place):
    place.model_table("budget_ms = 3")
    place.put("2.0.0", golden=lambda told: told["inputs"][1]["top"][0].update(score=0.1))
    place.put(
        "3.0.0",
        labels=lambda text: text.replace("circle", "disc"),
        text=lambda text: text.replace('["circle"]', '["disc"]'),
        golden=lambda told: told["inputs"].clear(),
    )
    place.put("4.0.0", like=versions.LITE0, text=lambda text: text.replace("[groups]", '[groups]\ncircle = ["tabby"]'))
    remembered.remember(place.state / "models", versions.NAME, "1.0.0")
    with Daemon(place.config, place.state) as daemon:
        place.listener.wait_state("test/pipeline", "running")
        for version, reason in (
            ("2.0.0", "failed its self-test"),
            ("3.0.0", "rule circle: model shapes-int8 has no label 'circle'"),
            ("4.0.0", "ms on this board, and there are 3 ms for one"),
            ("9.0.0", "there is no version '9.0.0'"),
        ):
            answer = place.ask(version)
            assert answer["status"] == "error"
            assert reason in answer["error"]
            told = place.stands("refused", version)
            assert (told["model"]["version"], told["activation"]["previous"]) == ("1.0.0", "1.0.0")
            assert reason in told["activation"]["reason"]
            until(lambda version=version: f"{version} is not used" in place.until_problem("model_refused"))
        # Chosen behind the daemon's back: it is put back.
        remembered.remember(place.state / "models", versions.NAME, "2.0.0")
        until(lambda: remembered.read(place.state / "models")[versions.NAME].version == "1.0.0", START_S)
        place.next_event()
        assert place.ask("2.0.0", name="another")["error"].startswith("expected the model of the configuration")
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.errors.read_text()


FAILING = """
from edged.edges import tflite; from edged.core.errors import ModelError
judged = []
scores = tflite.TfliteClassifier.scores
def failing(self, frame, region):
    if self.patient == "2.0.0":
        judged.append(frame.t_s)
        if len(judged) > 5:
            {failure}
    return scores(self, frame, region)
tflite.TfliteClassifier.scores = failing
make = tflite.TfliteClassifier.__init__
def init(self, interpreter, spec, *more):
    make(self, interpreter, spec, *more)
    # A model that is being proven is in a process of its own.
    self.patient = spec.version if isinstance(interpreter, tflite.Interpreter) else None
tflite.TfliteClassifier.__init__ = init
from edged.cli import main; main(['run', '--config', {config!r}])
"""


class Patient(Daemon):
    """A daemon whose version 2.0.0 fails after five frames."""

    def __init__(self, place, failure):
        self.errors = place.state / "stderr.txt"
        script = FAILING.format(failure=failure, config=str(place.config))
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", script], env=environment(place.state), stdout=subprocess.PIPE, stderr=errors
            )


def test_a_version_that_fails_on_probation_is_rolled_back_without_a_restart(place):
    place.put("2.0.0")
    remembered.remember(place.state / "models", versions.NAME, "1.0.0")
    with Patient(place, "raise ModelError('the output is not a number')") as daemon:
        place.listener.wait_state("test/pipeline", "running")
        assert place.ask("2.0.0")["status"] == "ok"
        told = place.stands("rolled_back", "2.0.0")
        assert told["activation"]["reason"] == "the output is not a number"
        assert told["model"]["version"] == "1.0.0"
        assert "2.0.0 is not used, 1.0.0 is" in place.until_problem("model_rolled_back")
        until(lambda: remembered.read(place.state / "models")[versions.NAME].version == "1.0.0")
        assert place.next_event()["model"] == f"{versions.NAME}@{told['model']['sha256'][:8]}"
        assert daemon.stop() == 0
    seqs = [one["seq"] for one in place.listener.payloads("test/event/circle")]
    assert seqs == list(range(1, len(seqs) + 1))


def test_a_version_that_kills_the_process_is_rolled_back_by_the_next_start(place):
    place.put("2.0.0")
    remembered.remember(place.state / "models", versions.NAME, "1.0.0")
    with Patient(place, "import os; os.kill(os.getpid(), 11)") as daemon:
        place.listener.wait_state("test/pipeline", "running")
        assert place.ask("2.0.0")["status"] == "ok"
        assert daemon.wait() == -signal.SIGSEGV
    with Daemon(place.config, place.state) as daemon:
        told = place.stands("rolled_back", "2.0.0")
        assert told["activation"]["reason"] == "the process ended while the version was on probation"
        assert told["model"]["version"] == "1.0.0"
        assert "2.0.0 is not used" in place.until_problem("model_rolled_back")
        until(lambda: remembered.read(place.state / "models")[versions.NAME].version == "1.0.0")
        daemon.stop()
    # The same again by the command line, while no daemon runs: the version starts on probation and does not come far.
    edged("model", "use", "--config", place.config, f"{versions.NAME}@2.0.0", state=place.state)
    with Patient(place, "import os; os.kill(os.getpid(), 11)") as daemon:
        assert daemon.wait() == -signal.SIGSEGV
    with Daemon(place.config, place.state):
        place.stands("rolled_back", "2.0.0")


def test_a_clean_end_says_nothing_against_a_version(place):
    place.put("2.0.0")
    remembered.remember(place.state / "models", versions.NAME, "1.0.0")
    with Daemon(place.config, place.state) as daemon:
        place.listener.wait_state("test/pipeline", "running")
        assert place.ask("2.0.0")["status"] == "ok"
        assert daemon.stop() == 0
    with Daemon(place.config, place.state) as daemon:
        place.listener.wait("test/info", len(place.listener.payloads("test/info")) + 1)
        place.stands("probation", "2.0.0")
        assert daemon.stop() == 0


def test_a_version_that_no_longer_loads_is_refused_at_the_start_and_the_one_before_runs(place):
    place.model_table("probation_s = 1")
    place.put("2.0.0")
    remembered.remember(place.state / "models", versions.NAME, "1.0.0")
    with Daemon(place.config, place.state) as daemon:
        place.listener.wait_state("test/pipeline", "running")
        daemon.stop()
    remembered.remember(place.state / "models", versions.NAME, "2.0.0")
    file = place.state / "models" / f"{versions.NAME}@2.0.0" / "model.tflite"
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[:-3] + b"xyz")
    done = edged("check", "--config", place.config, state=place.state)
    assert done.returncode == 0
    assert f"{versions.NAME} 2.0.0 is not used, 1.0.0 is" in done.stderr
    with Daemon(place.config, place.state):
        told = place.stands("refused", "2.0.0")
        assert told["model"]["version"] == "1.0.0"
        assert "sha256" in told["activation"]["reason"]
        assert str(place.folder) not in json.dumps(told)


def test_a_model_by_its_path_leaves_no_choice(place):
    folder = versions.make(place.folder / "mine", "1.0.0")
    text = place.config.read_text(encoding="utf-8").replace(f'"{versions.NAME}"', f'"{folder}"')
    place.config.write_text(text, encoding="utf-8")
    with Daemon(place.config, place.state):
        place.listener.wait_state("test/pipeline", "running")
        assert "names the path of a model" in place.ask("1.0.0")["error"]
        kept = json.loads((place.state / "test" / "activation.json").read_text())
        assert (kept["phase"], kept["version"]) == ("settled", "1.0.0"), "it is known what is in use"


def test_killed_at_random_moments_the_old_or_the_new_version_runs_and_nothing_else(tmp_path, mosquitto):
    found = activation.kills(200 if FULL else 20, 1, mosquitto.port, tmp_path)
    print(f"{found.count} of 200 kills, found on the disk {dict(found.moments)}, ran afterwards {dict(found.ran)}")
    assert found.dead == []
    assert found.mixtures == []
    assert found.count == (200 if FULL else 20)


def test_swapped_under_load_no_frame_and_no_event_is_lost(tmp_path, mosquitto):
    changed, plain = activation.swaps(10 if FULL else 2, mosquitto.port, tmp_path)
    print(f"{changed.swaps} of 10 swaps in {changed.frames} frames, {len(changed.events)} events")
    assert changed.swaps >= 1
    assert changed.frames == plain.frames
    assert changed.dropped == plain.dropped == 0
    assert changed.events == plain.events
    assert changed.acknowledged == len(changed.events)
