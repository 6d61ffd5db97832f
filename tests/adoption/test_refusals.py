"""What cannot be used: one plain sentence, the right exit code, nothing installed and nothing left behind."""

from __future__ import annotations

import os
import shutil
import tempfile

import numpy as np
import pytest

from edged.adoption import archive
from edged.core.errors import ModelError
from edged.modelstore import bundled
from tests.tflite_detector import Detector
from tests.tflite_files import CUSTOM, Classifier, File, zipped

TEXT = b"red\ngreen\nblue\ngrey\n"


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (b"", "is empty, as after a download that failed"),
        (b"<!DOCTYPE html><html>", "is a web page and not a model"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "is a Keras model (HDF5)"),
        (b"\x7fELF\x02\x01\x01" + bytes(600), "is a program and no model (as an .eim of Edge Impulse is)"),
        (b"just words\n", "is a text file and not a model"),
        (bytes(1000), "is no TFLite model"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(range(256)) * 20, "is damaged"),
        (b"\x1c\x00\x00\x00TFL3", "is damaged"),
    ],
)
def test_what_is_no_model(edged, content, fragment):
    said = edged.refused(edged.file("m.tflite", content))
    assert said.startswith(f"{edged.folder}/m.tflite: ")
    assert fragment in said


def test_a_pipe_a_folder_and_nothing(edged):
    os.mkfifo(edged.folder / "pipe.tflite")
    assert "pipe.tflite: is no file but a named pipe" in edged.refused(edged.folder / "pipe.tflite")
    assert "there is no such file or folder" in edged.refused(edged.folder / "none.tflite")
    (edged.folder / "empty").mkdir()
    assert "there is no such file or folder; expected a .tflite with its manifest" in edged.refused(
        edged.folder / "empty"
    )
    os.mkfifo(edged.folder / "labels")
    file = edged.file("m.tflite", Classifier().content())
    assert "labels: is no file but a named pipe" in edged.refused(file, "--labels", edged.folder / "labels")
    assert "there is no such file" in edged.refused(file, "--labels", edged.folder / "none.txt")
    assert "larger than 1048576 bytes" in edged.refused(file, "--labels", edged.file("l.txt", b"a\n" * (1 << 20)))


def test_a_huge_file_is_not_read(edged):
    with (edged.folder / "huge.tflite").open("wb") as file:
        file.truncate(archive.MAX_MODEL_BYTES + (1 << 20))
    assert "models of up to 256 MiB are taken" in edged.refused(edged.folder / "huge.tflite")


@pytest.mark.parametrize(
    ("labels", "fragment"),
    [
        (
            b"red\ngreen\n",
            "l.txt: has 2 labels and the model 4 outputs; give the label file that belongs to this model",
        ),
        (b"a\nb\nc\nd\ne\nf\n", "l.txt: has 6 labels and the model 4 outputs"),
        (b"red\ngreen\nblue\n", "or --background 0 where the first output is a background"),
        (b"\n\n", "l.txt: is empty"),
        (b"\x00\x01\x02", "l.txt:1: the line cannot be shown"),
        (b"r\xe9d\n", "l.txt: is no UTF-8 text"),
    ],
)
def test_labels_that_do_not_fit(edged, labels, fragment):
    file = edged.file("m.tflite", Classifier().content())
    assert fragment in edged.refused(file, "--labels", edged.file("l.txt", labels))


def test_no_labels_is_wrong_usage_where_nobody_can_be_asked(edged):
    said = edged.refused(edged.file("m.tflite", Classifier().content()), code=2)
    assert "the model has 4 outputs and brings no labels: say --labels FILE, or --label NAME for each" in said
    said = edged.refused(edged.file("m.tflite", Classifier(classes=1).content()), code=2)
    assert "the model has one output and brings no label" in said
    said = edged.refused(edged.file("m.tflite", Detector().content()), code=2)
    assert "the model is a detector and brings no labels" in said


def shaped(inputs: list[tuple[tuple[int, ...], str]], outputs: list[tuple[int, ...]]) -> bytes:
    """A model of nothing but its ends."""
    file = File()
    sources = [file.tensor(shape, dtype) for shape, dtype in inputs]
    results = [file.tensor(shape) for shape in outputs]
    for result in results:
        file.step(0, [sources[0], sources[0]], [result])
    return file.content(sources, results)


