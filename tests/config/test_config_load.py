"""A good file: every default, every value, and what only warns."""

import os
import subprocess
import sys

import pytest

from edged.config import load, resolve
from edged.config.reading import derived_name
from edged.config.values import slug
from edged.core.errors import ConfigError
from edged.core.types import FULL, Box, InputSpec, ModelSpec, Quantization, Region, Rule, TensorSpec
from tests.certificates import Authority

LEAST = '[camera]\nsource = "v4l2:/dev/video0"\n[[rule]]\nlabel = "cat"\n[mqtt]\nhost = "broker"\n'
Q = Quantization(1 / 255, 0)
SPEC = ModelSpec(
    "tiny",
    "1",
    "0" * 64,
    ("cat", "dog", "T-shirt, jersey"),
    {"pet": ("cat", "dog")},
    InputSpec("rgb", "center-crop", (0.0,), (1.0,)),
    TensorSpec((1, 8, 8, 3), "uint8", Q),
    TensorSpec((1, 3), "uint8", Q),
    "none",
    None,
)


def config(tmp_path, text):
    path = tmp_path / "edged.toml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def test_three_keys_are_enough(tmp_path):
    it = config(tmp_path, LEAST)
    assert it.device.name == slug(os.uname().nodename)
    assert (it.device.title, it.model.name, it.model.threads) == (None, "efficientnet-lite0-int8", None)
    assert (it.camera.scheme, str(it.camera.path)) == ("v4l2", "/dev/video0")
    assert (it.camera.width_px, it.camera.height_px, it.camera.fps, it.camera.rotate_deg) == (640, 480, 10.0, 0)
    assert (it.camera.privacy_masks, it.camera.pace, it.camera.at_end) == ((), "realtime", "loop")
    assert (it.mqtt.host, it.mqtt.port, it.mqtt.username, it.mqtt.topic_prefix) == ("broker", 1883, None, "edged")
    assert (it.mqtt.protocol, it.mqtt.keepalive_s, it.password(), it.warnings) == ("5", 30, None, ())
    assert (it.mqtt.commands, it.mqtt.birth_topic, it.mqtt.discovery_prefix, it.mqtt.tls) == (
        *(True, "homeassistant/status", "homeassistant", None),
    )
    assert (it.outbox.path, it.outbox.max_rows, it.outbox.max_bytes) == ("outbox.db", 50_000, 33_554_432)
    assert (it.outbox.max_age_s, it.outbox.keep_delivered_s, it.outbox.drain_per_s) == (604_800, 86_400, 20)
    assert resolve(it, SPEC) == (
        (Region("full", FULL, "center-crop"),),
        (Rule("cat", "Cat", "cat", "full", 0.6, 0.4, 0.5, 3.0, 0.0),),
    )


