"""`edged run` as a process, with the tiny model, a clip and a real broker."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys

import jsonschema
import pytest

from edged.modelstore import bundled
from tests.conftest import EMULATED
from tests.daemon import Daemon, Listener, edged, environment, write_config
from tests.drawn import still_pictures, story_clip
from tests.fakes import until
from tests.scenes import write_picture
from tests.test_schema import schema

RULES = [{"label": "circle", "delay_on_s": 0.5, "delay_off_s": 1.0}, {"label": "star"}]
STORY = [("background", 10), ("circle", 25), ("background", 30)]
EVENT = "test/event/circle"


@pytest.fixture
def clip(tmp_path):
    return story_clip(tmp_path / "clip.avi", STORY)


def test_from_a_clip_to_events_at_a_subscriber(tmp_path, clip, mosquitto, prefix):
    """The main job: something comes and goes in front of the camera, and a subscriber hears of it."""
    config = write_config(tmp_path / "e.toml", f"file:{clip}", mosquitto.port, prefix, RULES, pace="max", at_end="stop")
    with Listener(mosquitto.host, mosquitto.port, prefix) as listener:
        with Daemon(config, tmp_path / "state", "--print-events") as daemon:
            assert daemon.wait() == 0, daemon.errors.read_text()
        events = listener.wait(EVENT, 2)
        listener.wait_state("test/pipeline", "stopping")
    for event in events:
        jsonschema.validate(event, schema("event"))
    start, end = events
    assert (start["event_type"], start["seq"], start["rule"]) == ("start", 1, "circle")
    assert start["score"] >= 0.6
    assert (end["event_type"], end["seq"], end["reason"]) == ("end", 2, "gone")
    assert end["start_time"] == start["time"]
    assert end["duration_s"] == pytest.approx(2.5 - 0.5 + 1.0, abs=0.101)
    assert start["frame_age_ms"] is None, "a clip at max pace has no moment of this clock"
    assert [json.loads(line)["id"] for line in daemon.output.splitlines()] == [start["id"], end["id"]]
    # Another label of the same model was watched all the time and never seen.
    assert not listener.payloads("test/event/star")
    assert {state["state"] for state in listener.payloads("test/state/star")} == {"unknown", "OFF"}


def test_the_same_clip_gives_the_same_events_every_time(tmp_path, clip, mosquitto, prefix):
    told = []
    for turn in range(2):
        config = write_config(
            tmp_path / "e.toml", f"file:{clip}", mosquitto.port, f"{prefix}-{turn}", RULES, pace="max", at_end="stop"
        )
        with Daemon(config, tmp_path / "state", "--print-events") as daemon:
            assert daemon.wait() == 0
        events = [json.loads(line) for line in daemon.output.splitlines()]
        told.append([(one["event_type"], one["score"], one["duration_s"]) for one in events])
        # The numbers go on where the last process left off: the log outlives it.
        assert [one["seq"] for one in events] == [2 * turn + 1, 2 * turn + 2]
    assert told[0] == told[1]


def test_retained_topics_come_before_online_and_the_clean_stop_ends_what_is_open(tmp_path, mosquitto, prefix):
    """A subscriber sees info, pipeline and states first, then online; at the end the open event is closed."""
    picture = story_clip(tmp_path / "circle.avi", [("circle", 20)])
    config = write_config(tmp_path / "e.toml", f"file:{picture}", mosquitto.port, prefix, RULES)
    with Listener(mosquitto.host, mosquitto.port, prefix) as listener:
        with Daemon(config, tmp_path / "state") as daemon:
            listener.wait(EVENT)
            listener.wait_state("test/state/circle", "ON")
            listener.wait("test/health")
            assert daemon.stop() == 0, daemon.errors.read_text()
        first = [topic for topic, _, _ in listener.messages]
        online = first.index("test/availability")
        assert {"test/info", "test/pipeline", "test/state/circle", "test/state/star"} <= set(first[:online])
        assert not any("event" in topic or "health" in topic for topic in first[:online])
        events = listener.wait(EVENT, 2)
        assert events[-1]["reason"] == "shutdown"
        listener.wait_state("test/pipeline", "stopping")
        state = listener.wait_state("test/state/circle", "unknown")
    assert (state["seq"], state["id"]) == (events[-1]["seq"], events[-1]["id"])
    for name in ("info", "pipeline", "health"):
        for payload in listener.payloads(f"test/{name}"):
            jsonschema.validate(payload, schema(name))


@pytest.mark.skipif(EMULATED, reason="four process starts take a minute under emulation")
def test_the_last_exit_is_told_after_the_restart(tmp_path, mosquitto, prefix):
    clip = story_clip(tmp_path / "b.avi", [("background", 10)])
    config = write_config(tmp_path / "e.toml", f"file:{clip}", mosquitto.port, prefix, RULES)
    state = tmp_path / "state"
    told = []
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        with Listener(mosquitto.host, mosquitto.port, prefix) as listener, Daemon(config, state) as daemon:
            listener.wait("test/health")
            told.append(listener.payloads("test/info")[-1]["last_exit"])
            daemon.stop(number)
    assert told == [None, {"code": 0, "reason": "stopped"}, {"code": None, "reason": "killed, or the power went"}]


def test_a_broker_that_comes_late_gets_what_was_decided_meanwhile(tmp_path, clip, own_mosquitto, prefix):
    """The loop never waits for the broker: events are decided, and delivered when it is there."""
    broker = own_mosquitto()
    config = write_config(tmp_path / "e.toml", f"file:{clip}", broker.port, prefix, RULES, pace="realtime")
    with Daemon(config, tmp_path / "state", "--print-events") as daemon:
        assert daemon.process.stdout is not None
        first = json.loads(daemon.process.stdout.readline())
        broker.start()
        with Listener(broker.host, broker.port, prefix) as listener:
            received = listener.wait(EVENT)
        assert received[0]["id"] == first["id"]
        assert daemon.stop() == 0
    journal = daemon.errors.read_text()
    assert journal.count("cannot be reached") == 1, "a lasting fault is logged once"


@pytest.mark.skipif(EMULATED, reason="the same code as the test above; reconnecting takes seconds more")
def test_a_broker_that_restarts_loses_no_event(tmp_path, own_mosquitto, prefix):
    broker = own_mosquitto()
    broker.start()
    clip = story_clip(tmp_path / "s.avi", [("circle", 8), ("background", 8)])
    rules = [{"label": "circle", "delay_on_s": 0.1, "delay_off_s": 0.1}]
    config = write_config(tmp_path / "e.toml", f"file:{clip}", broker.port, prefix, rules)
    seqs: list[int] = []
    with Daemon(config, tmp_path / "state") as daemon:
        for _ in range(3):
            with Listener(broker.host, broker.port, prefix) as listener:
                listener.wait(EVENT, 2)
                broker.stop()
                seqs += [event["seq"] for event in listener.payloads(EVENT)]
            broker.start()
        with Listener(broker.host, broker.port, prefix) as listener:
            listener.wait(EVENT, 2)
            seqs += [event["seq"] for event in listener.payloads(EVENT)]
        assert daemon.stop() == 0
    # What was decided between two subscribers went to nobody; what a subscriber saw came in order.
    assert seqs == sorted(seqs)


def test_a_camera_that_is_absent_is_a_problem_and_no_end(tmp_path, mosquitto, prefix):
    """Exit 78 here would leave a board dead after a power cut."""
    config = write_config(tmp_path / "e.toml", "v4l2:/dev/no-such-camera", mosquitto.port, prefix, RULES)
    with Listener(mosquitto.host, mosquitto.port, prefix) as listener, Daemon(config, tmp_path / "state") as daemon:
        pipeline = listener.wait_state("test/pipeline", "camera_lost")
        until(lambda: "camera_lost" in codes(listener), 60)
        assert daemon.process.poll() is None
        assert daemon.stop() == 0
    assert "no camera" in pipeline["reason"]
    assert {state["state"] for state in listener.payloads("test/state/circle")} == {"unknown"}
    assert "/dev/" not in pipeline["reason"].replace("/dev/v4l/by-id", "")
    assert "/dev/no-such-camera" in daemon.errors.read_text(), "the journal says which"


@pytest.mark.skipif(EMULATED, reason="waits for back-off; nothing in it depends on the processor")
def test_a_camera_that_goes_and_comes_back(tmp_path, mosquitto, prefix):
    """Its loss ends the event with its reason, states are unknown, and sight returns by itself."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    story_clip(tmp_path / "c.avi", [("circle", 1)])
    write_picture(folder / "a.png", next(iter(still_pictures(["circle"], seed=3))))
    config = write_config(tmp_path / "e.toml", f"file:{folder}", mosquitto.port, prefix, RULES)
    away = tmp_path / "away"
    with Listener(mosquitto.host, mosquitto.port, prefix) as listener, Daemon(config, tmp_path / "state") as daemon:
        listener.wait_state("test/state/circle", "ON")
        folder.rename(away)
        listener.wait_state("test/pipeline", "camera_lost")
        listener.wait_state("test/state/circle", "unknown")
        end = listener.wait(EVENT, 2)[-1]
        assert (end["event_type"], end["reason"]) == ("end", "camera_lost")
        away.rename(folder)
        listener.wait_state("test/pipeline", "running")
        listener.wait_state("test/state/circle", "ON")
        assert daemon.stop() == 0


