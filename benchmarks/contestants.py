"""Ways to classify a frame, each a worker process of its own with only the imports that it needs.

    python -m benchmarks.contestants NAME MODEL

Started by `benchmarks.peers`: a line on stdin says how many frames to do, a line on stdout what one of them took. No
import of a contestant at the top: one of them runs in an environment without edged.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

WIDTH_PX, HEIGHT_PX = 640, 480
UNTIMED_FRAMES = 2
"""Done before each block: they bring back the caches that the worker before has filled with its own."""
WARM_UP_FRAMES = 10
ANSWERS = os.dup(1)
"""The driver's pipe. Libraries print to stdout, too: from here on that is stderr."""
os.dup2(2, 1)


def blocks() -> Iterator[int]:
    """How many frames to do next; what they took is told when the one after is asked for."""
    yield WARM_UP_FRAMES
    say({"ready": True})
    for line in sys.stdin:
        count = int(line)
        yield UNTIMED_FRAMES
        cpu_s = time.process_time()
        yield count
        say({"cpu_ms": (time.process_time() - cpu_s) * 1e3 / count})


def say(message: dict[str, Any]) -> None:
    """One JSON line to the driver."""
    os.write(ANSWERS, json.dumps(message).encode() + b"\n")


def pictures() -> Iterator[Any]:
    """The pictures of `edged.edges.camera_memory`, without edged: (480, 640, 3) uint8, BGR, over and over."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (4, HEIGHT_PX // 16, WIDTH_PX // 16, 3), dtype=np.uint8)
    return itertools.cycle([np.repeat(np.repeat(one, 16, axis=0), 16, axis=1) for one in coarse])


def each(classify: Callable[[Any], object]) -> None:
    """Does the blocks with one call a picture."""
    camera = pictures()
    for count in blocks():
        for _ in range(count):
            classify(next(camera))


def interpreter(model: Path) -> Any:
    """A plain interpreter with one thread."""
    from ai_edge_litert.interpreter import Interpreter

    made = Interpreter(model_path=str(model), num_threads=1)
    made.allocate_tensors()
    return made


def bare(model: Path) -> None:
    """Nothing but invoke()."""
    invoke = interpreter(model).invoke
    each(lambda _picture: invoke())


def usual(model: Path) -> None:
    """The usual example: one interpreter, and for each frame PIL, float, set_tensor and get_tensor."""
    made = interpreter(model)
    each(lambda picture: example(made, picture))


def fresh(model: Path) -> None:
    """The same with a new interpreter for each frame, as a published camera example does it."""
    each(lambda picture: example(interpreter(model), picture))


def example(made: Any, picture: Any) -> Any:
    """A frame as tutorials classify it: the five best classes with their scores."""
    from PIL import Image

    told, output = made.get_input_details()[0], made.get_output_details()[0]
    height_px, width_px = told["shape"][1:3]
    image = Image.fromarray(picture[:, :, ::-1]).resize((width_px, height_px))
    data = (np.asarray(image, dtype=np.float32) - 127.5) / 127.5
    scale, zero_point = told["quantization"]
    limits = np.iinfo(told["dtype"])
    data = np.clip(np.round(data / scale + zero_point), limits.min, limits.max).astype(told["dtype"])
    made.set_tensor(told["index"], np.expand_dims(data, axis=0))
    made.invoke()
    scale, zero_point = output["quantization"]
    scores = scale * (np.squeeze(made.get_tensor(output["index"])).astype(np.float32) - zero_point)
    return [(int(index), float(scores[index])) for index in np.argsort(scores)[-5:][::-1]]


def opened(model: Path) -> tuple[Any, Any]:
    """edged's interpreter and ModelSpec: by the manifest beside the model, or for one without by hand.

    By hand: RGB, the whole picture, mean and std that undo the quantization of the input, scores as they come.
    """
    from edged import app
    from edged.core.labels import fit_model
    from edged.core.types import InputSpec
    from edged.edges.tflite import Interpreter

    if (model.parent / "model.toml").is_file():
        _, made, spec = app.open_model(str(model), 1)
        return made, spec
    made = Interpreter(model, 1)
    names = model.with_suffix(".labels.txt")
    classes = made.outputs[0].shape[-1]
    lines = names.read_text(encoding="utf-8").splitlines() if names.is_file() else map(str, range(classes))
    quantization = made.input.quantization
    assert quantization is not None, f"{model.name}: expected a quantized model"
    mean, std = float(quantization.zero_point), 1.0 / quantization.scale
    spec = fit_model(
        *(model.stem, "0", "0" * 64, tuple(lines), {}),
        InputSpec("rgb", "stretch", (mean,), (std,)),
        *("none", 0, made.input, made.outputs[0]),
    )
    return made, spec


def edged_classifier(model: Path) -> None:
    """edged from a frame to scores: preprocessing in place, invoke(), and the wanted score."""
    from edged.core.stats import Ring
    from edged.core.types import FULL, Frame, Region
    from edged.edges.tflite import TfliteClassifier

    made, spec = opened(model)
    classifier = TfliteClassifier(made, spec, (spec.labels[-1],), Ring(600))
    region = Region("full", FULL, spec.input.fit)
    each(lambda picture: classifier.scores(Frame(picture, 0.0), region))


def edged_loop(model: Path) -> None:
    """The whole of edged but a broker: capture thread, copy, classifier, decision, outbox, publisher."""
    from benchmarks.whole_loop import run

    run(*opened(model), blocks())


def mediapipe(model: Path) -> None:
    """MediaPipe's ImageClassifier in VIDEO mode, the best class only. It has no option for threads."""
    import cv2
    import mediapipe as mp
    from mediapipe.tasks import python as tasks
    from mediapipe.tasks.python import vision

    options = vision.ImageClassifierOptions(
        base_options=tasks.BaseOptions(model_asset_path=str(model)),
        running_mode=vision.RunningMode.VIDEO,
        max_results=1,
    )
    classifier = vision.ImageClassifier.create_from_options(options)
    stamps_ms = itertools.count(1, 33)

    def classify(picture: Any) -> object:
        rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        return classifier.classify_for_video(mp.Image(image_format=mp.ImageFormat.SRGB, data=rgb), next(stamps_ms))

    each(classify)


CONTESTANTS: dict[str, Callable[[Path], None]] = {
    "bare": bare,
    "edged-loop": edged_loop,
    "edged-classifier": edged_classifier,
    "usual": usual,
    "fresh": fresh,
    "mediapipe": mediapipe,
}


def main() -> None:
    """One contestant, until stdin ends. A failure is told in one line, too."""
    try:
        CONTESTANTS[sys.argv[1]](Path(sys.argv[2]).resolve())
    except Exception as error:  # noqa: BLE001 - whatever a peer says, the driver prints
        lines = str(error).strip().splitlines()
        say({"error": lines[0] if lines else type(error).__name__})


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
