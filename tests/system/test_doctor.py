"""`edged doctor`: over real brokers, clips, and boards whose /proc, /sys, /dev and /etc are files of the test."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import paho.mqtt.publish
import pytest

from edged import doctor
from edged.cli import main
from edged.config import load
from edged.core.findings import CHECKS, Finding, ok
from edged.core.service_findings import Unit
from edged.doctor.examination import within
from edged.modelstore import bundled, install
from tests.certificates import Authority
from tests.conftest import EMULATED
from tests.daemon import edged, write_config
from tests.edges.test_processes import HOLDER
from tests.mosquitto import Mosquitto
from tests.outboxes import sqlite, start
from tests.scenes import flat, write_picture

PROCESS = pytest.mark.skipif(EMULATED, reason="starts processes, each of which takes seconds under emulation")
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
PASSWORD = "correct horse battery staple"
RULE = {"label": "circle"}
RUNNING = Unit("edged.service", "loaded", active="active", enabled="enabled", main_pid=4_000_000, core_limit_bytes=0)


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return write_picture(tmp_path / "a.png", flat(90))


@pytest.fixture
def config(tmp_path: Path, picture: Path, mosquitto: Mosquitto, prefix: str) -> Path:
    """A device whose every part is sound."""
    return write_config(tmp_path / "e.toml", f"file:{picture}", mosquitto.port, prefix, [RULE])


def add(config: Path, *lines: str) -> Path:
    """More lines below [mqtt]."""
    config.write_text("\n".join((config.read_text(encoding="utf-8"), *lines, "")), encoding="utf-8")
    return config


def found(config: Path, **board: Any) -> dict[str, Finding]:
    """The worst finding of each check: problems before warnings before the rest."""
    order = ("problem", "warning", "not available", "ok")
    lines = sorted(doctor.examine(config, **board), key=lambda one: -order.index(one.status))
    return {one.check: one for one in lines}


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as ended:
        main(["doctor", *map(str, words)])
    printed = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    assert PASSWORD not in printed.out + printed.err
    return ended.value.code, printed.out, printed.err


@PROCESS
def test_a_sound_device_as_a_process(config: Path, tmp_path: Path) -> None:
    done = edged("doctor", "--config", config, "--json", state=tmp_path / "state")
    table = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout
    assert done.stderr == ""
    schema = json.loads((files("edged") / "schema" / "doctor.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(table)
    assert table["sound"] is True
    assert [one["check"] for one in table["findings"]] == list(CHECKS)
    statuses = {one["check"]: one["status"] for one in table["findings"]}
    sound = (
        "configuration",
        "model",
        "rules",
        "camera",
        "broker",
        "publishing",
        "disk",
        "state",
        "outbox",
        "instances",
    )
    assert {statuses[check] for check in sound} == {"ok"}
    assert not (tmp_path / "state").exists(), "nothing is written"


def test_a_table_for_a_person_fits_a_serial_console(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--config", config)
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert out.isascii()
    assert max(len(line) for line in lines if "/" not in line) < 80
    heads = [line for line in lines[:-1] if not line.startswith(" ")]
    assert [check for check in CHECKS if any(line.startswith(f"{check} ") for line in heads)] == list(CHECKS)
    assert len(heads) == len(CHECKS)
    assert "problem" in lines[-1] or "warning" in lines[-1]


def test_without_a_configuration_the_board_is_looked_at_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "--config", tmp_path / "none.toml", "--json")
    lines = {one["check"]: one for one in json.loads(out)["findings"]}
    assert code == 1
    assert list(lines) == list(CHECKS)
    assert lines["configuration"]["status"] == "problem"
    assert "there is no such file" in lines["configuration"]["found"]
    assert lines["camera"]["found"] == lines["instances"]["found"] == "not looked at without a configuration"
    assert lines["disk"]["status"] == "ok"


@pytest.mark.timeout(120)
def test_a_pipe_for_a_configuration_is_a_line_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    line = found(tmp_path / "pipe.toml")["configuration"]
    assert line.status == "problem"
    assert line.found.endswith("pipe.toml: is no file but a pipe, a socket or a device")
    assert line.advice == "expected a configuration file, such as edged.toml"


def test_every_problem_of_a_configuration_is_a_line(config: Path) -> None:
    add(config, "prot = 1", "keepalive_s = 1")
    lines = [one for one in doctor.examine(config) if one.check == "configuration"]
    assert [one.status for one in lines] == ["problem", "problem"]
    assert all(str(config) in one.found and one.advice for one in lines)


def test_a_rule_that_the_model_cannot_serve(tmp_path: Path, picture: Path, mosquitto: Mosquitto, prefix: str) -> None:
    rules = [{"label": "circel"}, {"label": "hexagon"}]
    config = write_config(tmp_path / "e.toml", f"file:{picture}", mosquitto.port, prefix, rules)
    lines = [one for one in doctor.examine(config) if one.check == "rules"]
    assert [one.status for one in lines] == ["problem", "problem"]
    assert "circle" in lines[0].found + lines[0].advice


def test_a_model_that_is_not_there(config: Path) -> None:
    text = config.read_text(encoding="utf-8").replace("shapes-int8", "shapes-int9")
    config.write_text(text, encoding="utf-8")
    lines = found(config)
    assert lines["model"].status == "problem"
    assert "shapes-int8" in lines["model"].found + lines["model"].advice
    assert lines["speed"].status == lines["rules"].status == "not available"


# The broker


def test_a_model_that_is_not_signed(config: Path, tmp_path: Path) -> None:
    install(bundled() / "shapes-int8", tmp_path / "state" / "models")
    text = config.read_text(encoding="utf-8")
    assert text.count("[model]\n") == 1
    for policy, status in (("off", "ok"), ("warn", "warning"), ("require", "problem")):
        keys = f'trusted_keys = ["fleet:{"A" * 43}="]\npolicy = "{policy}"\n'
        config.write_text(text.replace("[model]\n", f"[model]\n{keys}"), encoding="utf-8")
        model = found(config)["model"]
        assert model.status == status
        assert ("is not signed" in model.found) == (policy != "off")


def test_a_broker_that_is_not_there(config: Path, own_mosquitto: Callable[..., Mosquitto], prefix: str) -> None:
    port = own_mosquitto().port
    write_config(config, f"file:{config.with_name('a.png')}", port, prefix, [RULE])
    lines = found(config)
    assert lines["broker"].status == "problem"
    assert "refused" in lines["broker"].found
    assert "host and port" in lines["broker"].advice
    assert lines["publishing"].status == lines["device"].status == "not available"


def test_a_broker_whose_name_does_not_resolve(config: Path) -> None:
    text = config.read_text(encoding="utf-8").replace('"127.0.0.1"', '"no-such-broker.invalid"')
    config.write_text(text, encoding="utf-8")
    line = found(config)["broker"]
    assert line.status == "problem"
    assert "no-such-broker.invalid does not resolve" in line.found


@pytest.fixture
def guarded(tmp_path: Path, own_mosquitto: Callable[..., Mosquitto]) -> Mosquitto:
    """A broker with one login, porch, and an access list."""
    passwords, rights = tmp_path / "passwords", tmp_path / "acl"
    passwords.write_text(f"porch:{PASSWORD}\n", encoding="utf-8")
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True, timeout=60)
    rights.write_text("user porch\ntopic readwrite allowed/#\ntopic read read-only/#\n", encoding="utf-8")
    broker = own_mosquitto("allow_anonymous false", f"password_file {passwords}", f"acl_file {rights}")
    broker.start()
    return broker


@pytest.mark.parametrize(
    ("prefix", "password", "login", "publishing"),
    [
        ("allowed", PASSWORD, "ok", "ok"),
        ("read-only", PASSWORD, "ok", "problem"),
        ("allowed", f"not {PASSWORD}", "problem", "not available"),
    ],
)
def test_a_login_and_its_rights(
    tmp_path: Path,
    picture: Path,
    guarded: Mosquitto,
    capsys: pytest.CaptureFixture[str],
    prefix: str,
    password: str,
    login: str,
    publishing: str,
) -> None:
    secret = tmp_path / "password"
    secret.write_text(password, encoding="utf-8")
    secret.chmod(0o600)
    config = write_config(tmp_path / "e.toml", f"file:{picture}", guarded.port, prefix, [RULE])
    add(config, 'username = "porch"', f'password_file = "{secret}"')
    code, out, _ = run(capsys, "--config", config, "--json")
    lines = {one["check"]: one for one in json.loads(out)["findings"]}
    assert (lines["broker"]["status"], lines["publishing"]["status"]) == (login, publishing)
    assert lines["secrets"]["status"] == "ok"
    assert code == ("problem" in (login, publishing))
    if login == "problem":
        assert "username and the password" in lines["broker"]["advice"]
    if publishing == "problem":
        assert "read-only/test/#" in lines["publishing"]["advice"]


def test_a_login_whose_password_is_the_services_alone(config: Path, guarded: Mosquitto) -> None:
    write_config(config, f"file:{config.with_name('a.png')}", guarded.port, "allowed", [RULE])
    line = found(add(config, 'username = "porch"'))["broker"]
    assert line.status == "not available"
    assert "sudo" in line.advice


def test_with_mqtt_3_nobody_is_told_what_is_refused(config: Path) -> None:
    lines = found(add(config, 'protocol = "3.1.1"'))
    assert lines["broker"].status == "ok"
    assert lines["publishing"].status == "not available"


def test_a_certificate_of_another_authority(
    config: Path, tmp_path: Path, own_mosquitto: Callable[..., Mosquitto]
) -> None:
    own, stranger = Authority(tmp_path / "own"), Authority(tmp_path / "stranger")
    certificate, key = own.sign("broker", "IP:127.0.0.1")
    broker = own_mosquitto(f"certfile {certificate}", f"keyfile {key}")
    broker.start()
    for authority, status in ((own, "ok"), (stranger, "problem")):
        write_config(config, f"file:{config.with_name('a.png')}", broker.port, "tls", [RULE])
        line = found(add(config, "[mqtt.tls]", f'ca_file = "{authority.file}"'))["broker"]
        assert line.status == status
        assert ("with TLS" if status == "ok" else "not trusted") in line.found


def test_nothing_stays_on_the_broker(config: Path, mosquitto: Mosquitto, prefix: str) -> None:
    from tests.system.test_forget import retained

    topic = f"{prefix}/test/availability"
    paho.mqtt.publish.single(topic, b"online", qos=1, retain=True, hostname="127.0.0.1", port=mosquitto.port)
    assert found(config)["device"].status == "warning"
    assert retained(mosquitto.port, f"{prefix}/#") == {topic}


@pytest.mark.parametrize(
    ("said", "info", "expected", "word"),
    [
        ({"state": "running", "reason": None}, {}, "ok", "online, running"),
        ({"state": "running"}, {"last_exit": {"code": 0, "reason": "stopped"}}, "ok", "online, running"),
        (
            {"state": "running"},
            {"last_exit": {"code": None, "reason": "killed"}},
            "ok",
            "the run before ended so: killed",
        ),
        ({"state": "camera_lost", "reason": "no picture"}, {}, "warning", "camera_lost: no picture"),
        ({"state": "running", "reason": None}, {"board": "0123456789abcdef"}, "problem", "another board"),
        ([], None, "warning", "unknown"),
    ],
)
def test_what_the_broker_holds_of_the_device(
    config: Path, mosquitto: Mosquitto, prefix: str, said: Any, info: Any, expected: str, word: str
) -> None:
    messages = [("availability", b"online"), ("pipeline", json.dumps(said).encode())]
    if info is not None:
        messages.append(("info", json.dumps(info).encode()))
    paho.mqtt.publish.multiple(
        [
            {"topic": f"{prefix}/test/{name}", "payload": payload, "qos": 1, "retain": True}
            for name, payload in messages
        ],
        hostname="127.0.0.1",
        port=mosquitto.port,
    )
    line = found(config)["device"]
    assert line.status == expected
    assert word in line.found


# The camera


def test_a_camera_that_is_not_there(config: Path, mosquitto: Mosquitto, prefix: str) -> None:
    write_config(config, f"v4l2:{config.with_name('video0')}", mosquitto.port, prefix, [RULE])
    line = found(config)["camera"]
    assert (line.status, line.found) == ("problem", "there is no camera")
    assert "edged cameras" in line.advice


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A device that another program has."""
    device = tmp_path / "video0"
    device.write_bytes(b"")
    command = [sys.executable, "-c", HOLDER, str(device)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        yield device, holder.pid
        holder.kill()


def test_a_camera_that_another_program_has(
    config: Path, held: tuple[Path, int], mosquitto: Mosquitto, prefix: str
) -> None:
    device, pid = held
    write_config(config, f"v4l2:{device}", mosquitto.port, prefix, [RULE])
    line = found(config)["camera"]
    assert line.status == "problem"
    assert f"process {pid}" in line.found


def test_a_network_camera_that_nobody_answers_for(config: Path, own_mosquitto: Any, prefix: str) -> None:
    port = own_mosquitto().port
    write_config(config, f"rtsp://127.0.0.1:{port}/secret-path", port, prefix, [RULE])
    line = found(config)["camera"]
    assert line.status == "problem"
    assert "RTSP" in line.found
    assert "secret-path" not in line.found + line.advice


@pytest.mark.skipif(find_spec("picamera2") is not None, reason="this machine has picamera2, and perhaps a CSI camera")
def test_a_csi_camera_where_there_can_be_none(tmp_path: Path, mosquitto: Mosquitto, prefix: str) -> None:
    config = write_config(tmp_path / "e.toml", "picamera2:0", mosquitto.port, prefix, [RULE])
    lines = found(config, root=tmp_path / "board")
    assert lines["camera"].status == lines["csi"].status == "problem"
    assert "python3-picamera2" in lines["camera"].found + lines["camera"].advice
    assert "Raspberry Pi OS" in lines["csi"].advice


# The board, its files and its services


class Board:
    """A board of files, with services that a test makes up."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.units: dict[str, Unit] = {}

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def process(self, pid: int, line: str, unit: str, *opened: Path) -> None:
        folder = f"proc/{pid}"
        self.write(f"{folder}/comm", "python3\n")
        self.write(f"{folder}/cmdline", line.replace(" ", "\0") + "\0")
        self.write(f"{folder}/cgroup", f"0::/system.slice/{unit}\n")
        (self.root / folder / "fd").mkdir()
        for number, path in enumerate(opened):
            (self.root / folder / f"fd/{number}").symlink_to(path)

    def show(self, name: str) -> Unit | None:
        return self.units.get(name, Unit(name, "not-found"))

    def found(self, config: Path) -> dict[str, Finding]:
        return found(config, root=self.root, show=self.show)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path / "board")


@pytest.fixture
def installed(board: Board, picture: Path, mosquitto: Mosquitto, prefix: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration in the board's /etc/edged, which its service runs."""
    monkeypatch.delenv("STATE_DIRECTORY")
    board.units["edged.service"] = RUNNING
    board.write("var/lib/edged/test/settings.json", "{}")
    config = board.write("etc/edged/edged.toml", "")
    return write_config(config, f"file:{picture}", mosquitto.port, prefix, [RULE])


def test_a_board_with_nothing_to_read(board: Board, config: Path) -> None:
    lines = board.found(config)
    for check in ("csi", "power", "temperature", "memory", "service", "network lock"):
        assert lines[check].status == "not available", check
    assert "no DMA heaps" in lines["csi"].found


def test_a_hot_board_with_a_weak_supply(board: Board, config: Path) -> None:
    board.write("sys/class/thermal/thermal_zone0/temp", "84000\n")
    board.write("sys/class/hwmon/hwmon0/name", "rpi_volt\n")
    board.write("sys/class/hwmon/hwmon0/in0_lcrit_alarm", "1\n")
    lines = board.found(config)
    assert lines["temperature"].status == lines["power"].status == "problem"
    assert lines["temperature"].found.startswith("84 C")


def test_a_limit_that_does_not_bind(board: Board, installed: Path) -> None:
    board.units["edged.service"] = Unit("edged.service", "loaded", active="active", memory_max_bytes=450_000_000)
    board.write("proc/meminfo", "MemTotal: 425984 kB\nMemAvailable: 212992 kB\n")
    board.write("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n")
    line = board.found(installed)["memory"]
    assert line.status == "warning"
    assert "450 MB" in line.found
    assert "cgroup_enable=memory" in line.advice


def test_the_service_has_the_camera(board: Board, installed: Path, mosquitto: Mosquitto, prefix: str) -> None:
    device = board.write("dev/video0", "")
    write_config(installed, f"v4l2:{device}", mosquitto.port, prefix, [RULE])
    board.process(4_000_000, "/usr/bin/edged run", "edged.service", device)
    assert board.found(installed)["camera"] == ok("camera", "in use by the service")
    board.process(4_000_001, "motion", "motion.service", device)
    line = board.found(installed)["camera"]
    assert line.status == "problem"
    assert line.found == "in use by motion.service (process 4000001)"


def test_what_the_service_cannot_see(
    board: Board, installed: Path, tmp_path: Path, mosquitto: Mosquitto, prefix: str
) -> None:
    """Root sees all of it, so nothing else of the table or of `edged check` would tell."""
    home = tmp_path / "home"
    hiding = replace(RUNNING, hidden=("/nowhere", str(home)))
    clips, secret, model = home / "clips", home / "password", home / "shapes"
    clips.mkdir(parents=True)
    write_picture(clips / "a.png", flat(90))
    secret.write_text(PASSWORD)
    model.symlink_to(bundled() / "shapes-int8")
    link = tmp_path / "link"
    link.symlink_to(clips)
    for model_name, source in ((model, clips), (model / "model.tflite", link)):
        write_config(installed, f"file:{source}", mosquitto.port, prefix, [RULE])
        text = re.sub('(?m)^name = "shapes-int8"', f"name = {json.dumps(str(model_name))}", installed.read_text())
        installed.write_text(
            f'{text}\nusername = "x"\npassword_file = "{secret}"\n[outbox]\npath = "{home}/outbox.db"\n'
        )
        board.units["edged.service"] = hiding
        lines = doctor.hidden(load(installed), board.root, board.show)
        keys = ("model.name", "camera.source", "outbox.path", "mqtt.password_file")
        assert [line.split(": ")[1] for line in lines] == list(keys)
        assert all(f"leads into {home}, which is hidden from edged.service by its sandbox; " in line for line in lines)
        assert lines[0].endswith(f"; sudo edged model add {model}, and give its name alone")
        assert all(re.match(rf"{re.escape(str(installed))}:\d+: ", line) for line in lines)
        told = [one for one in doctor.examine(installed, board.root, board.show) if one.check == "configuration"]
        assert [(one.status, f"{one.found}; {one.advice}") for one in told[1:]] == [("problem", line) for line in lines]
        for unit in (RUNNING, replace(hiding, load="not-found")):
            board.units["edged.service"] = unit
            assert doctor.hidden(load(installed), board.root, board.show) == []
    board.units["edged.service"] = hiding
    by_hand = installed.rename(tmp_path / "e.toml")
    assert doctor.hidden(load(by_hand), board.root, board.show) == []


def test_a_service_that_gave_up(board: Board, installed: Path) -> None:
    board.units["edged.service"] = Unit("edged.service", "loaded", active="failed", result="exit-code", exit_status=78)
    line = board.found(installed)["service"]
    assert line.status == "problem"
    assert f"edged check --config {installed}" in line.advice


@pytest.mark.parametrize(
    ("allow", "expected"), [(("127.0.0.0/8",), "ok"), (("192.168.1.5/32",), "problem"), ((), "problem")]
)
def test_a_lock_that_shuts_the_broker_out(board: Board, installed: Path, allow: Sequence[str], expected: str) -> None:
    board.units["edged.service"] = Unit(
        "edged.service", "loaded", active="active", allow=tuple(allow), deny=("::/0", "0.0.0.0/0")
    )
    line = board.found(installed)["network lock"]
    assert line.status == expected
    assert "127.0.0.1" in line.found


def test_two_instances_of_one_name(
    board: Board, installed: Path, mosquitto: Mosquitto, picture: Path, prefix: str
) -> None:
    other = board.write("etc/edged/edged@porch.toml", "")
    write_config(other, f"file:{picture}", mosquitto.port, "elsewhere", [RULE])
    assert board.found(installed)["instances"].status == "ok", "nothing runs it"
    board.units["edged@porch.service"] = Unit("edged@porch.service", "loaded", enabled="enabled")
    line = board.found(installed)["instances"]
    assert line.status == "problem"
    assert line.found == "edged@porch.service uses the state folder test as well"
    write_config(other, f"file:{picture}", mosquitto.port, prefix, [RULE])
    line = board.found(installed)["instances"]
    assert line.found.startswith("edged@porch.service uses the device name test at the same broker and the state")


def test_two_instances_on_one_camera(board: Board, tmp_path: Path, mosquitto: Mosquitto, prefix: str) -> None:
    device = board.write("dev/video0", "")
    link = device.with_name("by-id")
    link.symlink_to(device)
    first = write_config(tmp_path / "a.toml", f"v4l2:{device}", mosquitto.port, prefix, [RULE])
    second = write_config(tmp_path / "b.toml", f"v4l2:{link}", mosquitto.port, prefix, [RULE])
    second.write_text(second.read_text(encoding="utf-8").replace('"test"', '"other"'), encoding="utf-8")
    board.process(4_000_000, f"/usr/bin/edged run --config {second}", "")
    line = board.found(first)["instances"]
    assert line.status == "problem"
    assert line.found == f"process 4000000 uses the camera {device} as well"


def test_one_configuration_that_runs_twice(board: Board, config: Path) -> None:
    board.process(4_000_000, f"/usr/bin/edged run --config {config}", "")
    assert board.found(config)["instances"].status == "ok"
    board.process(4_000_001, f"/usr/bin/python3 -m edged run --config={config}", "")
    assert "more than once" in board.found(config)["instances"].found


@AS_ROOT
def test_state_that_the_service_cannot_replace(board: Board, installed: Path) -> None:
    folder = board.root / "var/lib/edged/test"
    assert board.found(installed)["state"].status == "ok"
    os.chown(folder, 65534, 65534)
    line = board.found(installed)["state"]
    assert line.status == "problem"
    assert "settings.json belongs to somebody else" in line.found
    assert line.advice.endswith(f": {folder}")


def test_what_waits_in_the_outbox(config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "state/test"
    folder.mkdir(parents=True)
    store = sqlite(folder / "outbox.db", max_rows=2)
    store.append([start(), start(name="dog")])
    store.close()
    assert found(config)["outbox"] == ok("outbox", "2 events wait for the broker")
    store = sqlite(folder / "outbox.db", max_rows=2)
    store.append([start(name="owl")])
    store.close()
    line = found(config)["outbox"]
    assert line.status == "warning"
    assert "1 were pushed out" in line.found
    (folder / "outbox.corrupt-20261129T120000Z").write_bytes(b"")
    assert "put aside as outbox.corrupt-20261129T120000Z" in found(config)["outbox"].found
    (folder / "outbox.corrupt-20261129T120000Z").unlink()
    (folder / "outbox.db").write_bytes(b"rubbish" * 1000)
    assert found(config)["outbox"].status == "problem"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may go into, as none of pytest's is."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name)


def test_secrets_that_everybody_can_read(config: Path, open_folder: Path) -> None:
    secret = open_folder / "password"
    secret.write_text(PASSWORD, encoding="utf-8")
    add(config, 'username = "porch"', f'password_file = "{secret}"')
    for mode, expected in ((0o600, "ok"), (0o640, "ok"), (0o644, "problem")):
        secret.chmod(mode)
        line = found(config)["secrets"]
        assert line.status == expected, oct(mode)
        assert PASSWORD not in line.found + line.advice


@pytest.mark.parametrize("unit", ["edged", "edged@second"])
def test_a_credential_of_the_service_is_lent(
    board: Board, installed: Path, guarded: Mosquitto, monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    """Each instance has its own, also where the file has another name than the credential."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    for name in ("edged", "edged@second"):
        text = PASSWORD if name == unit else "of another login"
        secret = board.write(f"etc/edged/credentials/{name}-of-mqtt", text)
        secret.chmod(0o600)
        board.units[f"{name}.service"] = Unit(
            f"{name}.service", "loaded", active="active", credentials={"mqtt-password": str(secret)}
        )
    board.write("etc/edged/credentials/mqtt-password", "of another login")
    configuration = installed.with_name(f"{unit}.toml")
    write_config(configuration, f"file:{installed}", guarded.port, "allowed", [RULE])
    add(configuration, 'username = "porch"')
    lines = board.found(configuration)
    assert lines["broker"].status == "ok", lines["broker"]
    assert str(board.root / f"etc/edged/credentials/{unit}-of-mqtt") in lines["secrets"].found


# The doctor itself


def test_a_check_that_hangs_is_a_finding_and_holds_nobody_up() -> None:
    release = threading.Event()

    def hang() -> Iterator[Finding]:
        yield ok("camera", "so far")
        release.wait(60.0)

    try:
        first, second = within(0.05, "camera", hang)
    finally:
        release.set()
    assert first == ok("camera", "so far")
    assert second.status == "problem"
    assert "no answer within 0.05 s" in second.found


def test_a_check_that_stumbles_does_not_keep_the_others_back() -> None:
    def stumble() -> Finding:
        raise KeyError(PASSWORD)

    (line,) = within(10.0, "camera", stumble)
    assert line.status == "problem"
    assert "KeyError" in line.found
    assert PASSWORD not in line.found + line.advice