def deadly() -> bytes:
    """A model that the runtime does not survive: it adds bytes that have no scale, and looks for one."""
    file = File()
    source, scores = file.tensor((1, 8, 8, 3)), file.tensor((1, 192))
    reshape = file.s.ReshapeOptionsT()
    reshape.newShape = [1, 192]
    file.step(22, [source, file.tensor((2,), "int32", data=np.int32([1, 192]))], [scores], reshape)
    numbers, total = file.tensor((1, 4), "uint8", data=np.zeros(4, np.uint8)), file.tensor((1, 4), "uint8")
    file.step(0, [numbers, numbers], [total])
    return file.content([source], [scores])


PICTURE = ((1, 8, 8, 3), "float32")


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (shaped([PICTURE, PICTURE], [(1, 4)]), "has 2 inputs; expected one, which is a picture"),
        (shaped([((1, 16000), "float32")], [(1, 4)]), "its input has the shape (1, 16000); expected one picture"),
        (shaped([((1, 3, 224, 224), "float32")], [(1, 4)]), "has the channels first"),
        (shaped([((4, 8, 8, 3), "float32")], [(1, 4)]), "expected one picture"),
        (shaped([((1, 1, 1, 3), "float32")], [(1, 4)]), "no size of its own"),
        (shaped([((1, 8, 8, 3), "int16")], [(1, 4)]), "its input is int16"),
        (shaped([PICTURE], [(1, 12, 12, 3)]), "its outputs have the shapes (1, 12, 12, 3); expected one score a class"),
        (shaped([PICTURE], [(1, 84, 8400)]), "expected one score a class, or the boxes"),
        (shaped([((1, 8, 8, 3), "uint8")], [(1, 4)]), "the uint8 input has no scale"),
        (Classifier(custom="FlexErf").content(), "uses FlexErf, an operation of whole TensorFlow"),
        (Classifier(custom="edgetpu-custom-op").content(), "is compiled for the Edge TPU"),
        (Classifier(custom="Landmarks2TransformMatrix").content(), "the runtime cannot load it"),
        (deadly(), "it crashes the runtime (SIG"),
    ],
)
def test_a_model_that_is_none_for_pictures_or_not_for_this_runtime(edged, content, fragment):
    labels = "".join(f"{n} x\n" for n in range(192)).encode() if content == deadly() else TEXT
    words = ("--labels", edged.file("l.txt", labels), "--mean", "0", "--std", "1")
    assert fragment in edged.refused(edged.file("m.tflite", content), *words)


@pytest.mark.parametrize(
    ("words", "code", "fragment"),
    [
        (("--mean", "1"), 78, "--mean and --std go together"),
        (("--mean", "1,2,3", "--std", "0"), 2, "expected numbers above 0, found '0'"),
        (("--mean", "1,2", "--std", "1"), 2, "expected one number, or three"),
        (("--mean", "nan", "--std", "1"), 2, "expected one number, or three"),
        (("--color", "grey"), 78, "--color grey does not go with an input of 3 channels"),
        (("--color", "cmyk"), 2, "invalid choice"),
        (("--background", "4"), 78, "--background 4: is no number of its 4 labels"),
        (("--background", "-1"), 2, "--background"),
        (("--outputs", "0,1,2"), 2, "expected the numbers 0 to 3"),
        (("--outputs", "0,1,2,3"), 78, "model.tflite has 1; expected four different ones"),
        (("--label", "a"), 2, "--labels and --label are two ways to say the same"),
        (("--name", "Not A Name"), 78, "name: "),
        (("--name", "../up"), 78, "name: "),
        (("--name", "shapes-int8"), 78, "shapes-int8 is the name of a model that ships"),
        (("--version", "a/b"), 78, "version: "),
        (("--licence", "two\nlines"), 78, "licence: "),
    ],
)
def test_options_that_make_no_sense(edged, words, code, fragment):
    file = edged.file("m.tflite", Classifier().content())
    assert fragment in edged.refused(file, "--labels", edged.file("l.txt", TEXT), *words, code=code)


def test_softmax_of_a_single_output_says_nothing(edged):
    file = edged.file("m.tflite", Classifier(classes=1, ending="logits").content())
    assert "makes 1 of every single output" in edged.refused(file, "--label", "red", "--activation", "softmax")


