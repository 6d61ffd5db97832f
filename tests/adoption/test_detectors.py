"""Detectors: a label's score is its best box, whatever the order of the outputs."""

from __future__ import annotations

import itertools
import json

import cv2
import numpy as np
import pytest

from edged.app import open_model
from edged.core.detections import Detections
from edged.core.stats import Ring
from edged.core.types import FULL, Box, Frame, Region
from edged.edges.tflite import TfliteClassifier
from edged.modelstore import manifest
from tests.adoption.commands import BLUE, RED, Commands
from tests.heap import grown
from tests.tflite_detector import ORDER, Detector, score_of
from tests.tflite_metadata import metadata

TEXT = b"red\ngreen\nblue\n"
WORDS = {
    "boxes": "detection_boxes",
    "classes": "detection_classes",
    "scores": "detection_scores",
    "count": "num_detections",
}
SIGNATURE = {"boxes": "output_3", "classes": "output_2", "scores": "output_1", "count": "output_0"}
TF2 = ("scores", "boxes", "count", "classes")


def squares(*placed: tuple[int, int, tuple[int, int, int]]) -> np.ndarray:
    """A black picture of 4 x 4 cells, some of them painted: (column, row, colour)."""
    picture = np.zeros((128, 128, 3), np.uint8)
    for column, row, color in placed:
        cv2.rectangle(picture, (32 * column, 32 * row), (32 * column + 31, 32 * row + 31), color[::-1], -1)
    return picture


def added(edged: Commands, made: Detector, *words: object):
    return edged.add(edged.file("m.tflite", made.content()), "--labels", edged.file("l.txt", TEXT), *words)


def check(edged: Commands) -> None:
    """Two red squares, one of them dull, and a blue one; nothing is green."""
    picture = edged.painted(squares((0, 0, RED), (3, 1, BLUE), (2, 3, (150, 40, 30))))
    found = edged.scores("m@1.0.0", picture)
    assert found["red"] == pytest.approx(score_of(RED, 0), abs=0.01)
    assert found["blue"] == pytest.approx(score_of(BLUE, 2), abs=0.01)
    assert found["green"] == 0.0
    assert found["red"] > 0.3