def test_every_value_arrives(tmp_path):
    it = config(
        tmp_path,
        """
        [device]
        name = "porch-1"
        title = "Vordere Tür"
        [camera]
        source = "file:clips/a@b.mp4"
        width_px = 320
        height_px = 240
        fps = 5
        rotate_deg = 270
        privacy_masks = [[0, 0.0, 0.3, 1], [0.5, 0.5, 1.0, 1.0]]
        pace = "max"
        at_end = "stop"
        [model]
        name = "mine/model.tflite"
        threads = 2
        [[region]]
        name = "unused"
        box = [0, 0, 1, 1]
        [[region]]
        name = "door"
        box = [0.1, 0.2, 0.5, 0.9]
        fit = "stretch"
        [[region]]
        name = "gate"
        box = [0, 0, 0.5, 1]
        [[rule]]
        label = "pet"
        region = "gate"
        [[rule]]
        name = "cat_seen-2"
        label = "cat"
        region = "door"
        score_threshold = 1
        release_threshold = 0
        delay_on_s = 0
        delay_off_s = 86400
        refractory_s = 1.5
        [[rule]]
        label = "T-shirt, jersey"
        title = "Laundry"
        score_threshold = 0.01
        [mqtt]
        host = "fe80::1%eth0"
        port = 8883
        topic_prefix = "home/cameras"
        protocol = "3.1.1"
        keepalive_s = 60
        commands = false
        birth_topic = "ha/birth"
        discovery_prefix = ""
        [outbox]
        path = "/mnt/stick/events.db"
        max_rows = 1
        max_bytes = 65536
        max_age_s = 60
        keep_delivered_s = 0
        drain_per_s = 10000
        """,
    )
    assert (it.device.name, it.device.title) == ("porch-1", "Vordere Tür")
    assert (it.camera.scheme, it.camera.path) == ("file", tmp_path / "clips/a@b.mp4")
    assert (it.camera.width_px, it.camera.height_px, it.camera.fps, it.camera.rotate_deg) == (320, 240, 5.0, 270)
    assert isinstance(it.camera.fps, float)
    assert it.camera.privacy_masks == (Box(0.0, 0.0, 0.3, 1.0), Box(0.5, 0.5, 1.0, 1.0))
    assert (it.camera.pace, it.camera.at_end) == ("max", "stop")
    assert (it.model.name, it.model.threads) == (str(tmp_path / "mine/model.tflite"), 2)
    assert (it.mqtt.host, it.mqtt.port, it.mqtt.topic_prefix) == ("fe80::1%eth0", 8883, "home/cameras")
    assert (it.mqtt.protocol, it.mqtt.keepalive_s) == ("3.1.1", 60)
    assert (it.mqtt.commands, it.mqtt.birth_topic, it.mqtt.discovery_prefix) == (False, "ha/birth", "")
    assert (it.outbox.path, it.outbox.max_rows, it.outbox.max_bytes) == ("/mnt/stick/events.db", 1, 65_536)
    assert (it.outbox.max_age_s, it.outbox.keep_delivered_s, it.outbox.drain_per_s) == (60, 0, 10_000)
    assert [line.split(": ", 2)[1:] for line in it.warnings] == [
        ["region[1]", "no rule looks at region unused, so nothing is done with it"]
    ]
    assert resolve(it, SPEC) == (
        (
            Region("gate", Box(0.0, 0.0, 0.5, 1.0), "center-crop"),
            Region("door", Box(0.1, 0.2, 0.5, 0.9), "stretch"),
            Region("full", FULL, "center-crop"),
        ),
        (
            Rule("gate_pet", "Pet (gate)", "pet", "gate", 0.6, 0.4, 0.5, 3.0, 0.0),
            Rule("cat_seen-2", "Cat seen 2", "cat", "door", 1.0, 0.0, 0.0, 86400.0, 1.5),
            Rule("t-shirt__jersey", "Laundry", "T-shirt, jersey", "full", 0.01, 0.006667, 0.5, 3.0, 0.0),
        ),
    )


def test_every_label_that_the_model_lacks_is_told_with_its_line(tmp_path):
    it = config(tmp_path, LEAST + '[[rule]]\nlabel = "cta"\n[[rule]]\nlabel = "pets"\nname = "p"\n')
    with pytest.raises(ConfigError) as caught:
        resolve(it, SPEC)
    assert caught.value.problems == (
        f"{tmp_path}/edged.toml:8: rule[2].label: model tiny has no label 'cta'; nearest: cat",
        f"{tmp_path}/edged.toml:10: rule[3].label: model tiny has no label 'pets'; nearest: pet",
    )


@pytest.mark.parametrize(
    ("label", "region", "name"),
    [
        ("Persian cat", "full", "persian_cat"),
        ("Größe", "full", "gr__e"),
        ("(tabby)", "door", "door_tabby_"),
        ("?!", "door", ""),
        ("_-x", "full", "x"),
    ],
)
def test_a_name_is_made_from_the_label(label, region, name):
    assert derived_name(label, region) == name


@pytest.mark.parametrize(
    ("host", "name"),
    [("raspberrypi", "raspberrypi"), ("Porch.local", "porch"), ("-É_x y", "x-y"), ("a" * 40, "a" * 32), ("", "")],
)
def test_a_device_name_is_made_from_the_host_name(host, name):
    assert slug(host) == name


