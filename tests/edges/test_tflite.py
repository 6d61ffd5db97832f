"""The interpreter with the models that ship: golden scores, XNNPACK, memory; with whichever runtime is installed."""

from __future__ import annotations

import gc
import json
import os
import shutil
import threading
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest

from edged.app import open_model
from edged.core.errors import ModelError
from edged.core.stats import Ring
from edged.core.types import FULL, Frame, Region
from edged.edges.tflite import RUNTIME, Interpreter, TfliteClassifier, median_invoke_ms
from edged.modelstore import bundled
from tests.conftest import EMULATED
from tests.heap import grown

MODELS = ("efficientnet-lite0-int8", "shapes-int8")
LITERT = RUNTIME.startswith("ai-edge-litert")


def classifier(name: str, wanted: list[str] | None = None) -> tuple[TfliteClassifier, Region]:
    _, interpreter, spec = open_model(name, 1)
    return TfliteClassifier(interpreter, spec, wanted or spec.labels, Ring(8)), Region("full", FULL, spec.input.fit)


@pytest.mark.parametrize("name", MODELS)
def test_golden_scores(name):
    """The manifest, the preprocessing, the runtime and the scoring together give what the recipe wrote down."""
    golden = bundled() / name / "golden"
    expected = json.loads((golden / "expected.json").read_text())
    _, interpreter, spec = open_model(name, 1)
    subject = TfliteClassifier(interpreter, spec, spec.labels, Ring(8))
    region = Region("full", FULL, spec.input.fit)
    inputs = expected["inputs"][:1] if EMULATED and name == MODELS[0] else expected["inputs"]
    for one in inputs:
        picture = cv2.imread(str(golden / one["file"]))
        assert picture.shape[1::-1] == spec.input_size, "a golden picture has the input's size: nothing is resampled"
        scores = subject.scores(Frame(picture, 0.0), region)
        assert scores.sum() == pytest.approx(1.0, abs=1e-3)
        assert spec.labels[int(np.argmax(scores))] == one["top"][0]["label"]
        for top in one["top"]:
            score = float(scores[spec.labels.index(top["label"])])
            assert score == pytest.approx(top["score"], abs=expected["tolerance"]), (one["file"], top["label"])


@pytest.mark.parametrize("name", MODELS)
def test_the_models_that_ship_are_static_int8(name):
    _, interpreter, spec = open_model(name, 1)
    assert interpreter.input.dtype == interpreter.outputs[0].dtype == "int8"
    assert interpreter.input.quantization is not None
    assert interpreter.input.quantization.scale == 1 / 128
    assert interpreter.input.quantization.zero_point == -1
    assert spec.activation == "softmax"


def test_the_shipped_model_exposes_its_pooled_features():
    package, interpreter, _ = open_model(MODELS[0], 1)
    assert package.embedding_output == 1
    assert interpreter.outputs[1].shape == (1, 1280)


def test_the_tiny_model_is_tiny():
    assert (bundled() / "shapes-int8" / "model.tflite").stat().st_size <= 50 * 1024


@pytest.mark.skipif(not LITERT, reason="tflite-runtime 2.14 does not apply XNNPACK to int8 models")
@pytest.mark.parametrize("name", MODELS)
def test_xnnpack_is_active(name):
    _, interpreter, _ = open_model(name, 1)
    assert interpreter.xnnpack


@pytest.mark.skipif(LITERT, reason="a fact about tflite-runtime")
def test_the_older_runtime_says_that_xnnpack_is_not_active():
    _, interpreter, _ = open_model("shapes-int8", 1)
    assert not interpreter.xnnpack


def test_a_text_file_is_refused(tmp_path):
    text = tmp_path / "model.tflite"
    text.write_text("this is no model\n" * 100)
    with pytest.raises(ModelError, match="cannot load"):
        Interpreter(text, 1)


@pytest.mark.skipif(not LITERT, reason="tflite-runtime 2.14 does not verify a model: a truncated one is a crash")
def test_a_truncated_model_is_refused(tmp_path):
    whole = (bundled() / "shapes-int8" / "model.tflite").read_bytes()
    for share in (0.1, 0.5, 0.9):
        short = tmp_path / "model.tflite"
        short.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ModelError, match="cannot load"):
            Interpreter(short, 1)


def test_the_model_file_may_be_replaced_while_it_runs(tmp_path):
    """Rename leaves the mapped inode alone: scores stay what they were."""
    folder = tmp_path / "shapes"
    shutil.copytree(bundled() / "shapes-int8", folder)
    _, interpreter, spec = open_model(str(folder / "model.tflite"), 1)
    subject = TfliteClassifier(interpreter, spec, spec.labels, Ring(8))
    region, frame = Region("full", FULL, "stretch"), Frame(np.full((48, 48, 3), 90, np.uint8), 0.0)
    before = subject.scores(frame, region).copy()
    other: Path = folder / "new.tflite"
    other.write_bytes(b"no model")
    other.replace(folder / "model.tflite")
    np.testing.assert_array_equal(before, subject.scores(frame, region))


def test_a_frame_leaves_nothing_behind():
    """Classifying allocates nothing that grows and nothing as large as a frame."""
    subject, region = classifier("shapes-int8")
    frame = Frame(np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8), 0.0)
    growth, peak = grown(lambda: subject.scores(frame, region))
    assert growth <= 512
    assert peak <= 16 * 1024


def test_a_closed_interpreter_leaves_nothing_in_memory():
    """The one that found out that the model fits, where the run wants more threads."""
    interpreter = Interpreter(bundled() / "shapes-int8" / "model.tflite", 1)
    runtime = weakref.ref(interpreter._interpreter)
    assert runtime() is not None
    interpreter.close()
    gc.collect()
    assert runtime() is None


def test_invokes_are_measured():
    _, interpreter, spec = open_model("shapes-int8", 1)
    ring = Ring(8)
    subject = TfliteClassifier(interpreter, spec, ["circle"], ring)
    assert ring.percentiles() is None
    subject.scores(Frame(np.zeros((48, 48, 3), np.uint8), 3.0), Region("full", FULL, "stretch"))
    assert ring.percentiles() is not None
    assert subject.last_t_s == 3.0
    assert median_invoke_ms(interpreter, 3) > 0


def test_what_the_daemon_writes_while_another_thread_loads_a_model_is_not_swallowed(capfd):
    model = bundled() / "shapes-int8" / "model.tflite"
    Interpreter(model, 1)  # as every daemon does at its start
    done = threading.Event()

    def load() -> None:
        for _ in range(30):
            Interpreter(model, 1)
        done.set()

    thread = threading.Thread(target=load)
    thread.start()
    lines = []
    while not done.is_set():
        lines.append(f"line {len(lines)}")
        os.write(2, f"{lines[-1]}\n".encode())
    thread.join()
    assert capfd.readouterr().err.splitlines() == lines
