"""Models of others and photographs, where a folder with them lies beside the checkout; see CONTRIBUTING.md.

None of them may be handed on with edged, so they are not in the repository.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edged.app import still_classifier
from tests.adoption.commands import Commands

DATA = Path(os.environ.get("EDGED_DATA", Path(__file__).parents[3] / "shared" / "data"))
MODELS, PHOTOGRAPHS = DATA / "models", DATA / "calibration"
PEOPLE = (400, 416, 430, 432, 456, 558, 560, 568, 602, 614, 642, 652, 842, 880, 890, 906, 982)
"""Photographs that show somebody, seen by eye."""
CLOSE = (400, 558, 614, 642, 652, 880)
"""Of those, the ones in which somebody fills a good part of the picture."""
ANIMALS = 398
"""The first of ImageNet's classes that is no animal."""

pytestmark = pytest.mark.skipif(not MODELS.is_dir(), reason=f"no models of others in {MODELS}")


def first(model: str, files: list[Path]) -> dict[int, str]:
    """The label that comes first, by ImageNet's class, which a photograph's name begins with."""
    classify = still_classifier(model)
    return {int(file.name[:4]): classify(file, 1)[0][0] for file in files}


def photographs(step: int = 1) -> list[Path]:
    return sorted(PHOTOGRAPHS.glob("*.jpg"))[::step]


def test_mobilenet_brings_its_labels_and_names_what_it_sees(edged: Commands, record_property):
    done = edged.add(MODELS / "mobilenet_v2_1.0_224_quant.tflite", "--picture", DATA / "images" / "parrot.jpg")
    assert "1001: 'background', 'tench" in done.line("labels")
    assert "inside the model" in done.line("labels")
    assert "activation: none" in done.line("activation")
    assert "(pixel - 128) / 128" in done.line("pixels")
    assert done.out.partition("%  ")[2].startswith("macaw\n")
    name = "mobilenet-v2-1.0-224-quant@1.0.0"
    assert "cat" in still_classifier(name)(DATA / "images" / "cat_720p.jpg", 1)[0][0]
    labels = (edged.folder / "state/models" / name / "labels.txt").read_text().splitlines()
    found = first(name, photographs(5))
    right = sum(labels[number + 1] == label for number, label in found.items())
    record_property("right", f"{right} of {len(found)}")
    assert (right >= 80, len(found)) == (True, 100), right


def test_the_same_with_a_label_file_of_another_kind(edged: Commands):
    """As the label files of Coral and TensorFlow Hub are, and without the background that the model has."""
    plain = (MODELS / "mobilenet_v2_1.0_224_quant.labels.txt").read_text().splitlines()
    numbered = "".join(f"{number}  {label}\n" for number, label in enumerate(plain)).encode()
    lacking = "".join(f"{label}\r\n" for label in plain[1:]).encode()
    for name, content in (("numbered", numbered), ("lacking", lacking)):
        done = edged.add(
            *(MODELS / "mobilenet_v2_1.0_224_quant.tflite", "--labels", edged.file("l.txt", content), "--name", name),
            *("--picture", DATA / "images" / "parrot.jpg"),
        )
        assert "background: 0, 'background'" in done.line("background")
        assert done.out.partition("%  ")[2].startswith("macaw\n")


@pytest.mark.parametrize(
    ("file", "activation", "people", "seen", "unseen"),
    [
        ("wake_vision_person_mobilenetv2", "none", PEOPLE, 16, 160),
        ("wake_vision_person_micronets_grey", "softmax", CLOSE, 5, 175),
    ],
)
def test_the_person_models_tell_people_from_animals(
    edged: Commands, record_property, file, activation, people, seen, unseen
):
    done = edged.add(MODELS / f"{file}.tflite", "--label", "no person", "--label", "person")
    assert f"activation: {activation}" in done.line("activation")
    assert "(pixel - 0) / 1" in done.line("pixels")
    found = first(f"{file.replace('_', '-')}@1.0.0", photographs())
    shown = sum(found[number] == "person" for number in people)
    animals = [label for number, label in found.items() if number < ANIMALS]
    empty = animals.count("no person")
    record_property("right", f"{shown} of {len(people)} with people, {empty} of {len(animals)} of animals")
    print(f"{file}: person first on {shown} of {len(people)}, no person first on {empty} of {len(animals)} of animals")
    assert (shown >= seen, empty >= unseen) == (True, True), (shown, empty)