def codes(listener: Listener) -> set[str]:
    """The problems that health told of so far."""
    return {problem["code"] for health in listener.payloads("test/health") for problem in health["problems"]}


def test_check_says_what_will_run(tmp_path, clip):
    config = write_config(tmp_path / "e.toml", f"file:{clip}", 1883, "edged", RULES)
    done = edged("check", "--config", config, state=tmp_path / "state")
    assert (done.returncode, done.stderr) == (0, "")
    assert "rule circle" in done.stdout


@pytest.mark.skipif(EMULATED, reason="sixty process starts")
def test_two_signals_at_once_end_it_as_one_does(tmp_path):
    """A second SIGTERM in the middle of the first one's handler must not wait for itself."""
    script = (
        "import threading, os, signal, sys; from edged.app import stop_on_signals\n"
        "stop = threading.Event()\n"
        "with stop_on_signals(stop):\n"
        "    for _ in range(300):\n"
        "        threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGTERM)).start()\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    assert stop.wait(10)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], timeout=60, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.skipif(EMULATED, reason="two process starts; the printing itself is the same code as in the tests above")
def test_printed_is_also_what_a_killed_run_left_open_under_the_log_that_info_names(tmp_path, mosquitto, prefix):
    clip = story_clip(tmp_path / "c.avi", [("circle", 30)])
    config = write_config(tmp_path / "e.toml", f"file:{clip}", mosquitto.port, prefix, RULES, pace="realtime")
    printed = []
    for number in (signal.SIGKILL, signal.SIGTERM):
        with (
            Listener(mosquitto.host, mosquitto.port, prefix) as listener,
            Daemon(config, tmp_path / "state", "--print-events") as daemon,
        ):
            assert daemon.process.stdout is not None
            printed.append(json.loads(daemon.process.stdout.readline()))
            listener.wait("test/info")
            assert listener.payloads("test/info")[-1]["log"] == printed[-1]["log"]
            daemon.stop(number)
    assert printed[0]["event_type"] == "start"
    assert (printed[1]["event_type"], printed[1]["reason"]) == ("end", "daemon_restarted")
    assert printed[1]["start_time"] == printed[0]["start_time"]


@pytest.mark.skipif(EMULATED, reason="nothing in it depends on the processor")
def test_systemd_hears_what_the_pipeline_is_doing(tmp_path, clip, mosquitto, prefix):
    config = write_config(tmp_path / "e.toml", f"file:{clip}", mosquitto.port, prefix, RULES, pace="max", at_end="stop")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{prefix}")
        listener.setblocking(False)
        environ = {**environment(tmp_path / "state"), "NOTIFY_SOCKET": f"@{prefix}"}
        command = [sys.executable, "-m", "edged", "run", "--config", config]
        assert subprocess.run(command, env=environ, timeout=60, check=False, capture_output=True).returncode == 0
        heard = [listener.recv(4096).decode() for _ in range(5)]
        with pytest.raises(BlockingIOError):
            listener.recv(1)
    assert heard == ["READY=1", "STATUS=starting", "STATUS=running", "STOPPING=1", "STATUS=stopping"]


@pytest.mark.skipif(EMULATED, reason="nothing in it depends on the processor")
def test_a_model_that_goes_away_takes_no_path_into_the_last_exit(tmp_path, clip):
    shutil.copytree(bundled() / "shapes-int8", tmp_path / "model")
    config = write_config(tmp_path / "e.toml", f"file:{clip}", 1883, "nowhere", RULES)
    text = config.read_text(encoding="utf-8").replace('"shapes-int8"', f'"{tmp_path}/model/model.tflite"')
    config.write_text(text.replace("threads = 1", "threads = 2"), encoding="utf-8")
    script = (
        "import threading; from pathlib import Path; from edged import app\n"
        f"config, fitted = app.load(Path({str(config)!r}), print)\n"
        "fitted.package.model_path.unlink()\n"
        "app.run(config, fitted, threading.Event())"
    )
    state = tmp_path / "state"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(state), timeout=60, check=False, capture_output=True, text=True
    )
    assert "ModelError" in done.stderr
    assert json.loads((state / "test" / "last_exit.json").read_text()) == {
        "code": 1,
        "reason": "the model could not be used; the journal says why",
    }


