"""What ends the process on purpose, each made to happen in a composition root of the test's own, and told afterwards.

What systemd does is done by hand here: it aborts what does not feed its watchdog, and leaves how that ended.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import EMULATED
from tests.daemon import START_S, Daemon, Listener, environment, write_config
from tests.drawn import story_clip

pytestmark = pytest.mark.skipif(EMULATED, reason="several process starts take minutes, and the emulator is no systemd")

RULES = [{"label": "circle", "delay_on_s": 0.0, "delay_off_s": 0.0}]
RUN = "\nfrom edged.cli import main\nmain(['run', '--config', {config!r}])"

LEAK = """
import functools
from edged import app
hoard = []
app.run = functools.partial(app.run, on_turn=lambda report: hoard.append(bytearray(b"x") * 4_000_000))
"""
DYING_NETWORK = """
import ctypes, sys, threading

def kill():
    never = threading.Event()
    while not never.wait(0.1):
        for thread in threading.enumerate():
            frame = sys._current_frames().get(thread.ident)
            # While it waits for the network: at its birth, or with a lock, its death would hang who waits for those.
            if thread.name.startswith("paho") and frame is not None and frame.f_code.co_name == "_loop":
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
                )

threading.Thread(target=kill, daemon=True).start()
"""
HANGING_MODEL = """
import sys, threading
from edged.edges import tflite

def scores(self, *_):
    print("stuck", file=sys.stderr, flush=True)
    threading.Event().wait()

tflite.TfliteClassifier.scores = scores
"""


@pytest.fixture
def config(tmp_path, mosquitto, prefix):
    """A clip without an end: what ends the process is what the test is about."""
    clip = story_clip(tmp_path / "b.avi", [("circle", 10), ("background", 10)])
    return write_config(tmp_path / "e.toml", f"file:{clip}", mosquitto.port, prefix, RULES)


@pytest.fixture
def told_next(config, tmp_path, mosquitto, prefix, monkeypatch):
    """What the next run tells of the last one; systemd left it that line."""

    def run(result: str):
        runtime = tmp_path / "runtime"
        runtime.mkdir()
        (runtime / "result").write_text(f"{result}\n", encoding="ascii")
        monkeypatch.setenv("RUNTIME_DIRECTORY", str(runtime))
        monkeypatch.setenv("WATCHDOG_USEC", "30000000")
        with Listener(mosquitto.host, mosquitto.port, prefix) as listener, Daemon(config, tmp_path / "state") as daemon:
            listener.wait("test/health")
            last_exit = listener.payloads("test/info")[-1]["last_exit"]
            daemon.stop()
        assert list(runtime.iterdir()) == []
        return last_exit

    return run


def command(config, fault):
    return [sys.executable, "-c", fault + RUN.format(config=str(config))]


def run(config, fault, tmp_path):
    done = subprocess.run(
        command(config, fault),
        env=environment(tmp_path / "state"),
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


def test_a_leak_ends_the_process_before_memory_runs_out(config, tmp_path, told_next):
    done = run(config, LEAK, tmp_path)
    assert done.returncode == 1
    assert "memory: the process takes" in done.stderr
    last_exit = told_next("exit-code exited 1")
    assert last_exit["code"] == 1
    assert last_exit["reason"].startswith("memory: the process takes")


def test_a_network_thread_that_dies_twice_ends_the_process(config, tmp_path, told_next):
    done = run(config, DYING_NETWORK, tmp_path)
    assert done.returncode == 1
    assert "the network thread has ended by itself; events are kept" in done.stderr
    reason = "the network thread has ended by itself twice within 600 s: restarting"
    assert reason in done.stderr
    assert told_next("exit-code exited 1") == {"code": 1, "reason": reason}


def test_a_model_that_hangs_leaves_its_stack_and_the_watchdog_is_named(config, tmp_path, told_next):
    """The process is not dumpable, and says all the same where it hangs."""
    process = subprocess.Popen(
        command(config, HANGING_MODEL),
        env={**environment(tmp_path / "state"), "PYTHONFAULTHANDLER": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if line == "stuck\n":
                break
        process.send_signal(signal.SIGABRT)
        rest = process.stderr.read()
        assert process.wait(START_S) == -signal.SIGABRT
    finally:
        process.kill()
        process.stderr.close()
    assert "Fatal Python error: Aborted" in rest
    assert 'loop.py", line' in rest
    assert "edged/edges/mqtt_client.py" in rest or "paho/mqtt/client.py" in rest, "every thread is told"
    assert list(Path().glob("core*")) == [], "no picture in a core dump"
    assert told_next("watchdog dumped ABRT") == {"code": None, "reason": "the watchdog: no finished turn for 30 s"}
