"""Zips: damaged, hostile, of something else; read with bounds, and never unpacked under their own names."""

from __future__ import annotations

import io
import random
import shutil
import zipfile
from pathlib import Path

import pytest

from edged.adoption import archive
from edged.core.errors import ModelError
from tests.tflite_files import Classifier, zipped

TEXT = b"red\ngreen\nblue\ngrey\n"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_damaged_zip(edged, share):
    whole = zipped(
        edged.folder / "whole.zip", {"model.tflite": Classifier().content(), "labels.txt": TEXT}
    ).read_bytes()
    said = edged.refused(edged.file("m.zip", whole[: int(len(whole) * share)]))
    assert "m.zip: cannot be unpacked (" in said
    assert "download it again" in said


def test_a_zip_with_other_bytes_inside(edged):
    made = zipped(edged.folder / "whole.zip", {"model.tflite": Classifier().content(), "labels.txt": TEXT}).read_bytes()
    chance = random.Random(0)
    for _ in range(25):
        content = bytearray(made)
        for _ in range(4):
            content[chance.randrange(len(content))] = chance.randrange(256)
        done = edged.run("model", "add", edged.file("m.zip", bytes(content)))
        assert done.code in (0, 78)
        assert len(done.err.splitlines()) <= 1
        shutil.rmtree(edged.folder / "state", ignore_errors=True)


def test_a_file_called_zip_that_is_none(edged):
    assert "is no zip, or a damaged one" in edged.refused(edged.file("m.zip", b"hello"))


def test_a_zip_that_wants_to_get_out_gets_nowhere(edged):
    """Names in a zip are compared, and never a path."""
    names = ("../../../escaped.tflite", "/tmp/edged-escaped.tflite", "..\\escaped.tflite")
    for number, name in enumerate(names):
        made = zipped(edged.folder / f"out-{number}.zip", {name: Classifier().content(), "../labels.txt": TEXT})
        edged.add(made)
    assert not [path for path in edged.folder.parent.rglob("*escaped*") if path.is_file()]
    assert not Path("/tmp/edged-escaped.tflite").exists()
    kept = sorted(path.name for path in (edged.folder / "state/models/out-0@1.0.0").iterdir())
    assert kept == ["labels.txt", "model.tflite", "model.toml"]


def test_a_link_in_a_zip_is_only_its_text(edged):
    info = zipfile.ZipInfo("model.tflite")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(edged.folder / "m.zip", "w") as made:
        made.writestr(info, "/etc/passwd")
        made.writestr("labels.txt", TEXT)
    assert "is a text file and not a model" in edged.refused(edged.folder / "m.zip")


