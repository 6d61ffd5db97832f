"""`edged run` with a network camera: a real RTSP server on loopback, with a login, that goes dark and goes away."""

import pytest

from edged import doctor
from edged.core.service_findings import Unit
from tests.conftest import CI, EMULATED
from tests.daemon import Daemon, Listener, write_config
from tests.fakes import until
from tests.rtsp_server import RtspServer, missing

LOGIN, PASSWORD = "vi@ewer", "gehe:im/der%40Veranda"
RULES = [{"label": "circle"}]


@pytest.fixture
def camera():
    reason = missing() if not EMULATED else "FFmpeg under emulation is slower than its time-outs"
    if reason is not None:
        if CI and not EMULATED:
            pytest.fail(reason)
        pytest.skip(reason)
    server = RtspServer(fps=10, key_interval=10, auth="digest", username=LOGIN, password=PASSWORD)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def codes(listener):
    return [problem["code"] for problem in listener.payloads("test/health")[-1]["problems"]]


def test_a_network_camera_goes_dark_and_away_and_comes_back(tmp_path, mosquitto, prefix, camera):
    (tmp_path / "password").write_text(PASSWORD)
    (tmp_path / "password").chmod(0o600)
    config = write_config(
        tmp_path / "e.toml", camera.url, mosquitto.port, prefix, RULES, username=LOGIN, password_file="password"
    )
    with Listener(mosquitto.host, mosquitto.port, prefix) as listener, Daemon(config, tmp_path / "state") as daemon:
        listener.wait_state("test/pipeline", "running")
        listener.wait_state("test/state/circle", "OFF")
        camera.tell(black=True)
        told = listener.wait_state("test/pipeline", "camera_fault")
        assert "black" in told["reason"]
        listener.wait_state("test/state/circle", "unknown")
        until(lambda: "camera_fault" in codes(listener), 60)
        camera.tell(black=False)
        listener.wait_state("test/pipeline", "running")
        listener.wait_state("test/state/circle", "OFF")
        until(lambda: codes(listener) == [], 60)
        camera.stop()
        told = listener.wait_state("test/pipeline", "camera_lost")
        camera.start()
        listener.wait_state("test/pipeline", "running")
        assert daemon.stop() == 0
        said = [text for _, text, _ in listener.messages]
    journal = daemon.errors.read_text()
    faults = [line for line in journal.splitlines() if "camera fault" in line or "trusted again" in line]
    assert [line.split()[0] for line in faults] == ["WARNING", "INFO"], "once down and once up"
    for secret in (LOGIN, PASSWORD, "gehe", "vi%40ewer"):
        assert secret not in journal
        assert not any(secret in text for text in said)
    assert not any("127.0.0.1" in text or "rtsp:" in text for text in said)


def test_a_login_that_is_refused_is_told_in_words_and_tried_again(tmp_path, mosquitto, prefix, camera):
    (tmp_path / "password").write_text("wrong")
    (tmp_path / "password").chmod(0o600)
    config = write_config(
        tmp_path / "e.toml", camera.url, mosquitto.port, prefix, RULES, username=LOGIN, password_file="password"
    )
    with Listener(mosquitto.host, mosquitto.port, prefix) as listener, Daemon(config, tmp_path / "state") as daemon:
        told = listener.wait_state("test/pipeline", "camera_lost")
        assert "refuses the login" in told["reason"]
        (tmp_path / "password").write_text(PASSWORD)
        listener.wait_state("test/pipeline", "running")
        assert daemon.stop() == 0


def test_the_doctor_looks_through_it(tmp_path, mosquitto, prefix, camera, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    folder = tmp_path / "etc/edged"
    folder.mkdir(parents=True)
    secret = folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    config = write_config(
        folder / "edged.toml", camera.url, mosquitto.port, prefix, RULES, username=LOGIN, password_file="password"
    )

    def found(active):
        def show(name):
            return Unit(name, "loaded", active=active)

        lines = list(doctor.examine(config, tmp_path, show))
        assert not any(word in f"{line.found} {line.advice}" for line in lines for word in (LOGIN, PASSWORD))
        (line,) = [line for line in lines if line.check == "camera"]
        return line.status, line.found

    status, told = found("inactive")
    assert status == "ok"
    assert told.startswith("rtsp://127.0.0.1 delivers 320x240 bgr")
    assert found("active") == ("ok", "rtsp://127.0.0.1 answers and offers video; its stream is in use by the service")
    camera.tell(black=True)
    status, told = found("inactive")
    assert status == "warning"
    assert told.endswith("the picture is black")
    secret.write_text("wrong")
    assert found("inactive") == found("active") == ("problem", "the camera refuses the login")
    camera.stop()
    assert found("inactive")[0] == found("active")[0] == "problem"