def test_under_the_policy_require_a_bare_model_is_refused_and_its_folder_can_be_signed(edged):
    key = "fleet:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    text = f'[camera]\nsource = "file:x"\n[model]\npolicy = "require"\ntrusted_keys = ["{key}"]\n'
    config = edged.file("edged.toml", (text + '[[rule]]\nlabel = "red"\n[mqtt]\nhost = "h"\n').encode())
    file, labels = edged.file("m.tflite", Classifier().content()), edged.file("l.txt", TEXT)
    done = edged.run("model", "add", "--config", config, file, "--labels", labels)
    assert done.code == 78
    assert "m 1.0.0 is not signed" in done.err
    assert "write its folder with --into FOLDER, sign that, and add it" in done.err
    many = edged.file("many.txt", "".join(f"{n} x\n" for n in range(192)).encode())
    words = (edged.file("deadly.tflite", deadly()), "--labels", many, "--mean", "0", "--std", "1")
    assert "deadly 1.0.0 is not signed" in edged.run("model", "add", "--config", config, *words).err  # and did not run
    assert not (edged.folder / "state/models/m@1.0.0").exists()
    edged.add("--config", config, file, "--labels", labels, "--into", edged.folder / "m")
    assert edged.run("model", "sign", "--new-key", edged.folder / "k.pem", edged.folder / "m").code == 0


def test_what_came_along_is_not_executed(edged, monkeypatch):
    """Neither what is in a zip, nor what somebody unpacked of it into the folder where he stands."""
    code = b"import pathlib; pathlib.Path('ran').touch()"
    files = dict.fromkeys(("ei_image_classification.py", "edged.py", "numpy.py", "json.py", "sitecustomize.py"), code)
    for name, content in files.items():
        edged.file(name, content)
    monkeypatch.chdir(edged.folder)
    export = {"trained.tflite": Classifier().content(), "labels.txt": TEXT, **files}
    edged.add(zipped(edged.folder / "ei.zip", export))
    assert not (edged.folder / "ran").exists()
    installed = edged.folder / "state/models/ei@1.0.0"
    assert sorted(path.name for path in installed.iterdir()) == ["labels.txt", "model.tflite", "model.toml"]


def test_a_text_that_only_lies_beside_the_model_is_no_reason_to_refuse_it(edged):
    for content in (b"a page\nabout this model\n", b"\xff\x00", b"a\n" * (1 << 20)):
        edged.file("m.txt", content)
        file = edged.file("m.tflite", Classifier().content())
        assert "brings no labels" in edged.refused(file, code=2)
    edged.add(file, "--labels", edged.file("l.txt", TEXT))


def test_a_metadata_zip_that_is_broken_takes_only_its_labels_along(edged):
    made = Classifier(attached={"l.txt": TEXT}).content()
    broken = made[:-10]
    done = edged.add(edged.file("m.tflite", broken), "--labels", edged.file("l.txt", TEXT))
    assert "installed m@1.0.0" in done.out


def test_a_full_temporary_place_is_told(edged, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(edged.folder / "none"))
    done = edged.run("model", "add", edged.file("m.tflite", Classifier().content()))
    assert (done.code, done.out) == (1, "")
    assert "cannot be written" in done.err


def test_the_reader_refuses_what_grows_while_it_reads(tmp_path):
    target = tmp_path / "out"
    with pytest.raises(ModelError, match="is longer than"):
        archive._copy(Endless(), target, "x")  # type: ignore[arg-type]


class Endless:
    def read(self, size: int) -> bytes:
        return bytes(size * 64)


def test_the_shipped_models_may_be_brought_as_well(edged):
    """Two outputs, logits, and all of it known from the file alone but for the labels."""
    file = bundled() / "efficientnet-lite0-int8" / "model.tflite"
    shutil.copy(file, edged.folder / "net.tflite")
    done = edged.add(
        edged.folder / "net.tflite",
        "--labels",
        file.with_name("labels.txt"),
        "--picture",
        file.with_name("golden") / "cat.png",
    )
    assert "softmax" in done.line("activation")
    assert "0 of 2" in done.line("output")
    top = done.out.partition("%  ")[2].splitlines()[0]
    assert "cat" in top or "tabby" in top
    assert np.isclose(float(done.line("pixels").partition("- ")[2].partition(")")[0]), 127)
    assert CUSTOM == 32