def test_a_byte_order_mark_and_windows_lines_are_no_problem(tmp_path):
    path = tmp_path / "edged.toml"
    path.write_bytes(b"\xef\xbb\xbf" + LEAST.replace("\n", "\r\n").encode())
    assert load(path).where("rule", 0, "label") == f"{path}:4"


def test_the_same_words_in_another_file_are_equal_and_nothing_can_be_changed(tmp_path):
    one, other = config(tmp_path, LEAST), None
    (tmp_path / "x").mkdir()
    other = config(tmp_path / "x", "# moved\n\n" + LEAST)
    assert one == other
    assert one.where("mqtt", "host") == f"{tmp_path}/edged.toml:6"
    assert other.where("mqtt", "host") == f"{tmp_path}/x/edged.toml:8"
    assert "edged.toml" not in repr(one)
    with pytest.raises(AttributeError):
        one.device = None
    with pytest.raises(ValueError, match="frozen"):
        one.device.name = "x"


def with_login(tmp_path, file='password_file = "secret"'):
    return config(tmp_path, LEAST + f'username = "anna"\n{file}\n')


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_password_is_read_beside_the_file_and_never_shown(tmp_path, end):
    secret = tmp_path / "secret"
    secret.write_bytes(f"ge heim{end}".encode())
    secret.chmod(0o600)
    it = with_login(tmp_path)
    assert it.password() == "ge heim"
    assert it.warnings == ()
    assert "ge heim" not in repr(it)
    secret.write_text("new")
    assert it.password() == "new"
    secret.unlink()
    with pytest.raises(ConfigError, match=r"edged\.toml:8: mqtt\.password_file: .* cannot be read"):
        it.password()


