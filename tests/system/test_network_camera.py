"""`edged run` with a network camera: a real RTSP server on loopback, with a login, that goes dark and goes away."""

import pytest

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
