"""What people have, each added with one command: the scores are those that the arithmetic of the model gives."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from edged.modelstore import manifest
from tests.adoption.commands import BLUE, GREEN, RED, Commands
from tests.tflite_files import WEIGHTS, Classifier, zipped
from tests.tflite_metadata import metadata

LABELS = ("red", "green", "blue", "grey")
TEXT = b"red\ngreen\nblue\ngrey\n"
QUANTIZED = {
    "uint8 from -1 to 1": ("uint8", (1 / 128, 128), 128.0, 128.0),
    "uint8 as bytes": ("uint8", (1.0, 0), 0.0, 1.0),
    "uint8 from 0 to 1": ("uint8", (1 / 255, 0), 0.0, 255.0),
    "int8 from -1 to 1": ("int8", (1 / 127.5, -1), 127.0, 127.5),
    "int8 from 0 to 1": ("int8", (1 / 255, -128), 0.0, 255.0),
    "int8 with an odd scale": ("int8", (0.0131, 7), 135.0, 1 / 0.0131),
}
SCORES = {
    "float": ("float32", None),
    "uint8": ("uint8", (1 / 256, 0)),
    "int8": ("int8", (1 / 256, -128)),
    "an odd scale": ("uint8", (0.0047, 3)),
}
MIXED = [(source, output, (3, 1)[(a + b) % 2]) for a, source in enumerate(QUANTIZED) for b, output in enumerate(SCORES)]
LOGITS = {"float": ("float32", None), "int8": ("int8", (0.0731, -11)), "an odd scale": ("uint8", (0.21, 140))}


def check(edged: Commands, model: str, made: Classifier, mean: float, std: float, tolerance: float = 0.01) -> None:
    """Three pictures through `edged classify`."""
    for color in (RED, GREEN, BLUE):
        pixel = np.array(color) if made.channels == 3 else np.array([0.299, 0.587, 0.114]) @ color
        expected = made.expected(np.atleast_1d((np.rint(pixel) - mean) / std))
        found = edged.scores(model, edged.picture(color))
        for label, score in zip(LABELS, expected, strict=False):
            assert found[label] == pytest.approx(score, abs=tolerance), (color, found, expected)


def odd(output: tuple[str, tuple[float, int] | None]) -> float:
    """How far a score may be off where the output has few steps."""
    return 0.01 + (0.0 if output[1] is None else min(output[1][0], 0.06))


@pytest.mark.parametrize(("source", "output", "channels"), MIXED)
def test_quantized_inputs_and_scores_of_every_kind(edged, source, output, channels):
    dtype, quantization, mean, std = QUANTIZED[source]
    made = Classifier(
        dtype, quantization, channels, output_dtype=SCORES[output][0], output_quantization=SCORES[output][1]
    )
    done = edged.add(edged.file("Garden Animals.tflite", made.content()), "--labels", edged.file("l.txt", TEXT))
    assert "activation: none" in done.line("activation")
    assert ("grey" if channels == 1 else "rgb") in done.line("color")
    check(edged, "garden-animals@1.0.0", made, mean, std, odd(SCORES[output]))


@pytest.mark.parametrize("output", LOGITS)
@pytest.mark.parametrize("channels", [3, 1])
def test_logits_get_a_softmax(edged, output, channels):
    made = Classifier(
        channels=channels, ending="logits", output_dtype=LOGITS[output][0], output_quantization=LOGITS[output][1]
    )
    done = edged.add(edged.file("m.tflite", made.content()), "--labels", edged.file("l.txt", TEXT))
    assert "softmax  (a guess" in done.line("activation")
    check(edged, "m@1.0.0", made, 128.0, 128.0, odd(LOGITS[output]))


def test_a_sigmoid_stays_what_it_is_and_may_be_said(edged):
    inside = Classifier(ending="sigmoid", output_dtype="uint8", output_quantization=(1 / 256, 0))
    edged.add(edged.file("inside.tflite", inside.content()), "--labels", edged.file("l.txt", TEXT))
    check(edged, "inside@1.0.0", inside, 128.0, 128.0)
    outside = replace(inside, ending="logits", output_dtype="float32", output_quantization=None)
    edged.add(
        edged.file("outside.tflite", outside.content()), "--labels", edged.folder / "l.txt", "--activation", "sigmoid"
    )
    check(edged, "outside@1.0.0", replace(outside, ending="sigmoid"), 128.0, 128.0)


@pytest.mark.parametrize("ending", ["sigmoid", "logits"])
@pytest.mark.parametrize("labels", [("red",), ("not red", "red")])
def test_one_single_output_is_the_score_of_one_label_or_of_the_second_of_two(edged, ending, labels):
    made = Classifier(classes=1, ending=ending)
    words = [word for label in labels for word in ("--label", label)]
    edged.add(edged.file("m.tflite", made.content()), *words)
    (expected,) = made.expected((np.array(RED) - 128) / 128)
    found = edged.scores("m@1.0.0", edged.picture(RED))
    assert found.pop("red") == pytest.approx(expected, abs=0.01)
    assert found == ({} if len(labels) == 1 else {"not red": pytest.approx(1 - expected, abs=0.01)})


@pytest.mark.parametrize("second", ["before", "behind"])
def test_of_two_outputs_that_with_a_score_a_label_counts(edged, second):
    made = Classifier(second=second)
    done = edged.add(edged.file("m.tflite", made.content()), "--labels", edged.file("l.txt", TEXT))
    assert f"{1 if second == 'before' else 0} of 2" in done.line("output")
    check(edged, "m@1.0.0", made, 128.0, 128.0)


@pytest.mark.parametrize(("mean", "std"), [(127.5, 127.5), (0.0, 255.0), (100.0, 50.0)])
@pytest.mark.parametrize("channels", [3, 1])
def test_a_float_input_is_what_its_metadata_say(edged, mean, std, channels):
    told = metadata(
        [mean], [std], labels="labels.txt", color=1 if channels == 3 else 2, licence="Apache-2.0\nand so on"
    )
    made = Classifier("float32", None, channels, metadata=told, attached={"labels.txt": TEXT})
    done = edged.add(edged.file("m.tflite", made.content()))
    assert "its metadata say so" in done.line("pixels")
    assert "labels.txt inside the model" in done.line("labels")
    assert manifest.read(edged.folder / "state/models/m@1.0.0").licence == "Apache-2.0"
    check(edged, "m@1.0.0", made, mean, std)


def test_a_float_input_without_a_word_has_to_be_told(edged):
    made = Classifier("float32", None)
    file, labels = edged.file("m.tflite", made.content()), edged.file("l.txt", TEXT)
    said = edged.refused(file, "--labels", labels, code=2)
    assert "--mean 127.5 --std 127.5" in said
    said = edged.refused(file, code=2)
    assert "4 outputs and brings no labels: say --labels FILE" in said
    assert "--mean 127.5" in said
    edged.add(file, "--labels", labels, "--mean", "120,110,100", "--std", "60")
    check(edged, "m@1.0.0", made, np.array([120, 110, 100]), 60)


@pytest.mark.parametrize(
    ("factor", "taken", "std"), [(1 / 255, "(pixel - 0) / 1", 255.0), (2.0, "(pixel - 0) / 255", 127.5)]
)
def test_a_model_that_scales_pixels_itself_gets_them_as_it_expects_them(edged, factor, taken, std):
    made = Classifier("float32", None, scaled=factor)
    done = edged.add(edged.file("m.tflite", made.content()), "--labels", edged.file("l.txt", TEXT))
    assert taken in done.line("pixels")
    assert "a guess: the model begins with MUL" in done.line("pixels")
    check(edged, "m@1.0.0", made, 0.0, std)


def test_a_factor_that_says_nothing_is_no_evidence(edged):
    file = edged.file("m.tflite", Classifier("float32", None, scaled=0.3).content())
    assert "--mean 127.5" in edged.refused(file, "--labels", edged.file("l.txt", TEXT), code=2)


@pytest.mark.parametrize(("inside", "mean", "std"), [((1 / 127.5, -1), 127.0, 127.5), ((1 / 255, -128), 0.0, 255.0)])
def test_a_float_input_in_front_of_an_int8_network(edged, inside, mean, std):
    made = Classifier("float32", None, inside=inside)
    done = edged.add(edged.file("m.tflite", made.content()), "--labels", edged.file("l.txt", TEXT))
    assert "the range that the first layer quantizes to" in done.line("pixels")
    check(edged, "m@1.0.0", made, mean, std)


def test_a_range_of_imagenets_deviation_is_seen(edged):
    made = Classifier("int8", (4.758 / 255, -14))
    done = edged.add(edged.file("m.tflite", made.content()), "--labels", edged.file("l.txt", TEXT))
    assert "[123.675, 116.28, 103.53]" in done.line("pixels")
    check(edged, "m@1.0.0", made, np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375]), 0.02)


@pytest.mark.parametrize("labels", [b"0 red\n1 green\n2 blue\n3 grey\n", b"0 red\r\n1 green\r\n2 blue\r\n3 grey"])
@pytest.mark.parametrize("name", ["model.tflite", "model_unquant.tflite"])
def test_an_export_of_teachable_machine(edged, name, labels):
    quantized = name == "model.tflite"
    made = Classifier("uint8", (1 / 128, 127)) if quantized else Classifier("float32", None)
    export = zipped(edged.folder / "converted_tflite.zip", {name: made.content(), "labels.txt": labels})
    done = edged.add(export, "--picture", edged.picture(RED))
    assert "center-crop  (as Teachable Machine" in done.line("fit")
    assert "teachable-machine" in done.line("name")
    assert done.out.index("red") < done.out.index("%  red") < done.out.index("%  green")
    mean, std = (127.0, 128.0) if quantized else (127.5, 127.5)
    check(edged, "teachable-machine@1.0.0", made, mean, std)
    told = manifest.read(edged.folder / "state/models/teachable-machine@1.0.0")
    assert (told.licence, told.source) == ("unknown", f"added from {export}: {name}")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.txt", TEXT),
        (
            "model-parameters/model_variables.h",
            b'const char* ei_classifier_inferencing_categories[] = { "red", "green", "blue", "grey" };',
        ),
        ("deployment-metadata.json", json.dumps({"version": 1, "classes": LABELS}).encode()),
    ],
)
@pytest.mark.parametrize("quantized", [True, False])
def test_an_export_of_edge_impulse(edged, name, content, quantized):
    made = Classifier("int8", (1 / 255, -128), output_dtype="int8", output_quantization=(1 / 256, -128))
    if not quantized:
        made = Classifier("float32", None)
    files = {"trained.tflite": made.content(), name: content, "ei_image_classification.py": b"raise SystemExit"}
    edged.add(zipped(edged.folder / "ei-garden-openmv-v3.zip", files))
    check(edged, "ei-garden-openmv-v3@1.0.0", made, 0.0, 255.0)


def test_a_bare_model_of_edge_impulse_ends_in_lite(edged):
    made = Classifier("float32", None)
    edged.add(edged.file("ei-garden-float32.lite", made.content()), "--labels", edged.file("l.txt", TEXT))
    check(edged, "ei-garden-float32@1.0.0", made, 0.0, 255.0)


def test_labels_that_lie_beside_the_model_are_found_and_told(edged):
    edged.file("m.labels.txt", TEXT)
    done = edged.add(edged.file("m.tflite", Classifier().content()))
    assert f"{edged.folder}/m.labels.txt" in done.line("labels")


def test_the_options_win(edged):
    told = metadata([0.0], [255.0], labels="labels.txt", color=1)
    made = Classifier("float32", None, metadata=told, attached={"labels.txt": TEXT})
    edged.add(
        *(edged.file("m.tflite", made.content()), "--name", "other", "--version", "3.1", "--licence", "MIT"),
        *("--source", "trained at home", "--color", "bgr", "--fit", "letterbox", "--mean", "10", "--std", "20"),
        *("--background", "3", "--labels", edged.file("l.txt", b"a\nb\nc\nd")),
    )
    found = manifest.read(edged.folder / "state/models/other@3.1")
    assert (found.name, found.version, found.licence, found.source) == ("other", "3.1", "MIT", "trained at home")
    assert (found.input.color, found.input.fit, found.input.mean, found.input.std) == (
        "bgr",
        "letterbox",
        (10.0,),
        (20.0,),
    )
    assert (found.output.background, found.output.activation) == (3, "none")
    expected = made.expected((np.array(RED[::-1]) - 10) / 20)
    assert edged.scores("other@3.1", edged.picture(RED)) == {
        label: pytest.approx(float(score), abs=0.01) for label, score in zip("abc", expected, strict=False)
    }


def test_the_same_again_is_there_already_and_another_is_the_next_version(edged):
    file, labels = edged.file("m.tflite", Classifier().content()), edged.file("l.txt", TEXT)
    assert "installed m@1.0.0" in edged.add(file, "--labels", labels).out
    assert "m@1.0.0 was there already" in edged.add(file, "--labels", labels, "--licence", "MIT").out
    assert "installed m@2.0.0" in edged.add(file, "--labels", edged.file("l.txt", b"a\nb\nc\nd\n")).out
    assert "m@1.0.0 was there already" in edged.add(file, "--labels", edged.file("l.txt", TEXT)).out
    assert (
        "installed m@2.0.0-rc1" in edged.add(file, "--labels", labels, "--fit", "stretch", "--version", "2.0.0-rc1").out
    )
    assert "installed m@3.0.0" in edged.add(file, "--labels", labels, "--fit", "letterbox").out


def test_a_folder_may_be_had_instead_to_edit_or_sign_it(edged):
    file, labels = edged.file("m.tflite", Classifier().content()), edged.file("l.txt", TEXT)
    into = edged.folder / "made"
    assert f"wrote {into}" in edged.add(file, "--labels", labels, "--into", into).out
    assert not (edged.folder / "state/models").exists()
    assert sorted(path.name for path in into.iterdir()) == ["labels.txt", "model.tflite", "model.toml"]
    done = edged.run("model", "add", file, "--labels", labels, "--into", into)
    assert (done.code, done.err) == (1, f"edged model: {into}: is there already; name a folder that is not\n")
    assert "installed m@1.0.0" in edged.add(into).out
    assert "installed m@1.0.0" in edged.add(into / "model.tflite").out
    done = edged.run("model", "add", into, "--name", "x")
    assert done.code == 2
    assert "--name is for a bare .tflite or a zip" in done.err


def test_scores_are_shown_at_once(edged):
    file, labels = edged.file("m.tflite", Classifier().content()), edged.file("l.txt", TEXT)
    assert "a picture of edged's own, cat.png (yours: --picture FILE)" in edged.add(file, "--labels", labels).out
    done = edged.run("model", "add", file, "--labels", labels, "--name", "n", "--picture", edged.folder / "none.png")
    assert (done.code, done.err) == (1, f"edged model: {edged.folder}/none.png: there is no such file\n")
    assert not (edged.folder / "state/models/n@1.0.0").exists()


def test_the_weights_of_the_toy_tell_its_inputs_apart():
    """Else a wrong normalisation could pass: one that is off by a factor of two moves a score by more than that."""
    made = Classifier()
    right, wrong = (made.expected((np.array(RED) - 128) / std) for std in (128, 255))
    assert abs(right - wrong).max() > 0.2
    assert WEIGHTS.shape == (4, 3)