def test_a_bomb_is_unpacked_as_far_as_a_model_may_be_long(edged, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MODEL_BYTES", 1 << 20)
    made = zipped(edged.folder / "bomb.zip", {"model.tflite": bytes(1 << 26), "labels.txt": TEXT})
    assert made.stat().st_size < 1 << 17
    assert "is longer than 1 MiB; it is no model for a board" in edged.refused(made)
    made = zipped(edged.folder / "l.zip", {"model.tflite": Classifier().content(), "labels.txt": b"a" * (1 << 22)})
    assert "labels.txt: is larger than 1048576 bytes" in edged.refused(made)


def test_a_zip_of_too_many_files_is_not_looked_through(edged):
    with zipfile.ZipFile(edged.folder / "m.zip", "w") as made:
        for number in range(70_000):
            made.writestr(f"{number:060}.txt", b"")
    assert "more files than an export of a model" in edged.refused(edged.folder / "m.zip")


@pytest.mark.parametrize(
    ("files", "fragment"),
    [
        ({"readme.txt": b"x"}, "has no .tflite in it"),
        ({"keras_model.h5": b"x", "labels.txt": TEXT}, "choose Export Model, then TensorFlow Lite"),
        (
            {"model.json": b"{}", "weights.bin": b"x", "metadata.json": b"{}"},
            "choose Export Model, then TensorFlow Lite",
        ),
        (
            {"model-parameters/model_variables.h": b"x", "tflite-model/m.cpp": b"x"},
            "is a library of source code without",
        ),
        ({"a.tflite": b"x", "b/c.tflite": b"x"}, "has 2 models in it (a.tflite, b/c.tflite)"),
        ({"model.tflite": b"<html>"}, "m.zip: model.tflite: is a web page"),
        ({"model.tflite": b"", "labels.txt": TEXT}, "m.zip: model.tflite: is empty"),
    ],
)
def test_a_zip_of_something_else(edged, files, fragment):
    assert fragment in edged.refused(zipped(edged.folder / "m.zip", files))


def test_what_macos_puts_into_a_zip_is_no_model(edged):
    files = {"export/m.tflite": Classifier().content(), "export/labels.txt": TEXT, "__MACOSX/export/._m.tflite": b"x"}
    assert "installed m@1.0.0" in edged.add(zipped(edged.folder / "m.zip", files)).out


def test_a_name_that_would_be_a_path_is_shortened(edged):
    made = zipped(edged.folder / "My Net.tflite.zip", {"m.tflite": Classifier().content(), "labels.txt": TEXT})
    assert "installed my-net@1.0.0" in edged.add(made).out


def test_a_zip_with_a_password(edged):
    made = zipped(edged.folder / "m.zip", {"model.tflite": Classifier().content(), "labels.txt": TEXT})
    content = bytearray(made.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert "cannot be unpacked (" in edged.refused(edged.file("p.zip", bytes(content)))


def packed(method, files):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def opened(tmp_path, content):
    """What is said of it; None where it was taken."""
    (tmp_path / "m.zip").write_bytes(content)
    try:
        archive.open_source(tmp_path / "m.zip", tmp_path / "model.tflite")
    except ModelError as error:
        return str(error)
    return None


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_of_packing_are_refused_before_anything_is_unpacked(tmp_path, method):
    content = bytearray(packed(method, {"model.tflite": Classifier().content()}))
    begin = content.index(b"model.tflite") + len(b"model.tflite")
    content[begin + 5 : begin + 9] = b"\xff" * 4  # LZMA: 4 GiB of memory for its dictionary
    said = opened(tmp_path, bytes(content))
    assert f"m.zip: cannot be unpacked (it is packed by method {method}; expected a zip with Deflate)" in said


def test_a_file_without_a_name_in_a_zip_is_none(tmp_path):
    content = packed(zipfile.ZIP_STORED, {"x": b"", "model.tflite": Classifier().content(), "labels.txt": TEXT})
    nameless = bytearray(content)
    at = nameless.index(b"PK\x01\x02")
    nameless[at + 28 : at + 30] = b"\0\0"  # the length of the name
    nameless[at + 30 : at + 32] = b"\1\0"  # the byte is an extra field now
    opened(tmp_path, bytes(nameless))


def test_a_damaged_zip_is_one_sentence_wherever_the_damage_is(tmp_path):
    chance = random.Random(20261129)
    files = {"model.tflite": Classifier().content(), "labels.txt": TEXT}
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    whole = [packed(method, files) for method in methods]
    said = []
    for number in range(200):
        content = bytearray(whole[number % len(whole)])
        for _ in range(chance.choice([1, 1, 3, 10])):
            begin, end = chance.randrange(80), len(content) - 1 - chance.randrange(200)
            at = chance.choice([chance.randrange(len(content)), begin, end])
            content[at] = chance.choice([0, 255, chance.randrange(256)])
        said.append(opened(tmp_path, bytes(content)))
    assert all(one.isprintable() for one in said if one is not None)
    assert 100 < sum(one is not None for one in said) < 200  # a byte of a picture's weights or of a date may be any


def test_a_damaged_zip_at_the_end_of_a_model_is_no_metadata(tmp_path):
    chance = random.Random(20261129)
    model = Classifier().content()
    found, tail = [], packed(zipfile.ZIP_STORED, {"labels.txt": TEXT, "more.txt": TEXT})
    for _ in range(200):
        content = bytearray(tail)
        for _ in range(chance.choice([1, 1, 3, 10])):
            content[chance.randrange(len(content))] = chance.choice([0, 255, chance.randrange(256)])
        path = tmp_path / "m.tflite"
        path.write_bytes(model + content)
        found.append(len(archive.open_source(path, tmp_path / "model.tflite").inner))
    assert set(found) == {0, 1, 2}
