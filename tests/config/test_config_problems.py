"""Every bad file gives sentences: the line, the key, what is wrong, what is allowed. All of them in one go."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.config import Config, load
from edged.core.errors import ConfigError
from tests.certificates import Authority, openssl

GOOD = {
    "device": 'name = "porch"',
    "camera": 'source = "v4l2:/dev/video0"',
    "model": "",
    "motion": "",
    "region": 'name = "door"\nbox = [0.1, 0.2, 0.5, 0.9]',
    "rule": 'label = "cat"\nregion = "door"',
    "mqtt": 'host = "broker.local"',
}


def written(**tables):
    """A good file with some tables in other words; the words of a changed table begin on line 2."""
    changed = tables | {name: text for name, text in GOOD.items() if name not in tables}
    headers = {name: f"[[{name}]]" if name in ("region", "rule") else f"[{name}]" for name in GOOD}
    return "".join(f"{headers[name]}\n{text}\n" for name, text in changed.items())


def problems(tmp_path, text):
    path = tmp_path / "edged.toml"
    path.write_text(text, encoding="utf-8") if isinstance(text, str) else path.write_bytes(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    return [line.removeprefix(f"{path}:") for line in caught.value.problems]


RTSP = 'source = "rtsp://anna:geheim@cam.local/1"'
NETWORK = 'source = "rtsp://cam.local:8554/1?stream=2"'
V4L2 = 'source = "v4l2:/dev/video0"'
LABEL = 'label = "cat"'
BOX = 'name = "door"\nbox = '
HOST = 'host = "broker.local"'
BAD = [
    # table, its words, the line, the key, fragments of the sentence
    ("camera", f"{V4L2}\nfsp = 3", 3, "camera.fsp", "unknown key", "did you mean fps?"),
    ("camera", f"{V4L2}\nhost = 'x'", 3, "camera.host", "unknown key", "belongs under [mqtt]"),
    ("camera", f"{V4L2}\nusername = 'x'", 3, "camera.username", "rtsp: and rtsps: cameras only"),
    ("camera", f"{V4L2}\npassword_file = 'x'", 3, "camera.password_file", "rtsp: and rtsps: cameras only"),
    ("camera", f"{V4L2}\nkey_frames_only = true", 3, "camera.key_frames_only", "rtsp: and rtsps: cameras only"),
    ("camera", f"{NETWORK}\npassword_file = 'x'", 3, "camera.password_file", "username beside it"),
    ("camera", f"{NETWORK}\nusername = 'a'\npassword_file = 'x'", 4, "camera.password_file", "cannot be read"),
    ("camera", f"{NETWORK}\nkey_frames_only = 1", 3, "camera.key_frames_only", "found 1", "true or false"),
    ("camera", f"{NETWORK}\npace = 'max'", 3, "camera.pace", "file: cameras only"),
    ("camera", f"{V4L2}\n'a: b' = 3", 3, r"camera.'a\x3a b'", "allowed in [camera]: source, width_px"),
    ("camera", "", 1, "camera.source", "is missing", "v4l2:PATH"),
    ("camera", "source = 3", 2, "camera.source", "found 3", "v4l2:PATH"),
    ("camera", RTSP, 2, "camera.source", "login"),
    ("camera", 'source = "http://anna:geheim@cam.local/1"', 2, "camera.source", "login"),
    ("camera", 'source = "file:http://anna:geheim@cam.local/1"', 2, "camera.source", "login"),
    ("camera", 'source = "anna:geheim@cam.local"', 2, "camera.source", "login"),
    ("camera", 'source = "rtsp://anna:ge/heim@cam.local/1"', 2, "camera.source", "login"),
    ("camera", 'source = "rtsp:cam.local/1"', 2, "camera.source", "no address of a camera", "rtsp://camera.local"),
    ("camera", 'source = "rtsp:///1"', 2, "camera.source", "no address of a camera"),
    ("camera", 'source = "rtsp://cam.local:65536/1"', 2, "camera.source", "no address of a camera"),
    ("camera", 'source = "rtsp://cam.local/a b"', 2, "camera.source", "no address of a camera"),
    ("camera", 'source = "RTSP://cam.local/1"', 2, "camera.source", "no kind of camera", "rtsp://"),
    ("camera", 'source = "picamera2:first"', 2, "camera.source", "number of a CSI camera"),
    ("camera", 'source = "picamera2:"', 2, "camera.source", "number of a CSI camera"),
    ("motion", "idle_fps = 0", 2, "motion.idle_fps", "found 0", "from 0.01 to 120"),
    ("motion", "enabled = 1", 2, "motion.enabled", "found 1", "true or false"),
    ("camera", 'source = "file:http://cam.local/1"', 2, "camera.source", "never an address"),
    ("camera", 'source = "file://cam.local/1"', 2, "camera.source", "never an address"),
    ("camera", 'source = "v4l2:0"', 2, "camera.source", "/dev/video0"),
    ("camera", 'source = "file:"', 2, "camera.source", "is no path"),
    ("camera", 'source = "file:/a\\u0000b"', 2, "camera.source", "is no path"),
    ("camera", 'source = "/dev/video0"', 2, "camera.source", "no kind of camera"),
    ("camera", 'source = "usb:/dev/video0"', 2, "camera.source", "no kind of camera"),
    ("camera", f"{V4L2}\nfps = 0", 3, "camera.fps", "found 0", "from 0.01 to 120"),
    ("camera", f"{V4L2}\nfps = 121", 3, "camera.fps", "found 121", "from 0.01 to 120"),
    ("camera", f"{V4L2}\nfps = nan", 3, "camera.fps", "nan, which is no finite number"),
    ("camera", f"{V4L2}\nfps = -inf", 3, "camera.fps", "-inf, which is no finite number"),
    ("camera", f"{V4L2}\nfps = true", 3, "camera.fps", "found true"),
    ("camera", f"{V4L2}\nfps = 0x{'f' * 6000}", 3, "camera.fps", "a huge number"),
    ("camera", f"{V4L2}\nwidth_px = 640.0", 3, "camera.width_px", "found 640.0", "a whole number from 16 to 7680"),
    ("camera", f"{V4L2}\nheight_px = 5", 3, "camera.height_px", "found 5", "a whole number from 16 to 4320"),
    ("camera", f"{V4L2}\nrotate_deg = 45", 3, "camera.rotate_deg", "found 45", "0, 90, 180 or 270"),
    ("camera", f"{V4L2}\nrotate_deg = false", 3, "camera.rotate_deg", "found false"),
    ("camera", f"{V4L2}\nrotate_deg = 0.0", 3, "camera.rotate_deg", "found 0.0"),
    ("camera", f"{V4L2}\npace = 'max'", 3, "camera.pace", "file: cameras only"),
    ("camera", f"{V4L2}\nat_end = 'stop'", 3, "camera.at_end", "file: cameras only"),
    ("camera", "source = 'file:/x'\nat_end = 'end'", 3, "camera.at_end", "found 'end'", '"loop" or "stop"'),
    ("camera", f"{V4L2}\nprivacy_masks = [0.5]", 3, "camera.privacy_masks[1]", "four numbers"),
    ("camera", f"{V4L2}\nprivacy_masks = 'x'", 3, "camera.privacy_masks", "found 'x'", "at most 32 boxes"),
    ("camera", f"{V4L2}\nprivacy_masks = [\n[0, 0, 1, 1],\n[0, 0, 2, 1],\n]", 5, "camera.privacy_masks[2]", "outside"),
    ("camera", f"{V4L2}\nprivacy_masks = [{'[0, 0, 1, 1], ' * 33}]", 3, "camera.privacy_masks", "has 33", "at most 32"),
    ("device", "name = 'all'", 2, "device.name", "every device"),
    ("device", "name = 'models'", 2, "device.name", "the model store"),
    ("device", "name = 'Porch'", 2, "device.name", "found 'Porch'", "a-z"),
    ("device", "name = ''", 2, "device.name", "found ''", "a-z"),
    ("device", f"name = '{'x' * 33}'", 2, "device.name", "found 'xxx", "1 to 32"),
    ("device", 'title = "a\\nb"', 2, "device.title", "one line of text"),
    ("device", f"title = '{'x' * 101}'", 2, "device.title", "longer than 100"),
    ("model", "name = ''", 2, "model.name", "is no model"),
    ("model", "threads = 65", 2, "model.threads", "found 65", "a whole number from 1 to 64"),
    ("model", "threads = 1.0", 2, "model.threads", "found 1.0"),
    ("model", 'policy = "maybe"', 2, "model.policy", '"off", "warn" or "require"'),
    ("model", 'policy = "require"', 2, "model.policy", "needs trusted_keys beside it"),
    ("model", 'policy = "warn"\ntrusted_keys = []', 2, "model.policy", "needs trusted_keys beside it"),
    ("model", 'trusted_keys = ["fleet"]', 2, "model.trusted_keys[1]", "NAME:KEY"),
    ("model", 'trusted_keys = ["a b:' + "A" * 43 + '="]', 2, "model.trusted_keys[1]", "NAME:KEY"),
    ("model", 'trusted_keys = ["fleet:' + "A" * 40 + '"]', 2, "model.trusted_keys[1]", "NAME:KEY"),
    ("region", f"box = [0, 0, 1, 1]\n[[region]]\n{BOX}[0, 0, 1, 1]", 1, "region[1].name", "is missing"),
    ("region", 'name = "door"', 1, "region[1].box", "is missing", "[left, top, right, bottom]"),
    ("region", f"{BOX}[0, 0, 1, 1.1]", 3, "region[1].box", "outside the picture"),
    ("region", f"{BOX}[0.5, 0, 0.5, 1]", 3, "region[1].box", "empty or reversed"),
    ("region", f"{BOX}[0, 0.9, 1, 0.1]", 3, "region[1].box", "empty or reversed"),
    ("region", f"{BOX}[0, 0, 1]", 3, "region[1].box", "four numbers"),
    ("region", f"{BOX}[0, 0, 1, true]", 3, "region[1].box", "four numbers"),
    ("region", f"{BOX}[0, 0, 1, nan]", 3, "region[1].box", "outside the picture"),
    ("region", f"{BOX}[0, 0, 1, 1]\nfit = 'crop'", 4, "region[1].fit", "found 'crop'", "center-crop"),
    (
        "region",
        f"name = 'full'\nbox = [0, 0, 1, 1]\n[[region]]\n{BOX}[0, 0, 1, 1]",
        2,
        "region[1].name",
        "the whole picture",
    ),
    ("region", f"{BOX}[0, 0, 1, 1]\n[[region]]\n{BOX}[0, 0, 1, 1]", 5, "region[2].name", "already region[1]"),
    ("rule", 'name = "x"', 1, "rule[1].label", "is missing"),
    ("rule", "label = 1", 2, "rule[1].label", "found 1"),
    ("rule", "label = ''\nname = 'x'", 2, "rule[1].label", "is empty"),
    ("rule", "label = '?!'", 1, "rule[1].name", "makes no valid name", "a-z"),
    ("rule", f"label = '{'x' * 33}'", 1, "rule[1].name", "makes no valid name"),
    ("rule", f"{LABEL}\n[[rule]]\nlabel = 'Cat'", 3, "rule[2].name", "cat, which is taken"),
    ("rule", f"{LABEL}\n[[rule]]\nlabel = 'dog'\nname = 'cat'", 1, "rule[1].name", "cat, which is taken"),
    ("rule", f"{LABEL}\nname = 'a'\n[[rule]]\n{LABEL}\nname = 'a'", 6, "rule[2].name", "already rule[1]"),
    ("rule", f"{LABEL}\nname = 'A b'", 3, "rule[1].name", "found 'A b'"),
    ("rule", f"{LABEL}\nregion = 'dor'", 3, "rule[1].region", "no such region", "'full', 'door'"),
    ("rule", f"{LABEL}\nscore_threshold = 0", 3, "rule[1].score_threshold", "found 0", "a score from 0.01 to 1"),
    ("rule", f"{LABEL}\nscore_threshold = '0.5'", 3, "rule[1].score_threshold", "found '0.5'"),
    ("rule", f"{LABEL}\nscore_threshold = nan", 3, "rule[1].score_threshold", "no finite number"),
    ("rule", f"{LABEL}\nrelease_threshold = 0.7", 3, "rule[1].release_threshold", "above score_threshold (0.6)"),
    ("rule", f"{LABEL}\nrelease_threshold = -0.1", 3, "rule[1].release_threshold", "found -0.1"),
    ("rule", f"{LABEL}\ndelay_on_s = -1", 3, "rule[1].delay_on_s", "found -1", "seconds from 0 to 86400"),
    ("rule", f"{LABEL}\ndelay_off_s = 86401", 3, "rule[1].delay_off_s", "found 86401"),
    ("rule", f"{LABEL}\nrefractory_s = 07:32:00", 3, "rule[1].refractory_s", "a date or time"),
    ("rule", f"{LABEL}\nscore_treshold = 0.5", 3, "rule[1].score_treshold", "did you mean score_threshold?"),
    ("rule", "".join(f"name = 'r{n}'\n{LABEL}\n[[rule]]\n" for n in range(32)) + LABEL, 1, "rule", "has 33", "1 to 32"),
    ("mqtt", "port = 1883", 1, "mqtt.host", "is missing"),
    ("mqtt", "host = 'mqtt://broker'", 2, "mqtt.host", "no mqtt://"),
    ("mqtt", "host = 'anna:geheim@broker'", 2, "mqtt.host", "no login"),
    ("mqtt", "host = 'broker:1883'", 2, "mqtt.host", "the port has its own key"),
    ("mqtt", "host = '[::1]'", 2, "mqtt.host", "brackets are not needed"),
    ("mqtt", "host = 'my broker'", 2, "mqtt.host", "is no host name"),
    ("mqtt", "host = 'a..b'", 2, "mqtt.host", "is no host name"),
    ("mqtt", f"host = '{'a' * 64}'", 2, "mqtt.host", "is no host name"),
    ("mqtt", f"{HOST}\nport = '1883'", 3, "mqtt.port", "found '1883'", "a whole number from 1 to 65535"),
    ("mqtt", f"{HOST}\nport = 0", 3, "mqtt.port", "found 0"),
    ("mqtt", f"{HOST}\npassword = 'geheim'", 3, "mqtt.password", "did you mean password_file?"),
    ("mqtt", f"{HOST}\npassword_file = '/x'", 3, "mqtt.password_file", "needs a username"),
    (
        "mqtt",
        f"{HOST}\nusername = 'a'\npassword_file = 'no'",
        4,
        "mqtt.password_file",
        "cannot be read",
        "No such file",
    ),
    ("mqtt", f"{HOST}\nusername = 'a'\npassword_file = '.'", 4, "mqtt.password_file", "is no file"),
    ("mqtt", f"{HOST}\nusername = ''", 3, "mqtt.username", "is empty"),
    ("mqtt", f"{HOST}\ntopic_prefix = 'a/+'", 3, "mqtt.topic_prefix", "no place in a topic"),
    ("mqtt", f"{HOST}\ntopic_prefix = '/a'", 3, "mqtt.topic_prefix", "start or end with /"),
    ("mqtt", f"{HOST}\ntopic_prefix = '$SYS'", 3, "mqtt.topic_prefix", "start with $"),
    ("mqtt", f'{HOST}\ntopic_prefix = "a\\u0000"', 3, "mqtt.topic_prefix", "cannot be shown"),
    ("mqtt", f"{HOST}\ntopic_prefix = ''", 3, "mqtt.topic_prefix", "must not be empty"),
    ("mqtt", f"{HOST}\nprotocol = 5", 3, "mqtt.protocol", "found 5", '"5" or "3.1.1"'),
    ("mqtt", f"{HOST}\nkeepalive_s = 0", 3, "mqtt.keepalive_s", "found 0"),
    ("mqtt", f"{HOST}\ncommands = 1", 3, "mqtt.commands", "found 1", "true or false"),
    ("mqtt", f"{HOST}\nbirth_topic = 'home/#'", 3, "mqtt.birth_topic", "no place in a topic"),
    ("mqtt", f"{HOST}\nbirth_topic = ''", 3, "mqtt.birth_topic", "must not be empty"),
    ("mqtt", f"{HOST}\ndiscovery_prefix = 'a//b'", 3, "mqtt.discovery_prefix", "have // in it"),
    ("mqtt", f'{HOST}\ndiscovery_prefix = "a\\u0085"', 3, "mqtt.discovery_prefix", "cannot be shown"),
    ("mqtt", f"{HOST}\ntopic_prefix = 'homeassistant'", 3, "mqtt.topic_prefix", "inside discovery_prefix"),
    ("mqtt", f"{HOST}\ntopic_prefix = 'ha/a'\ndiscovery_prefix = 'ha'", 3, "mqtt.topic_prefix", "inside discovery"),
    ("mqtt", f"{HOST}\ntls = true", 3, "mqtt.tls", "found true", "a table that begins with [mqtt.tls]"),
    ("mqtt", f"{HOST}\n[[mqtt.tls]]", 3, "mqtt.tls", "found a list of 1", "[mqtt.tls]"),
    ("mqtt", f"{HOST}\nca_file = 'x'", 3, "mqtt.ca_file", "belongs under [mqtt.tls]"),
    ("mqtt", f"{HOST}\n[mqtt.tls]\nca_fil = 'x'", 4, "mqtt.tls.ca_fil", "did you mean ca_file?"),
    ("mqtt", f"{HOST}\n[mqtt.tls]\nverify = false", 4, "mqtt.tls.verify", "allowed in [mqtt.tls]: ca_file, cert_file"),
    ("mqtt", f"{HOST}\n[mqtt.tls]\nca_file = 'no'", 4, "mqtt.tls.ca_file", "cannot be read", "No such file"),
    ("mqtt", f"{HOST}\n[mqtt.tls]\nca_file = '.'", 4, "mqtt.tls.ca_file", "is no file"),
    ("mqtt", f"{HOST}\n[mqtt.tls]\nca_file = 3", 4, "mqtt.tls.ca_file", "found 3", "the path of a file that holds"),
    ("mqtt", f"{HOST}\n[mqtt.tls]\nca_file = 'edged.toml'", 4, "mqtt.tls.ca_file", "holds no certificate", "PEM"),
    ("mqtt", f"{HOST}\n[mqtt.tls]\nkey_file = 'edged.toml'", 4, "mqtt.tls.key_file", "needs cert_file beside it"),
    ("mqtt", f"{HOST}\n[mqtt.tls]\nserver_name = 'a b'", 4, "mqtt.tls.server_name", "is no host name"),
    ("mqtt", f"{HOST}\n[mqtt.tls]\nstrict = 'no'", 4, "mqtt.tls.strict", "found 'no'", "true or false"),
    ("mqtt", f"{HOST}\n[outbox]\nmax_rows = 0", 4, "outbox.max_rows", "found 0", "from 1 to 10000000"),
    ("mqtt", f"{HOST}\n[outbox]\nmax_bytes = 1000", 4, "outbox.max_bytes", "found 1000", "from 65536"),
    ("mqtt", f"{HOST}\n[outbox]\nmax_age_s = 0.5", 4, "outbox.max_age_s", "found 0.5", "from 60"),
    ("mqtt", f"{HOST}\n[outbox]\nkeep_delivered_s = -1", 4, "outbox.keep_delivered_s", "found -1", "from 0"),
    ("mqtt", f"{HOST}\n[outbox]\ndrain_per_s = 0", 4, "outbox.drain_per_s", "found 0", "from 1 to 10000"),
    ("mqtt", f"{HOST}\n[outbox]\npath = '../x.db'", 4, "outbox.path", "leads out of its folder"),
    ("mqtt", f"{HOST}\n[outbox]\npath = '.'", 4, "outbox.path", "no path of a file"),
    ("mqtt", f"{HOST}\n[outbox]\npath = 'x/'", 4, "outbox.path", "no path of a file"),
    ("mqtt", f"{HOST}\n[outbox]\npath = '/'", 4, "outbox.path", "no path of a file"),
    ("mqtt", f"{HOST}\n[outbox]\npath = '/usr'", 4, "outbox.path", "is a folder"),
    ("mqtt", f"{HOST}\n[outbox]\nmax_row = 5", 4, "outbox.max_row", "did you mean max_rows?"),
]


@pytest.mark.parametrize(("table", "words", "line", "key", "fragments"), [(*bad[:4], bad[4:]) for bad in BAD])
def test_a_bad_value_is_told_with_its_line(tmp_path, table, words, line, key, fragments):
    (problem,) = problems(tmp_path, written(**{table: words}))
    assert problem.startswith(f"{line}: {key}: ")
    for fragment in fragments:
        assert fragment in problem
    assert "geheim" not in problem
    assert "heim@" not in problem


@pytest.mark.parametrize(
    ("text", "line", "fragment"),
    [
        ("[movement]\n" + written(), 1, "movement: unknown key; allowed in the file: [device], [camera]"),
        (written().replace("[[rule]]", "[[rules]]"), 12, "rules: unknown key; did you mean rule?"),
        (
            written().replace("[[rule]]", "[rule]"),
            12,
            "rule: found a table; allowed: a table that begins with [[rule]]",
        ),
        ("camera = 3\n" + written().replace("[camera]", "[x]"), 1, "camera: found 3; allowed: a table that begins"),
        ("rule = [1]\n" + written().replace("[[rule]]", "[x]"), 1, "rule[1]: found 1; allowed: a table that begins"),
        ("rule = []\n" + written().replace("[[rule]]", "[x]"), 1, "rule: has 0; allowed: 1 to 32 [[rule]] tables"),
        (written().replace("[[rule]]", "[x]"), 1, "rule: is missing; allowed: 1 to 32 [[rule]] tables"),
        ("fps = 10\n" + written(), 1, "fps: unknown key; it belongs under [camera]"),
        ("", 1, "camera.source: is missing"),
        ("", 1, "mqtt.host: is missing"),
    ],
)
def test_a_bad_table_is_told_with_its_line(tmp_path, text, line, fragment):
    assert any(one.startswith(f"{line}: {fragment}") for one in problems(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("a = 1\n\na = 2\n", "3: not valid TOML: "),
        ("[camera]\nfps = \n", "2: not valid TOML: "),
        ("a = 1\nb = [1,\n2", "3: not valid TOML: "),
        ("a = " + "[" * 5000, "1: not valid TOML: lists or tables are nested too deep"),
        ("a = " + "9" * 5000, "1: not valid TOML: a number has too many digits"),
        (b"a = 1\nb = '\xff'\n", "2: not UTF-8: "),
        ("#" * (1 << 20) + "\n", " is larger than "),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(tmp_path, text, start):
    (problem,) = problems(tmp_path, text)
    assert problem.startswith(start)


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path):
    for path, fragment in [
        (tmp_path / "none.toml", "there is no such file"),
        (tmp_path, "is a folder"),
        (tmp_path / "none.toml" / "x", "there is no such file"),
        (tmp_path / ("x" * 300), "cannot be read"),
    ]:
        with pytest.raises(ConfigError, match=fragment) as caught:
            load(path)
        assert len(caught.value.problems) == 1


@pytest.mark.timeout(60)
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(ConfigError, match="is no file but a pipe, a socket or a device; expected a") as caught:
            load(path)
        assert len(caught.value.problems) == 1


def test_all_problems_come_at_once_and_in_the_order_of_the_file(tmp_path):
    found = problems(
        tmp_path,
        '[mqtt]\nhost = "a b"\nusername = "a"\npassword_file = "none"\n[camera]\nsource = 1\npace = "fast"\n'
        '[[rule]]\nlabel = "cat"\ndelay_on_s = -1\nscore_threshold = 0.5\nrelease_threshold = 0.6\n'
        '[[rule]]\nlabel = "cat"\nregion = "none"\n[[rule]]\nlabel = "cat"\nname = 3\n',
    )
    assert [one.split(": ")[:2] for one in found] == [
        ["2", "mqtt.host"],
        ["4", "mqtt.password_file"],
        ["6", "camera.source"],
        ["7", "camera.pace"],
        ["10", "rule[1].delay_on_s"],
        ["12", "rule[1].release_threshold"],
        ["15", "rule[2].region"],
        ["18", "rule[3].name"],
    ]


SCALARS = [
    "0",
    "1",
    "-1",
    "0.5",
    "nan",
    "inf",
    "true",
    '""',
    '"cat"',
    '"full"',
    '"a\\u0000\\nb"',
    "1979-05-27",
    "1e400",
]
SCALARS += ["[]", "[0.0, 0.0, 1.0, 1.0]", "[[0, 0, 1, 1]]", "{}", "{ a = 1 }", "[{}]", '"file:/a"', "0x" + "f" * 5000]
NAMES = ["name", "title", "source", "fps", "pace", "rotate_deg", "privacy_masks", "threads", "box", "fit", "label"]
NAMES += ["region", "score_threshold", "release_threshold", "delay_on_s", "host", "port", "username", "password_file"]
NAMES += ["topic_prefix", "protocol", "keepalive_s", "fsp", '"a: b\\n"', "rule.x", "mqtt", "tls", "commands", "ca_file"]
NAMES += ["cert_file", "key_file", "strict", "path", "max_rows", "discovery_prefix", "birth_topic", "tls.x", "outbox"]
HEADERS = ["", "[device]", "[camera]", "[model]", "[[region]]", "[[rule]]", "[mqtt]", "[x]", "[rule]", "[[camera]]"]
HEADERS += ["[mqtt.tls]", "[outbox]", "[[mqtt.tls]]", "[outbox.tls]"]
PAIRS = st.tuples(st.sampled_from(NAMES), st.sampled_from(SCALARS)).map(" = ".join)
SECTIONS = st.tuples(st.sampled_from(HEADERS), st.lists(PAIRS, max_size=4)).map(
    lambda one: "\n".join([one[0], *one[1]])
)
FILES = st.lists(SECTIONS, max_size=5).map("\n".join) | st.tuples(st.lists(SECTIONS, max_size=2).map("\n".join)).map(
    lambda one: f"{written()}\n{one[0]}"
)


@settings(max_examples=300)
@given(FILES | st.text())
def test_any_file_gives_a_config_or_sentences_in_the_form(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    for line in outcome(path):
        assert re.fullmatch(re.escape(str(path)) + r":[1-9]\d*: [^\n]+?: [^\n]+", line)
        assert line.isprintable()


def outcome(path):
    """The problems of a file, at least one; the warnings of a `Config`. Any other exception is a failure."""
    try:
        config = load(path)
    except ConfigError as error:
        return error.problems or pytest.fail("a ConfigError without a problem")
    return config.warnings if isinstance(config, Config) else pytest.fail(repr(config))


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    """A folder with ca.pem, a.pem and a.key, b.pem and b.key, and locked.key: that of a, behind a passphrase."""
    folder = tmp_path_factory.mktemp("pem")
    authority = Authority(folder)
    _, key = authority.sign("a")
    authority.sign("b")
    openssl("ec", "-in", key, "-aes256", "-passout", "pass:geheim", "-out", folder / "locked.key")
    return folder


@pytest.mark.parametrize(
    ("cert", "key", "place", "fragment"),
    [
        ("a.pem", "b.key", "4: mqtt.tls.key_file", "does not belong to"),
        ("a.pem", "a.pem", "4: mqtt.tls.key_file", "holds no private key"),
        ("a.pem", "locked.key", "4: mqtt.tls.key_file", "is locked by a passphrase"),
        ("a.pem", "none.key", "4: mqtt.tls.key_file", "cannot be read (No such file or directory)"),
        ("a.key", "a.key", "3: mqtt.tls.cert_file", "holds no certificate"),
        ("a.pem", None, "3: mqtt.tls.cert_file", "needs key_file beside it"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_told_with_its_line(tmp_path, pem, cert, key, place, fragment):
    tls = f"[mqtt.tls]\n\ncert_file = '{pem / cert}'\n" + (f"key_file = '{pem / key}'\n" if key else "")
    (problem,) = problems(tmp_path, tls + written(mqtt=HOST))
    assert problem.startswith(f"{place}: ")
    assert fragment in problem
    assert "geheim" not in problem


def test_a_region_is_offered_once_however_often_its_name_is_given(tmp_path):
    """A region must not be named full, and says so itself."""
    regions = "".join(f'[[region]]\nname = "{name}"\nbox = [0, 0, 1, 1]\n' for name in ("full", "a", "a"))
    text = f'{regions}[[rule]]\nlabel = "cat"\nregion = "b"\n[camera]\n{V4L2}\n[mqtt]\n{HOST}\n'
    found = problems(tmp_path, text)
    assert any(line.endswith("rule[1].region: there is no such region; allowed: 'full', 'a'") for line in found), found
