"""Catalogues: the one that ships, and what is wrong with others; manifests that are written read back."""

from __future__ import annotations

import tomllib

import pytest

from edged.core.errors import ModelError
from edged.modelstore import bundled, catalogue, manifest
from edged.modelstore.rendering import render

ENTRY = """
schema = 1
[[model]]
name = "mine"
version = "1.0.0"
summary = "what it is good for"
licence = "private"
source = "my own"
labels = ["no cat", "cat"]
[model.files."model.tflite"]
urls = ["https://example.org/a.tflite", "https://example.net/a.tflite"]
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
size_bytes = 100
[model.input]
color = "rgb"
fit = "stretch"
mean = [127.5]
std = [127.5]
[model.output]
activation = "none"
background = 0
[model.groups]
animal = ["cat"]
"""


def refused(tmp_path, content):
    path = tmp_path / "catalogue.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ModelError) as caught:
        catalogue.load(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


@pytest.mark.parametrize("place", ["labels.txt", "model.tflite", "model.toml", "model.sig"])
def test_no_file_is_a_folder_too(tmp_path, place):
    content = ENTRY.replace(
        "[model.input]",
        f"""[model.files."{place}/x"]
urls = ["https://example.org/x"]
sha256 = "{"0" * 64}"
size_bytes = 1
[model.input]""",
    )
    assert f"files: '{place}/x' is inside '{place}', which is a file" in refused(tmp_path, content)


def test_the_catalogue_that_ships():
    found = catalogue.load()
    names = [one.name for one in found.model]
    assert {"person-mobilenet-v2", "imagenet-mobilenet-v2"} <= set(names)
    assert len(set(names)) == len(names)
    assert not set(names) & {path.name for path in bundled().iterdir()}
    for one in found.model:
        for file in one.files.values():
            # A branch may change under a hash, a commit cannot.
            assert all(any(len(part) == 40 for part in url.split("/")) for url in file.urls)


@pytest.mark.parametrize("name", ["person-mobilenet-v2", "person-micronets-grey", "imagenet-mobilenet-v2"])
def test_an_entry_that_ships_makes_a_manifest(tmp_path, name):
    entry = catalogue.load().entry(name)
    catalogue.complete(entry, tmp_path)
    told = manifest.read(tmp_path)
    assert (told.name, told.version, told.task) == (name, entry.version, "classify")
    assert set(told.files) == {"model.tflite", "labels.txt"}
    labels = (tmp_path / "labels.txt").read_text().splitlines()
    assert len(labels) == (1001 if name.startswith("imagenet") else 2)
    assert all(set(members) <= set(labels) for members in told.groups.values())
    first = (tmp_path / "model.toml").read_bytes()
    catalogue.complete(entry, tmp_path)
    assert (tmp_path / "model.toml").read_bytes() == first


def test_an_entry_of_ones_own_says_labels_and_groups(tmp_path):
    (tmp_path / "catalogue.toml").write_text(ENTRY)
    entry = catalogue.load(tmp_path / "catalogue.toml").entry("mine")
    catalogue.complete(entry, tmp_path)
    assert (tmp_path / "labels.txt").read_text() == "no cat\ncat\n"
    assert manifest.read(tmp_path).groups == {"animal": ("cat",)}


def test_a_package_of_files_needs_no_more(tmp_path):
    files = "".join(
        f'[model.files."{name}"]\nurls = ["https://example.org/x"]\nsha256 = "{"0" * 64}"\nsize_bytes = 1\n'
        for name in ("model.tflite", "model.toml", "model.sig", "labels.txt", "golden/a.png")
    )
    head = ENTRY.partition("labels = ")[0]
    (tmp_path / "catalogue.toml").write_text(head + files)
    entry = catalogue.load(tmp_path / "catalogue.toml").entry("mine")
    assert entry.size_bytes == 5
    catalogue.complete(entry, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["catalogue.toml"]


@pytest.mark.parametrize(
    ("old", "new", "fragment"),
    [
        ("schema = 1", "schema = 2", "schema: "),
        ("https://example.net", "http://example.net", "begins with https://"),
        ("https://example.net", "file://", "begins with https://"),
        ("https://example.org/a.tflite", "https://exa mple.org", "begins with https://"),
        ("size_bytes = 100", "size_bytes = 0", "size_bytes: "),
        ("size_bytes = 100", "size_bytes = 99999999999", "size_bytes: "),
        ("size_bytes = 100", "", "size_bytes: is missing"),
        ('0000"', '000"', "sha256: "),
        ('"model.tflite"', '"../model.tflite"', "must be the plain path"),
        ('"model.tflite"', '"other"', "expected model.tflite among them"),
        ('labels = ["no cat", "cat"]', "", "either labels or labels_of"),
        ('labels = ["no cat", "cat"]', 'labels = ["a"]\nlabels_of = "shapes-int8"', "either labels or labels_of"),
        ('name = "mine"', 'name = "../mine"', "name: "),
        ('name = "mine"', 'name = "mine.tflite"', "name: 'mine.tflite' ends in .tflite"),
        ('name = "mine"', 'name = "mine"\ncode = "x"', "code: unknown key"),
        ("[model.input]", "[model.inputs]", "unknown key"),
        ("[[model]]", "[[model", "not valid TOML"),
        (ENTRY, "\xff\xfe", "schema: is missing"),
    ],
)
def test_what_is_wrong_with_a_catalogue_is_one_sentence(tmp_path, old, new, fragment):
    assert old in ENTRY
    content = ENTRY.replace(old, new)
    if old == ENTRY:
        assert "is no UTF-8 text" in refused(tmp_path, b"\xff\xfe")
        return
    assert fragment in refused(tmp_path, content)


def test_a_name_that_is_not_there_is_met_with_what_is():
    with pytest.raises(ModelError, match=r"did you mean person-mobilenet-v2\?"):
        catalogue.load().entry("person-mobilenet")


@pytest.mark.parametrize("name", ["efficientnet-lite0-int8", "shapes-int8"])
def test_a_manifest_that_is_written_reads_back(tmp_path, name):
    told = manifest.read(bundled() / name)
    text = render(told)
    (tmp_path / "model.toml").write_text(text, encoding="utf-8")
    assert manifest.read(tmp_path) == told
    assert tomllib.loads(text)["files"] == dict(told.files)