@pytest.mark.parametrize("order", list(itertools.permutations(ORDER))[::4], ids="-".join)
def test_the_operation_says_which_output_is_which(edged, order):
    done = added(edged, Detector(order=order))
    assert "a detector, taken as" in done.out
    told = manifest.read(edged.folder / "state/models/m@1.0.0")
    assert (told.task, told.output.activation) == ("detect", "none")
    assert [getattr(told.output, key) for key in ORDER] == [order.index(key) for key in ORDER]
    check(edged)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (Detector(TF2, WORDS, hidden=True), "the outputs' names"),
        (Detector(TF2, hidden=True, signature=SIGNATURE), "the model's signature"),
        (Detector(TF2, hidden=True, signature=WORDS), "the names in its signature"),
        (
            Detector(
                TF2, hidden=True, metadata=metadata(outputs=("score", "location", "number of detections", "category"))
            ),
            "its metadata",
        ),
        (Detector(TF2, hidden=True), "a guess: the usual order"),
        (Detector(ORDER, hidden=True), "a guess: the usual order"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_where_it_does_not_names_do_or_the_usual_order(edged, made, reason):
    assert reason in added(edged, made).line("outputs")
    check(edged)


def test_an_order_that_cannot_be_known_is_asked_for(edged):
    order = ("classes", "count", "scores", "boxes")
    file, labels = edged.file("m.tflite", Detector(order, hidden=True).content()), edged.file("l.txt", TEXT)
    said = edged.refused(file, "--labels", labels)
    assert "say which is which: --outputs BOXES,CLASSES,SCORES,COUNT" in said
    edged.add(file, "--labels", labels, "--outputs", "3,0,2,1")
    check(edged)
    done = edged.run("model", "add", file, "--labels", labels, "--name", "wrong", "--outputs", "0,1,2,3")
    assert done.code == 78
    assert "expected boxes (1, n, 4)" in done.err


def test_labels_come_from_the_metadata_of_the_classes(edged):
    told = metadata(
        outputs=("location", "category", "score", "number of detections"), labels="labelmap.txt", labelled=1, color=1
    )
    made = Detector(metadata=told, attached={"labelmap.txt": b"red\ngreen\nblue\n"})
    edged.add(edged.file("m.tflite", made.content()))
    check(edged)


def test_labels_are_counted_as_detectors_count(edged):
    file = edged.file("m.tflite", Detector(classes=5).content())
    edged.add(file, "--labels", edged.file("l.txt", b"???\nred\ngreen\nblue\n???\nkite\n"))
    check(edged)
    assert "class 3" in edged.scores("m@1.0.0", edged.picture())
    assert (
        "has 3 labels and the model 5 classes"
        in edged.run("model", "add", file, "--labels", edged.file("l.txt", TEXT)).err
    )


def test_a_detector_has_neither_background_nor_activation(edged):
    for words in (("--background", "0"), ("--activation", "softmax")):
        file = edged.file("m.tflite", Detector().content())
        assert "leave out --activation and --background" in edged.refused(
            file, "--labels", edged.file("l.txt", TEXT), *words
        )


def test_a_region_is_what_the_detector_sees(edged):
    """Which is how a rule says where: the same picture, two halves."""
    added(edged, Detector())
    package, interpreter, spec = open_model("m@1.0.0", 1)
    assert package.scores_output == Detections(0, 1, 2, 3)
    subject = TfliteClassifier(interpreter, spec, ("red", "blue"), Ring(8), package.scores_output)
    frame = Frame(squares((0, 0, RED), (0, 1, RED), (3, 3, BLUE), (2, 3, BLUE), (3, 2, BLUE), (2, 2, BLUE)), 0.0)
    left = subject.scores(frame, Region("left", Box(0.0, 0.0, 0.5, 1.0), "stretch")).copy()
    right = subject.scores(frame, Region("right", Box(0.5, 0.0, 1.0, 1.0), "stretch")).copy()
    assert left[0] > 0.5 > left[1] == 0.0
    assert right[1] > 0.5 > right[0] == 0.0


def test_a_group_is_its_best_label(edged):
    added(edged, Detector(), "--into", edged.folder / "f")
    text = (edged.folder / "f/model.toml").read_text() + '\n[groups]\nwarm = ["red", "green"]\nall = ["red", "blue"]\n'
    (edged.folder / "f/model.toml").write_text(text)
    edged.add(edged.folder / "f")
    found = edged.scores("m@1.0.0", edged.painted(squares((0, 0, RED), (3, 1, BLUE))))
    assert found["warm"] == found["red"] < found["blue"] == found["all"]


def test_a_frame_leaves_nothing_behind(edged):
    """A detector allocates nothing that grows, and nothing as large as a frame."""
    added(edged, Detector())
    package, interpreter, spec = open_model("m@1.0.0", 1)
    subject = TfliteClassifier(interpreter, spec, spec.labels, Ring(8), package.scores_output)
    frame, region = Frame(squares((0, 0, RED), (3, 1, BLUE)), 0.0), Region("full", FULL, "stretch")
    growth, peak = grown(lambda: subject.scores(frame, region))
    assert growth <= 512
    assert peak <= 16 * 1024


def test_a_configuration_with_a_detector_is_checked_and_measured_like_any_other(edged):
    added(edged, Detector())
    edged.painted(squares((0, 0, RED)))
    text = f"""
[camera]
source = "file:{edged.folder}/0.png"
[model]
name = "m"
[[region]]
name = "door"
box = [0.0, 0.0, 0.5, 1.0]
[[rule]]
label = "red"
region = "door"
[[rule]]
label = "%s"
[mqtt]
host = "127.0.0.1"
"""
    done = edged.run("check", "--config", edged.file("edged.toml", (text % "blue").encode()))
    assert (done.code, done.err) == (0, "")
    done = edged.run("check", "--config", edged.file("edged.toml", (text % "person").encode()))
    assert done.code == 78
    assert "has no label 'person'" in done.err
    done = edged.run("bench", "--json", "--frames", "40", "--model", "m@1.0.0")
    assert (done.code, json.loads(done.out)["model"].partition("@")[0]) == (0, "m")