@pytest.mark.skipif(EMULATED, reason="nothing in it depends on the processor")
def test_a_model_that_fails_while_running_is_no_configuration_error(tmp_path, clip, mosquitto, prefix):
    """Exit 78 is never restarted; a new process may well work."""
    config = write_config(tmp_path / "e.toml", f"file:{clip}", mosquitto.port, prefix, RULES, pace="max")
    script = (
        "from edged.edges import tflite; from edged.core.errors import ModelError\n"
        "def scores(self, frame, region): raise ModelError('the output is not a number')\n"
        "tflite.TfliteClassifier.scores = scores\n"
        f"from edged.cli import main; main(['run', '--config', {str(config)!r}])"
    )
    state = tmp_path / "state"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(state), timeout=60, check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert json.loads((state / "test" / "last_exit.json").read_text())["reason"] == "the output is not a number"


@pytest.mark.skipif(EMULATED, reason="nothing in it depends on the processor")
@pytest.mark.parametrize("kept", ["[]", '{"1": null}', '{"a": 1, "2": "x"}', "3"])
def test_damaged_measurements_are_made_again(tmp_path, clip, mosquitto, prefix, kept):
    config = write_config(tmp_path / "e.toml", f"file:{clip}", mosquitto.port, prefix, RULES, pace="max", at_end="stop")
    config.write_text(config.read_text().replace("threads = 1\n", ""))
    state = tmp_path / "state"
    with Daemon(config, state) as daemon:
        assert daemon.wait() == 0
    measured = json.loads((state / "threads.json").read_text())
    (state / "threads.json").write_text(json.dumps(dict.fromkeys(measured, json.loads(kept))))
    with Daemon(config, state) as daemon:
        assert daemon.wait() == 0, daemon.errors.read_text()
    assert json.loads((state / "threads.json").read_text()).keys() == measured.keys()


@pytest.mark.skipif(EMULATED, reason="nothing in it depends on the processor")
def test_a_reader_that_does_not_read_stops_nothing(tmp_path, mosquitto, prefix):
    """`--print-events` into a full pipe: the loop goes on, and the daemon ends when it is told to."""
    clip = story_clip(tmp_path / "s.avi", [("circle", 2), ("background", 2)])
    rules = [{"label": "circle", "delay_on_s": 0.0, "delay_off_s": 0.0}]
    config = write_config(tmp_path / "e.toml", f"file:{clip}", mosquitto.port, prefix, rules, pace="max")
    with Daemon(config, tmp_path / "state", "--print-events") as daemon:
        until(lambda: "no longer printed" in daemon.errors.read_text(), 60)
        daemon.process.terminate()
        assert daemon.process.wait(60) == 0
        assert daemon.process.stdout is not None
        daemon.process.stdout.close()
