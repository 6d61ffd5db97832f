"""The other commands as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import edged as package
from edged.cli import main
from edged.core.types import Pixels
from edged.modelstore import bundled
from tests.conftest import EMULATED
from tests.daemon import command, edged, environment
from tests.scenes import flat, write_clip

GOLDEN = bundled() / "shapes-int8" / "golden"
BENCH_KEYS = {
    "model", "runtime", "threads", "frames", "frame_width_px", "frame_height_px", "invoke_ms", "frame_ms",
    "cpu_ms_per_frame", "cpu_ms_per_invoke", "overhead_ratio", "heap_growth_bytes", "rss_mb",
}  # fmt: skip


def test_version(tmp_path):
    done = edged("--version", state=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, f"edged {package.__version__}")


@pytest.mark.parametrize(
    "words", [[], ["fly"], ["run", "--fast"], ["bench", "--frames", "3"], ["demo", "--seconds", "0"]]
)
def test_wrong_usage_is_exit_code_2(tmp_path, words):
    done = edged(*words, state=tmp_path)
    assert done.returncode == 2
    assert "usage: edged" in done.stderr
    assert done.stdout == ""


def test_classify(tmp_path):
    """JSON lines alone on stdout, nothing on stderr, the right shape first, the background never."""
    files = [GOLDEN / "circle.png", GOLDEN / "star.png"]
    done = edged("classify", "--model", "shapes-int8", "--top", "2", "--json", *files, state=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    circle, star = map(json.loads, done.stdout.splitlines())
    assert circle["file"] == str(files[0])
    assert {one["label"] for one in circle["top"]} == {"circle", "round"}
    assert star["top"][0]["label"] in ("star", "pointed", "angular")
    assert all(0 <= one["score"] <= 1 for one in circle["top"])


def test_classify_goes_on_after_a_file_that_is_no_picture(tmp_path):
    done = edged("classify", "--model", "shapes-int8", "--json", __file__, GOLDEN / "star.png", state=tmp_path)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1
    assert __file__ in done.stderr
    assert "Traceback" not in done.stderr


def cut(file: Path, suffix: str, whole: bytes) -> Path:
    """The first three fifths of a file."""
    path = file.with_suffix(suffix)
    path.write_bytes(whole[: len(whole) * 3 // 5])
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda at: at / "missing.jpg", "there is no such file"),
        (lambda at: at, "it is a folder: expected a picture"),
        (lambda at: write_clip(at / "clip.avi", [flat(90)], 5.0), "it cannot be decoded as a picture"),
        (lambda at: cut(at / "a", ".jpg", cv2.imencode(".jpg", noise())[1].tobytes()), "the picture is cut off"),
        (lambda at: cut(at / "a", ".png", cv2.imencode(".png", noise())[1].tobytes()), "the picture is cut off"),
        (lambda at: cut(at / "a", ".bmp", b""), "it cannot be decoded as a picture"),
    ],
    ids=["missing", "folder", "clip", "cut jpeg", "cut png", "empty"],
)
def test_classify_says_one_sentence_of_what_is_no_whole_still_image(tmp_path, capfd, make, says):
    """Nothing of it is scored, and neither a library nor the log adds a line of its own."""
    file = make(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["classify", "--model", "shapes-int8", str(file)])
    said = capfd.readouterr()
    assert (ended.value.code, said.out) == (1, "")
    (line,) = said.err.splitlines()
    assert line.startswith(f"edged classify: {file}: {says}")


def test_classify_takes_a_jpeg_with_a_preview_and_with_more_behind_its_end(tmp_path, capfd):
    whole = cv2.imencode(".jpg", noise())[1].tobytes()
    preview = cv2.imencode(".jpg", flat(20))[1].tobytes()
    note = b"\xff\xe1" + (2 + len(preview)).to_bytes(2) + preview
    for name, content in (("preview", whole[:2] + note + whole[2:]), ("behind", whole + b"more of it" * 20)):
        (tmp_path / f"{name}.jpg").write_bytes(content)
        with pytest.raises(SystemExit) as ended:
            main(["classify", "--model", "shapes-int8", str(tmp_path / f"{name}.jpg")])
        assert (ended.value.code, capfd.readouterr().err) == (0, "")
    (tmp_path / "cut.jpg").write_bytes((whole[:2] + note + whole[2:])[: len(whole) * 3 // 5 + len(note)])
    with pytest.raises(SystemExit):
        main(["classify", "--model", "shapes-int8", str(tmp_path / "cut.jpg")])
    assert "the picture is cut off" in capfd.readouterr().err


def noise() -> Pixels:
    return np.random.default_rng(3).integers(0, 255, (120, 160, 3), np.uint8)


def test_classify_with_an_unknown_model(tmp_path):
    done = edged("classify", "--model", "cats", GOLDEN / "star.png", state=tmp_path)
    assert done.returncode == 78
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(EMULATED, reason="figures from an emulator mean nothing, and take minutes")
def test_bench(tmp_path):
    done = edged("bench", "--model", "shapes-int8", "--frames", "80", "--threads", "1", "--json", state=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    figures = json.loads(done.stdout)
    assert set(figures) == BENCH_KEYS
    assert figures["frames"] == 80
    assert figures["overhead_ratio"] == pytest.approx(
        figures["cpu_ms_per_frame"] / figures["cpu_ms_per_invoke"], rel=1e-2
    )
    assert figures["heap_growth_bytes"] <= 2048
    assert not list(tmp_path.iterdir()), "with a thread count there is nothing to remember"


@pytest.mark.skipif(EMULATED, reason="figures from an emulator mean nothing, and take minutes")
def test_bench_measures_the_threads_again(tmp_path):
    done = edged("bench", "--model", "shapes-int8", "--frames", "40", state=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "overhead_ratio" in done.stdout
    (kept,) = json.loads((tmp_path / "threads.json").read_text()).values()
    assert kept["1"] > 0


@pytest.mark.skipif(EMULATED, reason="the clip plays in real time, too fast for the emulated default model")
def test_demo(tmp_path, mosquitto):
    """Exactly one visit of the cat, as a subscriber received it; ends by itself; leaves nothing behind."""
    done = edged("demo", "--json", state=tmp_path)
    assert done.returncode == 0, done.stderr
    *events, last = map(json.loads, done.stdout.splitlines())
    assert [(one["event_type"], one["rule"], one["reason"]) for one in events] == [
        ("start", "cat", None),
        ("end", "cat", "gone"),
    ]
    assert last["summary"]["events_received"] == 2
    assert last["summary"]["heap_growth_bytes"] < 128 * 1024
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(EMULATED, reason="a second demo; nothing in it depends on the processor")
def test_demo_without_a_mosquitto(tmp_path):
    """The embedded broker of the extra [demo], over MQTT 3.1.1; one that saw no event says so and fails."""
    pytest.importorskip("amqtt", reason="the extra [demo] is not installed")
    # `-P` and a stub: mosquitto is also found outside of PATH, so the only honest way is a machine where it is absent.
    script = (
        "import shutil, sys; shutil.which = lambda *_, **__: None\n"
        "from edged.cli import main; main(['demo', '--seconds', '6', '--json'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    start = json.loads(done.stdout.splitlines()[0])
    assert (start["event_type"], start["rule"]) == ("start", "cat")


@pytest.mark.skipif(EMULATED, reason="starts a demo and ends it")
def test_a_demo_without_an_event_fails(tmp_path, mosquitto):
    done = edged("demo", "--seconds", "1", state=tmp_path)
    assert done.returncode == 1
    assert "FAILED" in done.stdout


def test_a_reader_that_has_seen_enough(tmp_path):
    """`edged classify … | head -1` ends without a traceback."""
    words = command("classify", "--model", "shapes-int8", "--json", *[GOLDEN / "star.png"] * 50)
    process = subprocess.Popen(words, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read().decode()
    process.stderr.close()
    process.wait()
    assert "Traceback" not in errors
    assert "BrokenPipe" not in errors


@pytest.mark.skipif(EMULATED, reason="pip is not there")
def test_an_installed_package_finds_its_models_without_a_checkout(tmp_path):
    """What pip installs has models, schemas and the clip, and works from anywhere."""
    target = tmp_path / "site"
    root = Path(__file__).parents[2]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(root)]
    subprocess.run([*pip, "--disable-pip-version-check"], check=True, timeout=300, capture_output=True)
    assert (target / "edged" / "schema" / "event.json").exists()
    assert (target / "edged" / "clips" / "cat.mp4").exists()
    assert (target / "edged" / "models" / "build" / "shapes.py").exists()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "edged", "classify", "--json", "--top", "1", str(GOLDEN / "star.png")],
        env={**os.environ, "PYTHONPATH": str(target), "STATE_DIRECTORY": str(tmp_path / "state")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import edged.modelstore as m; print(m.bundled())"],
        env={**os.environ, "PYTHONPATH": str(target)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert Path(done.stdout.strip()) == target / "edged" / "models"
