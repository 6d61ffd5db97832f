"""What `edged check` says of bad input, through the command line: a sentence a problem, exit code 78, no traceback."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.cli import main
from edged.edges.tflite import RUNTIME
from edged.modelstore import bundled
from tests.conftest import EMULATED
from tests.daemon import edged
from tests.scenes import flat, write_picture

GOOD = """
[camera]
source = "file:{picture}"
[model]
name = "{model}"
[[rule]]
label = "circle"
[mqtt]
host = "127.0.0.1"
"""


VERIFIED = pytest.mark.skipif(
    RUNTIME.startswith("tflite-runtime"),
    reason="tflite-runtime 2.14 does not verify a model: a truncated one is a crash",
)


@pytest.fixture
def picture(tmp_path):
    write_picture(tmp_path / "a.png", flat(90))
    return tmp_path / "a.png"


def check(capsys: pytest.CaptureFixture[str], config: Path) -> tuple[int, str]:
    """Exit code and what went to stderr."""
    with pytest.raises(SystemExit) as ended:
        main(["check", "--config", str(config)])
    assert isinstance(ended.value.code, int)
    return ended.value.code, capsys.readouterr().err


def written(tmp_path: Path, text: str) -> Path:
    config = tmp_path / "e.toml"
    config.write_text(text, encoding="utf-8")
    return config


def test_a_good_configuration_passes(tmp_path, picture, capsys):
    assert check(capsys, written(tmp_path, GOOD.format(picture=picture, model="shapes-int8"))) == (0, "")


def test_what_the_service_cannot_see_is_a_warning(tmp_path, picture, capsys, monkeypatch):
    config = written(tmp_path, GOOD.format(picture=picture, model="shapes-int8"))
    monkeypatch.setattr("edged.doctor.hidden", lambda read: [f"{read.path}:3: camera.source: is hidden"])
    assert check(capsys, config) == (0, f"warning: {config}:3: camera.source: is hidden\n")


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ('label = "circle"', 'label = "circel"', 7, "nearest: circle"),
        ('label = "circle"', 'label = "circle"\nscore_treshold = 0.5', 8, "score_threshold"),
        ('label = "circle"', 'label = "circle"\nscore_threshold = nan', 8, "nan, which is no finite number"),
        ('label = "circle"', 'label = "circle"\nscore_threshold = 0.3\nrelease_threshold = 0.4', 9, "0.3"),
        ('label = "circle"', 'label = "circle"\ndelay_on_s = "soon"', 8, "seconds from 0"),
        ('label = "circle"', 'label = "circle"\n[[rule]]\nlabel = "circle"', 8, "taken"),
        ('host = "127.0.0.1"', 'host = "127.0.0.1"\nhost = "again"', 10, "TOML"),
        ("[mqtt]", '[device]\nname = "all"\n[mqtt]', 9, "all"),
        ('source = "file:', 'source = "rtsp://me:secret@camera/1" #', 3, "login"),
        ('source = "file:', 'source = "file:no-such-clip.mp4" #', 3, "no such file"),
        ('name = "shapes-int8"', 'name = "shapes-int9"', 5, "shapes-int8"),
    ],
)
def test_each_problem_gets_its_line_and_its_remedy(tmp_path, picture, capsys, old, new, line, says):
    text = GOOD.format(picture=picture, model="shapes-int8")
    assert old in text
    config = written(tmp_path, text.replace(old, new, 1))
    code, said = check(capsys, config)
    assert code == 78
    assert "secret" not in said
    assert says in said
    assert re.search(rf"^{re.escape(str(config))}:{line}: ", said, re.MULTILINE), said


def test_a_clip_without_a_frame(tmp_path, capsys):
    (tmp_path / "empty.mp4").write_bytes(b"")
    code, said = check(capsys, written(tmp_path, GOOD.format(picture=tmp_path / "empty.mp4", model="shapes-int8")))
    assert code == 78
    assert len(said.splitlines()) == 1


@pytest.mark.timeout(60)
@pytest.mark.parametrize("command", ["check", "run"])
def test_a_pipe_for_a_configuration_is_refused_and_not_waited_for(tmp_path, capsys, command):
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    with pytest.raises(SystemExit) as ended:
        main([command, "--config", str(pipe)])
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith(str(pipe))]
    assert ended.value.code == 78
    assert said == [
        f"{pipe}: is no file but a pipe, a socket or a device; expected a configuration file, such as edged.toml"
    ]


def test_every_problem_is_told_at_once(tmp_path, picture, capsys):
    text = GOOD.format(picture=picture, model="shapes-int8").replace("[mqtt]", "[mqtt]\nport = 0\nkepalive_s = 3")
    code, said = check(capsys, written(tmp_path, text))
    assert (code, len(said.splitlines())) == (78, 2)


def places(config: Path, said: str) -> list[str]:
    """`LINE: key` of every problem, in the order in which they are told."""
    found = [
        re.match(rf"(?:edged check: )?{re.escape(str(config))}:(\d+: [^:]+): ", line) for line in said.splitlines()
    ]
    assert all(found), said
    return [one[1] for one in found if one]


SEVERAL = """
[camera]
source = "file:no-such-clip.mp4"
{camera}
[model]
name = "{model}"
[[rule]]
label = "circel"
{rule}
[[rule]]
label = "sqare"
[mqtt]
host = "127.0.0.1"
"""


@pytest.mark.parametrize(
    ("rule", "camera", "of_the_file"),
    [
        ("", "", []),
        ("release_threshold = 0.9", "", ["9: rule[1].release_threshold"]),
        ("score_threshold = true", "fps = 0", ["4: camera.fps", "9: rule[1].score_threshold"]),
    ],
)
def test_a_mistake_in_the_file_hides_neither_model_nor_labels_nor_clip(tmp_path, capsys, rule, camera, of_the_file):
    config = written(tmp_path, SEVERAL.format(model="shapes-int8", rule=rule, camera=camera))
    code, said = check(capsys, config)
    assert code == 78
    outside = ["3: camera.source", "8: rule[1].label", "11: rule[2].label"]
    assert places(config, said) == sorted([*of_the_file, *outside], key=lambda place: int(place.partition(":")[0]))


def test_a_model_that_is_not_there_hides_neither_the_clip_nor_the_file(tmp_path, capsys):
    config = written(tmp_path, SEVERAL.format(model="nope", rule="delay_on_s = -1", camera=""))
    code, said = check(capsys, config)
    assert (code, places(config, said)) == (78, ["3: camera.source", "6: model.name", "9: rule[1].delay_on_s"])


def test_a_file_of_wrong_types_is_told_without_looking_further(tmp_path, capsys):
    config = written(tmp_path, "camera = 3\nmodel = 'x'\nrule = [1]\n[mqtt]\nhost = 'broker'\n")
    code, said = check(capsys, config)
    assert (code, places(config, said)) == (78, ["1: camera", "2: model", "3: rule[1]"])


@pytest.mark.parametrize(
    ("rotate_deg", "fit", "says"),
    [
        (0, "center-crop", "the model sees 25% of it (center-crop, 1200x300)"),
        (90, "center-crop", "the model sees 25% of it (center-crop, 1200x300)"),
        (0, "stretch", "the model sees 100% of it (stretch, 1200x300)"),
    ],
)
def test_what_the_model_sees_is_told_for_the_size_that_the_file_has(tmp_path, capsys, rotate_deg, fit, says):
    picture = write_picture(tmp_path / "wide.png", flat(90, (1200, 300)))
    assert says in seen(tmp_path, capsys, f"file:{picture}", rotate_deg, fit)


@pytest.mark.parametrize(
    ("fit", "says"),
    [
        ("center-crop", "the model sees its middle (center-crop, how much of it depends on the size of the stream)"),
        ("letterbox", "the model sees 100% of it (letterbox, whatever the size of the stream)"),
    ],
)
def test_what_the_model_sees_of_a_stream_is_not_made_up(tmp_path, capsys, fit, says):
    assert says in seen(tmp_path, capsys, "rtsp://camera.local/1", 0, fit)


def test_what_the_model_sees_of_a_usb_camera_is_told_for_the_size_that_is_asked_for(tmp_path, capsys):
    says = "the model sees 75% of it (center-crop, 640x480)"
    assert says in seen(tmp_path, capsys, "v4l2:/dev/video0", 0, "center-crop")


def seen(tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, rotate_deg: int, fit: str) -> str:
    """What `check` says of a region that is the whole picture."""
    region = f'[[region]]\nname = "all"\nbox = [0.0, 0.0, 1.0, 1.0]\nfit = "{fit}"\n[[rule]]\nregion = "all"'
    text = GOOD.format(picture="", model="shapes-int8").replace("[[rule]]", region)
    text = text.replace('source = "file:"', f'source = "{source}"\nrotate_deg = {rotate_deg}')
    with pytest.raises(SystemExit) as ended:
        main(["check", "--config", str(written(tmp_path, text))])
    said = capsys.readouterr()
    assert ended.value.code == 0, said.err
    return said.out


def test_a_label_that_makes_no_rule_name(tmp_path, picture, capsys):
    folder = copied(tmp_path)
    labels = (folder / "labels.txt").read_text(encoding="utf-8").replace("circle", "圓")
    manifest = (folder / "model.toml").read_text(encoding="utf-8").replace('"circle"', '"圓"')
    rewrite(folder, "labels.txt", labels.encode(), manifest)
    text = GOOD.format(picture=picture, model=folder / "model.tflite").replace("circle", "圓")
    code, said = check(capsys, written(tmp_path, text))
    assert code == 78
    assert "name" in said


def copied(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(bundled() / "shapes-int8", folder, dirs_exist_ok=True)
    return folder


def rewrite(folder: Path, name: str, content: bytes, manifest: str | None = None) -> None:
    """Replaces a file of a model and its hash in the manifest, as somebody who means to would."""
    text = manifest or (folder / "model.toml").read_text(encoding="utf-8")
    digest = hashlib.sha256(content).hexdigest()
    text = re.sub(rf'^"?{re.escape(name)}"? = "[0-9a-f]{{64}}"', f'"{name}" = "{digest}"', text, flags=re.MULTILINE)
    (folder / name).write_bytes(content)
    (folder / "model.toml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        pytest.param("model.tflite", lambda whole: whole[: len(whole) // 2], "cannot load", marks=VERIFIED),
        ("model.tflite", lambda whole: b"", "empty"),
        ("model.tflite", lambda whole: b"<html>not found</html>" * 50, "web page"),
        ("model.tflite", lambda whole: b"my model\n" * 500, "text file"),
        ("labels.txt", lambda whole: whole + b"hexagon\n", "7"),
        ("labels.txt", lambda whole: whole.replace(b"star", b"circle"), "circle"),
        ("labels.txt", lambda whole: b"\xff\xfe", "UTF-8"),
    ],
)
def test_a_model_that_is_not_what_its_manifest_says(tmp_path, picture, capsys, name, change, says):
    folder = copied(tmp_path)
    rewrite(folder, name, change((folder / name).read_bytes()))
    code, said = check(capsys, written(tmp_path, GOOD.format(picture=picture, model=folder / "model.tflite")))
    assert code == 78
    assert len(said.splitlines()) == 1
    assert says.lower() in said.lower()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('color = "rgb"', 'color = "grey"', "(1, height, width, 1)"),
        ("schema = 1", "schema = 2", "schema"),
        ("background = 0", "background = 6", "background"),
        ("[output]", "[embedding]\noutput = 5\n\n[output]", "6 outputs"),
        ("[output]", "[embedding]\noutput = 0\n\n[output]", "2 outputs"),
        ('round = ["circle"]', 'round = ["ball"]', "ball"),
    ],
)
def test_a_manifest_that_does_not_fit(tmp_path, picture, capsys, old, new, says):
    folder = copied(tmp_path)
    manifest = (folder / "model.toml").read_text(encoding="utf-8")
    assert old in manifest
    (folder / "model.toml").write_text(manifest.replace(old, new), encoding="utf-8")
    code, said = check(capsys, written(tmp_path, GOOD.format(picture=picture, model=folder / "model.tflite")))
    assert code == 78
    assert says in said


def test_a_missing_model_names_what_there_is(tmp_path, picture, capsys):
    code, said = check(capsys, written(tmp_path, GOOD.format(picture=picture, model="cats")))
    assert code == 78
    assert "shapes-int8" in said


@settings(max_examples=20 if EMULATED else 100)
@given(data=st.data())
def test_damaged_model_files_are_refused_before_the_runtime_sees_them(tmp_path_factory, data):
    """Flipped, cut or grown: the hash tells, in one sentence."""
    tmp_path = tmp_path_factory.mktemp("damaged")
    folder = copied(tmp_path)
    file = folder / data.draw(st.sampled_from(["model.tflite", "labels.txt", "report.json", "golden/star.png"]))
    content = bytearray(file.read_bytes())
    how = data.draw(st.sampled_from(["flip", "cut", "grow"]))
    place = data.draw(st.integers(0, len(content) - 1))
    if how == "flip":
        content[place] ^= data.draw(st.integers(1, 255))
    elif how == "cut":
        del content[place:]
    else:
        content[place:place] = b"\0" * data.draw(st.integers(1, 64))
    file.write_bytes(content)
    write_picture(tmp_path / "a.png", flat(90))
    config = written(tmp_path, GOOD.format(picture=tmp_path / "a.png", model=folder / "model.tflite"))
    said = refused(config)
    assert len(said) == 1
    assert file.name in said[0]


@VERIFIED
@settings(max_examples=15 if EMULATED else 60)
@given(cut=st.floats(0.0, 0.999))
def test_truncated_models_with_the_right_hash_are_refused_too(tmp_path_factory, cut):
    tmp_path = tmp_path_factory.mktemp("cut")
    folder = copied(tmp_path)
    whole = (folder / "model.tflite").read_bytes()
    rewrite(folder, "model.tflite", whole[: int(len(whole) * cut)])
    write_picture(tmp_path / "a.png", flat(90))
    said = refused(written(tmp_path, GOOD.format(picture=tmp_path / "a.png", model=folder / "model.tflite")))
    assert len(said) == 1


VALUES = st.one_of(
    st.booleans(), st.integers(-5, 100_000), st.floats(), st.text(max_size=12), st.lists(st.floats(0, 1), max_size=5)
)
KEYS = st.sampled_from(
    [
        *("name", "title", "source", "width_px", "fps", "rotate_deg", "privacy_masks", "pace", "at_end", "threads"),
        *("box", "fit", "label", "region", "score_threshold", "release_threshold", "delay_on_s", "delay_off_s"),
        *("refractory_s", "host", "port", "username", "topic_prefix", "protocol", "keepalive_s"),
    ]
)
TABLES = st.sampled_from(["[device]", "[camera]", "[model]", "[[region]]", "[[rule]]", "[mqtt]", "[motion]", "[x.y]"])


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(sign):08X}" for sign in value if not 0xD800 <= ord(sign) < 0xE000) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return repr(value)


@settings(max_examples=30 if EMULATED else 200)
@given(parts=st.lists(st.tuples(TABLES, st.dictionaries(KEYS, VALUES, max_size=4)), max_size=6))
def test_generated_configurations_pass_or_are_refused_in_words(tmp_path_factory, parts):
    lines = []
    for table, keys in parts:
        lines += [table, *(f"{key} = {toml(value)}" for key, value in keys.items())]
    config = written(tmp_path_factory.mktemp("generated"), "\n".join(lines))
    for line in refused(config):
        assert re.match(rf"{re.escape(str(config))}:\d+: ", line), line


def refused(config: Path) -> list[str]:
    """The lines of the refusal; fails where there is none, or one that is no ConfigError or ModelError."""
    from edged import app
    from edged.config import load
    from edged.core.errors import ConfigError, ModelError

    with pytest.raises((ConfigError, ModelError)) as error:
        app.fit(load(config))
    return str(error.value).splitlines()


@pytest.mark.skipif(EMULATED, reason="process starts; the same code paths ran in this process")
def test_no_traceback_reaches_a_person(tmp_path):
    done = edged("check", "--config", tmp_path / "missing.toml", state=tmp_path)
    assert done.returncode == 78
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    done = edged("run", "--config", tmp_path / "missing.toml", state=tmp_path)
    assert done.returncode == 78
    assert "Traceback" not in done.stderr