@pytest.mark.parametrize(
    ("content", "fragment"),
    [(b"", "is empty"), (b"\n", "is empty"), (b"a\nb\n", "more than one line"), (b"\xff", "no UTF-8")],
)
def test_a_bad_password_file_is_a_problem_that_does_not_repeat_it(tmp_path, content, fragment):
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(ConfigError, match=fragment) as caught:
        with_login(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/edged.toml:8: mqtt.password_file: ")


def test_a_password_that_everybody_can_read_is_a_warning(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o644)
    (warning,) = with_login(tmp_path).warnings
    assert warning.startswith(f"{tmp_path}/edged.toml:8: mqtt.password_file: every user")


def test_the_systemd_credential_serves_where_there_is_a_login_and_no_file(tmp_path, monkeypatch):
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    assert with_login(tmp_path, "").password() is None
    (folder / "mqtt-password").write_text("from systemd\n")
    assert with_login(tmp_path, "").password() == "from systemd"
    assert config(tmp_path, LEAST).password() is None
    (tmp_path / "secret").write_text("from the file")
    assert with_login(tmp_path).password() == "from the file"
    (folder / "mqtt-password").write_text("")
    with pytest.raises(ConfigError, match="is empty"):
        with_login(tmp_path, "")
    (folder / "mqtt-password").write_text("\n")
    assert with_login(tmp_path, "").password() is None


def test_the_file_that_systemd_hands_over_may_be_named_too(tmp_path, monkeypatch):
    """Root, who checks, could read it; the service, which runs, gets it under another path."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "mqtt-password").write_text("from systemd\n")
    roots = 'password_file = "/etc/edged/credentials/mqtt-password"'
    assert with_login(tmp_path, roots).password() == "from systemd"
    with pytest.raises(ConfigError, match="cannot be read"):
        with_login(tmp_path, roots.replace("mqtt-", "other-"))


def test_by_hand_a_password_is_that_of_the_service_that_runs_the_file(tmp_path, monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    lent = {"mqtt-password": tmp_path / "second-password"}
    lent["mqtt-password"].write_text("of the second\n")
    roots = 'password_file = "/etc/edged/credentials/mqtt-password"'
    for words in ("", roots):
        (tmp_path / "edged.toml").write_text(f'{LEAST}username = "anna"\n{words}\n')
        it = load(tmp_path / "edged.toml", lent)
        assert (it.password(), it.password_path()) == ("of the second", lent["mqtt-password"])
    with_login(tmp_path, "")
    assert load(tmp_path / "edged.toml", {}).password() is None
    (tmp_path / "mqtt-password").write_text("from systemd\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert load(tmp_path / "edged.toml", lent).password() == "from systemd"


def test_reading_a_file_loads_no_camera_model_or_network_library():
    code = "import sys, edged.config, edged.modelstore; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"cv2", "paho", "ai_edge_litert", "tflite_runtime", "sqlite3"} & set(loaded)


@pytest.mark.parametrize(
    ("words", "port", "strict"),
    [
        ("[mqtt.tls]\n", 8883, True),
        ("tls = { strict = false }\n", 8883, False),
        ("port = 1884\n[mqtt.tls]\nserver_name = 'broker.lan'\n", 1884, True),
    ],
)
def test_the_table_alone_switches_tls_on(tmp_path, words, port, strict):
    it = config(tmp_path, LEAST + words)
    assert it.mqtt.tls is not None
    assert (it.mqtt.port, it.mqtt.tls.strict) == (port, strict)


def test_certificates_are_beside_the_file_and_a_key_for_everybody_is_a_warning(tmp_path):
    authority = Authority(tmp_path / "own")
    certificate, key = authority.sign("device")
    words = "[mqtt.tls]\nca_file = 'own/ca.pem'\ncert_file = 'own/device.pem'\nkey_file = 'own/device.key'\n"
    it = config(tmp_path, LEAST + words)
    assert (it.mqtt.tls.ca_file, it.mqtt.tls.cert_file) == (str(authority.file), str(certificate))
    assert (it.mqtt.tls.key_file, it.warnings) == (str(key), ())
    key.chmod(0o644)
    (warning,) = config(tmp_path, LEAST + words).warnings
    assert warning.startswith(f"{tmp_path}/edged.toml:10: mqtt.tls.key_file: every user")


@pytest.mark.parametrize(
    "words", ["discovery_prefix = ''\ntopic_prefix = 'homeassistant'", "topic_prefix = 'homeassis'"]
)
def test_a_topic_prefix_outside_of_discovery_is_fine(tmp_path, words):
    assert config(tmp_path, f"{LEAST}{words}\n").mqtt.topic_prefix.startswith("homeassis")


def network(tmp_path, file='password_file = "secret"'):
    least = LEAST.replace('source = "v4l2:/dev/video0"', f'source = "rtsp://cam.local/1"\nusername = "viewer"\n{file}')
    assert "rtsp" in least
    return config(tmp_path, least)


def test_the_cameras_password_is_read_like_the_brokers(tmp_path, monkeypatch):
    (tmp_path / "secret").write_text("ge heim\n")
    (tmp_path / "secret").chmod(0o600)
    it = network(tmp_path)
    assert (it.camera.scheme, it.camera_password(), it.password()) == ("rtsp", "ge heim", None)
    assert "ge heim" not in repr(it)
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    assert network(tmp_path, "").camera_password() is None
    (folder / "camera-password").write_text("from systemd\n")
    assert network(tmp_path, "").camera_password() == "from systemd"
    (folder / "camera-password").write_text("")
    with pytest.raises(ConfigError, match=r"camera\.password_file: .* is empty"):
        network(tmp_path, "")


def test_a_csi_camera_is_a_number(tmp_path):
    it = config(tmp_path, LEAST.replace("v4l2:/dev/video0", "picamera2:1"))
    assert (it.camera.scheme, it.camera.index) == ("picamera2", 1)


def test_the_gate_is_on_unless_told(tmp_path):
    it = config(tmp_path, LEAST)
    assert (it.motion.enabled, it.motion.idle_fps) == (True, 0.5)
