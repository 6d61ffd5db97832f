"""`edged watch` as a person and as a pipe use it, against a real broker."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import paho.mqtt.publish
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.cli.watch import FIGURES_EVERY_S, Screen, json_line
from edged.core import wire
from edged.core.types import Event, WallTime
from tests.certificates import Authority
from tests.conftest import EMULATED
from tests.daemon import START_S, command, environment, write_config
from tests.fakes import until

PROCESS = pytest.mark.skipif(EMULATED, reason="starts processes, each of which takes seconds under emulation")
CEST = timezone(timedelta(hours=2))
NOON = datetime(2026, 7, 1, 12, 0, 0, tzinfo=CEST)
AT = NOON.timestamp() - 5.0


class Watch:
    """A running `edged watch`, its output in files that can be read while it runs."""

    def __init__(self, config: Path, folder: Path, *words: str) -> None:
        self._out, self._err = folder / "out.txt", folder / "err.txt"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                command("watch", "--config", config, *words), env=environment(folder / "state"), stdout=out, stderr=err
            )

    @property
    def out(self) -> str:
        return self._out.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return self._err.read_text(encoding="utf-8")

    def wait(self, condition: Any) -> None:
        until(lambda: condition(self) or self.process.poll() is not None, START_S)
        assert condition(self), (self.out, self.err)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(START_S)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Any]:
    running: list[Watch] = []

    def start(config: Path, *words: str) -> Watch:
        folder = tmp_path / f"watch-{len(running)}"
        folder.mkdir()
        running.append(Watch(config, folder, *words))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def written(tmp_path: Path, port: int, prefix: str, more: str = "") -> Path:
    path = write_config(tmp_path / "e.toml", "file:clip.mp4", port, prefix, [{"label": "circle"}])
    path.write_text(path.read_text(encoding="utf-8") + more, encoding="utf-8")
    return path


def say(port: int, topic: str, payload: str | bytes, **options: Any) -> None:
    paho.mqtt.publish.single(topic, payload, qos=1, hostname="127.0.0.1", port=port, **options)


@PROCESS
def test_a_person_sees_what_was_there_and_what_comes(mosquitto, prefix, tmp_path, watch):
    say(mosquitto.port, f"{prefix}/test/availability", "online", retain=True)
    one = watch(written(tmp_path, mosquitto.port, prefix))
    one.wait(lambda it: "  test  online\n" in it.out)
    say(mosquitto.port, f"{prefix}/other/availability", "online")
    say(mosquitto.port, f"{prefix}/test/event/cat", "no event")
    say(mosquitto.port, f"{prefix}/test/pipeline", '{"state": "camera_lost", "reason": "unplugged", "since": "x"}')
    one.wait(lambda it: "  test  pipeline camera_lost (unplugged)\n" in it.out)
    assert "other" not in one.out
    assert "event/cat: found 8 bytes" in one.out
    assert one.end(signal.SIGINT) == 0
    assert one.err == f"edged watch: listening to {prefix}/test/#\n"


@PROCESS
def test_a_pipe_gets_every_message_of_every_device_and_nothing_else(mosquitto, prefix, tmp_path, watch):
    say(mosquitto.port, f"{prefix}/porch/availability", "online", retain=True)
    one = watch(written(tmp_path, mosquitto.port, prefix), "--all", "--json")
    one.wait(lambda it: it.out)
    say(mosquitto.port, f"{prefix}/yard/event/cat", b'{"score": 0.5, "deep": [1, {}]}')
    say(mosquitto.port, f"{prefix}/yard/odd", b"\xff\x00{")
    one.wait(lambda it: it.out.count("\n") == 3)
    assert [json.loads(line) for line in one.out.splitlines()] == [
        {"topic": f"{prefix}/porch/availability", "retained": True, "payload": "online"},
        {"topic": f"{prefix}/yard/event/cat", "retained": False, "payload": {"score": 0.5, "deep": [1, {}]}},
        {"topic": f"{prefix}/yard/odd", "retained": False, "payload": "\ufffd\x00{"},
    ]
    assert one.end() == 0


@PROCESS
def test_it_goes_on_when_the_broker_is_back(own_mosquitto, prefix, tmp_path, watch):
    broker = own_mosquitto()
    broker.start()
    one = watch(written(tmp_path, broker.port, prefix))
    one.wait(lambda it: "listening" in it.err)
    broker.stop()
    one.wait(lambda it: "the connection to the broker ended" in it.err)
    broker.start()
    one.wait(lambda it: it.err.count("listening") == 2)
    say(broker.port, f"{prefix}/test/availability", "online")
    one.wait(lambda it: "online" in it.out)
    assert one.end() == 0


@PROCESS
def test_no_broker_is_one_sentence_and_exit_code_1_in_the_end(prefix, tmp_path, watch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        one = watch(written(tmp_path, probe.getsockname()[1], prefix), "--json")
        one.wait(lambda it: it.err)
        assert one.err == "edged watch: the broker cannot be reached: Connection refused; trying again\n"
        assert (one.end(), one.out) == (1, "")


@PROCESS
def test_a_refused_login_is_told_and_tried_again(own_mosquitto, prefix, tmp_path, watch):
    secret = tmp_path / "secret"
    secret.write_text("geheim")
    secret.chmod(0o600)
    broker = own_mosquitto("allow_anonymous false", f"password_file {os.devnull}")
    broker.start()
    one = watch(written(tmp_path, broker.port, prefix, 'username = "anna"\npassword_file = "secret"\n'))
    one.wait(lambda it: it.err)
    assert one.err.startswith("edged watch: the broker refuses the login (")
    assert "geheim" not in one.err
    assert one.end() == 1


@PROCESS
def test_over_tls(own_mosquitto, prefix, tmp_path, watch):
    authority = Authority(tmp_path / "ca")
    certificate, key = authority.sign("broker", "DNS:broker.lan")
    broker = own_mosquitto(f"certfile {certificate}", f"keyfile {key}")
    broker.start()
    tables = f'[mqtt.tls]\nca_file = "{authority.file}"\n'
    one = watch(written(tmp_path, broker.port, prefix, tables))
    one.wait(lambda it: "names another host; set [mqtt.tls] server_name" in it.err)
    assert one.end() == 1
    two = watch(written(tmp_path, broker.port, prefix, f'{tables}server_name = "broker.lan"\n'))
    two.wait(lambda it: "listening" in it.err)
    assert two.end() == 0


@PROCESS
def test_a_configuration_that_cannot_be_used_is_exit_code_78(tmp_path, watch):
    one = watch(tmp_path / "none.toml")
    assert one.process.wait(START_S) == 78
    assert "there is no such file" in one.err


# What a person reads


class Shown:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.now = NOON
        self.screen = Screen("edged", self.lines.append, lambda: self.now)

    def __call__(self, topic: str, payload: bytes | str | dict[str, Any]) -> list[str]:
        """The lines that one message of the device porch makes."""
        before = len(self.lines)
        data = json.dumps(payload).encode() if isinstance(payload, dict) else payload
        self.screen.message(f"edged/porch/{topic}", data.encode() if isinstance(data, str) else data, False)
        return self.lines[before:]


@pytest.fixture
def shown() -> Shown:
    return Shown()


def event(event_type: Any, clock: Any = "synced") -> Event:
    end = event_type == "end"
    return Event(
        id="01JD", seq=7, log="01JC", boot_id="b", event_type=event_type, rule="cat", label="cat", region="full",
        score=0.2 if end else 0.91, peak_score=0.95, time=WallTime(AT, clock), start_time=WallTime(AT - 4.0, clock),
        duration_s=4.0 if end else None, reason="gone" if end else None, frame_age_ms=40, model="m@1",
        t_s=5.0, start_t_s=1.0,
    )  # fmt: skip


def test_events_in_local_time(shown):
    topics = wire.Topics("edged", "porch")
    lines = []
    for one, late in ((event("start"), False), (event("end"), False), (event("start", "unsynced"), True)):
        message = wire.event(topics, one, late=late)
        lines += shown(message.topic.removeprefix("edged/porch/"), message.payload)
    assert lines == [
        "11:59:55  porch  cat: start, score 0.91",
        "11:59:55  porch  cat: end after 4.0 s (gone), peak 0.95",
        "11:59:55  porch  late: cat: start, score 0.91 (the clock was not set)",
    ]
    shown.now = NOON + timedelta(days=1)
    assert shown("event/cat", message.payload)[0].startswith("2026-07-01 11:59:55  porch  cat: start")


def test_what_is_true_now_is_shown_when_it_changes(shown):
    topics = wire.Topics("edged", "porch")
    since = WallTime(AT, "synced")
    on = wire.state(topics, "cat", "ON", 0.9, since, 1, "x").payload
    off = wire.state(topics, "cat", "unknown", None, since, None, None).payload
    running = wire.pipeline(topics, "running", None, since).payload
    assert shown("state/cat", on) == ["11:59:55  porch  cat is ON, score 0.90"]
    assert shown("state/cat", on) == []
    assert shown("state/cat", off) == ["11:59:55  porch  cat is unknown"]
    assert shown("state/cat", b"") == ["12:00:00  porch  state/cat: cleared"]
    assert shown("pipeline", running) == ["11:59:55  porch  pipeline running"]
    assert shown("availability", "offline") == ["12:00:00  porch  offline"]
    assert shown("enabled", "OFF") == ["12:00:00  porch  detection: OFF"]
    assert shown("threshold/cat", "0.7") == ["12:00:00  porch  threshold of cat: 0.7"]
    assert shown("threshold/cat/set", "0.7") == []
    assert shown("response/ping", {"status": "error", "error": "no"}) == ["12:00:00  porch  answer to ping: error (no)"]
    assert shown("something/else", "x") == []


@pytest.mark.parametrize(
    ("runs", "state", "version", "previous", "reason", "text"),
    [
        ("1.0.0", "settled", "1.0.0", None, None, "m 1.0.0 (settled)"),
        ("1.0.0", "preparing", "1.1.0", "1.0.0", None, "m 1.0.0 (1.1.0 preparing)"),
        ("1.1.0", "probation", "1.1.0", "1.0.0", None, "m 1.1.0 (probation, before it 1.0.0)"),
        ("1.0.0", "rolled_back", "1.1.0", "1.0.0", "it is too slow", "m 1.0.0 (1.1.0 rolled back: it is too slow)"),
    ],
)
def test_a_version_that_takes_over_can_be_watched(shown, runs, state, version, previous, reason, text):
    activation = {"state": state, "version": version, "previous": previous, "reason": reason}
    rules = [{"name": "cat"}, {"name": "dog"}]
    info = {"version": "1.0", "model": {"name": "m", "version": runs}, "activation": activation, "rules": rules}
    assert shown("info", info) == [f"12:00:00  porch  edged 1.0, model {text}, rules: cat, dog"]


HEALTH = {
    "fps": 9.81, "invoke_ms": {"p50": 9.7}, "outbox": {"rows": 3, "dropped": 0}, "soc_temp_c": None,
    "undervoltage": False, "clock_synced": True, "problems": [],
}  # fmt: skip


def test_health_is_a_line_a_minute_and_problems_come_at_once(shown):
    assert shown("health", HEALTH) == ["12:00:00  porch  health: 9.8 fps, 9.7 ms an invoke, 3 waiting"]
    trouble = {**HEALTH, "problems": [{"code": "camera_lost", "text": "unplugged", "since": "x"}]}
    assert shown("health", trouble) == ["12:00:00  porch  problem camera_lost: unplugged"]
    assert shown("health", trouble) == []
    assert shown("health", HEALTH) == ["12:00:00  porch  no longer: camera_lost"]
    shown.now += timedelta(seconds=FIGURES_EVERY_S)
    hot = {
        **HEALTH,
        "soc_temp_c": 71.4,
        "undervoltage": True,
        "clock_synced": False,
        "outbox": {"rows": 0, "dropped": 9, "set_aside": 2},
    }
    (line,) = shown("health", hot)
    assert line == (
        "12:00:55  porch  health: 9.8 fps, 9.7 ms an invoke, 0 waiting, 9 dropped, 2 refused for good, 71 °C, "
        "under-voltage, clock not set"
    )


def test_what_others_write_can_do_nothing_to_a_terminal(shown):
    (line,) = shown("pipeline", {"state": "\x1b[2Jrunning\n\ud800", "reason": "x" * 500, "since": None})
    assert line.isprintable()
    assert "\x1b" not in line
    assert len(line) < 300


KINDS = ["availability", "pipeline", "state/cat", "event/cat", "backlog/x", "info", "health", "enabled", "threshold/a"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["state", "since", "score", "time", "problems", "outbox", "code", "x"]), inner
        )
    ),
    max_leaves=10,
)
PAYLOADS = st.binary() | JSON.map(lambda value: json.dumps(value).encode()) | st.just(b"[" * 100_000)


@given(st.lists(st.tuples(st.sampled_from([*KINDS, "", "response/x", "a/b/c"]), PAYLOADS), max_size=5))
def test_no_payload_of_others_ends_it(messages):
    lines: list[str] = []
    screen = Screen("edged", lines.append, lambda: datetime.now(UTC))
    for topic, payload in messages:
        screen.message(f"edged/porch/{topic}", payload, False)
        found = json.loads(json_line(topic, payload, True), parse_constant=math.isnan)
        assert list(found) == ["topic", "retained", "payload"]
    assert all(line.isprintable() for line in lines)
