"""Model folders: told apart from what people mistake for them, verified file by file."""

import datetime
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.core.errors import ModelError
from edged.core.types import InputSpec
from edged.modelstore import Package, available, bundled, find, load
from tests.model_folders import LABELS, TFLITE, make


def refused(folder):
    with pytest.raises(ModelError) as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_becomes_a_package(tmp_path):
    folder = make(
        tmp_path / "tiny",
        top="expires = 2027-12-31",
        rest='background = 0\n[embedding]\noutput = 1\n[groups]\npet = ["cat", "Tiger-Katze"]',
        golden__a_png=b"picture",
    )
    assert load(folder) == Package(
        folder=folder,
        name="tiny",
        version="1.0.0",
        task="classify",
        licence="Apache-2.0",
        source="made up",
        expires=datetime.date(2027, 12, 31),
        model_path=folder / "model.tflite",
        sha256=hashlib.sha256(TFLITE).hexdigest(),
        labels=("nothing", "cat", "Tiger-Katze"),
        groups={"pet": ("cat", "Tiger-Katze")},
        input=InputSpec("rgb", "center-crop", (127.0, 127.5, 0.0), (128.0, 128.0, 1.0)),
        activation="softmax",
        background=0,
        embedding_output=1,
        scores_output=0,
    )


def test_what_may_be_left_out_may_be_left_out(tmp_path):
    package = load(make(tmp_path))
    assert (package.expires, package.groups, package.background, package.embedding_output) == (None, {}, None, None)


def replaced(old, new):
    def change(text):
        assert old in text
        return text.replace(old, new)

    return change


BAD_MANIFESTS = [
    ("schema = 1", "schema = 2", "schema: "),
    ("schema = 1", "schema = true", "schema: "),
    ("schema = 1", "schema = 1.0", "schema: "),
    ('name = "tiny"', 'name = "../tiny"', "name: '../tiny' is not allowed; expected 1 to 64 of a-z"),
    ('name = "tiny"', 'name = "tiny@1.0.0"', "name: 'tiny@1.0.0' is not allowed; expected 1 to 64 of a-z"),
    ('name = "tiny"', 'name = "tiny.tflite"', "name: 'tiny.tflite' ends in .tflite, by which [model] name would be a"),
    ('name = "tiny"', 'name = "tiny\\n"', "name: 'tiny\\n' is not allowed"),
    ('version = "1.0.0"', 'version = "1.tflite"', "version: '1.tflite' ends in .tflite"),
    ('version = "1.0.0"', 'version = "1@2"', "version: '1@2' is not allowed; expected 1 to 32 letters"),
    ('name = "tiny"', "", "name: is missing"),
    ('version = "1.0.0"', "version = 1", "version: "),
    ('version = "1.0.0"', 'version = "a/b"', "version: "),
    ('"classify"', '"detect"', 'task: a detector has activation = "none", no background and no [embedding]'),
    ('"softmax"', '"softmax"\nboxes = 1', "output: boxes, classes and count are of a detector"),
    ('"softmax"', '"softmax"\nscores = 1\n[embedding]\noutput = 1', "output.scores and embedding.output are the same"),
    ('"classify"', '"segment"', "task: "),
    ('"Apache-2.0"', '""', "licence: "),
    ('"made up"', '"made\\nup"', "source: "),
    ("[files]", "expires = 2027-12-31T00:00:00\n[files]", "expires: "),
    ('"rgb"', '"yuv"', "input.color: "),
    ('"center-crop"', '"crop"', "input.fit: "),
    ("[127, 127.5, 0]", "[]", "input.mean: "),
    ("[127, 127.5, 0]", "[nan]", "input.mean.0: "),
    ("[128.0, 128.0, 1]", "[0]", "input.std.0: "),
    ("[128.0, 128.0, 1]", "[1, 1, 1, 1]", "input.std: "),
    ("[128.0, 128.0, 1]", "[true]", "input.std.0: "),
    ('"softmax"', '"relu"', "output.activation: "),
    ("[output]", "[output]\nbackground = -1", "output.background: "),
    ("[output]", "[output]\nscale = 1.0", "output.scale: unknown key"),
    ("[output]", "[groups]\npet = []\n[output]", "groups.pet: "),
    ("[output]", '[groups]\npet = ["cat", "cat"]\n[output]', "groups.pet: a group names a label twice"),
    ("[output]", "[embedding]\n[output]", "embedding.output: is missing"),
    ("[files]", "[files]\nx = 'ABC'", "files.x: "),
    ("[files]", f"[files]\n'../x' = '{'0' * 64}'", "'../x' must be the plain path"),
    ("[files]", f"[files]\n'/etc/passwd' = '{'0' * 64}'", "'/etc/passwd' must be the plain path"),
    ("[files]", f"[files]\n'a/../b' = '{'0' * 64}'", "must be the plain path"),
    ("[files]", f"[files]\n'./b' = '{'0' * 64}'", "must be the plain path"),
    ("[files]", f"[files]\n'.' = '{'0' * 64}'", "'.' must be the plain path"),
    ("[files]", f"[files]\n'golden' = '{'0' * 64}'", "golden: is no file"),
    ("[files]", f"[files]\n'none' = '{'0' * 64}'", "none: there is no such file, and the manifest names it"),
    ("[files]", "[files", "not valid TOML: "),
    ("[files]", f"x = {'[' * 5000}", "not valid TOML: "),
    ("[files]", f"x = {'9' * 5000}", "not valid TOML: "),
    ("[files]", f"{'a.' * 51}a = 1\n[files]", "not valid TOML: line 9 has more than 50 dots"),
    ("[files]", f"x = '{'.' * 51}'\n[files]", "not valid TOML: line 9 has more than 50 dots"),
    (
        "[files]",
        "[files]\n" + "\n".join(f"x{n} = '{'0' * 64}'" for n in range(1000)),
        "files: dictionary should have at",
    ),
    ("[files]", f"[files]\n'{'x' * 301}' = '{'0' * 64}'", "must be the plain path"),
    ("[127, 127.5, 0]", "[1e7]", "input.mean.0: "),
    ("[127, 127.5, 0]", "[-1e7]", "input.mean.0: "),
    ("[128.0, 128.0, 1]", "[1e-7]", "input.std.0: "),
    ("[128.0, 128.0, 1]", "[1e7]", "input.std.0: "),
]


@pytest.mark.parametrize(("old", "new", "fragment"), BAD_MANIFESTS)
def test_a_bad_manifest_is_one_sentence_that_names_the_file(tmp_path, old, new, fragment):
    (tmp_path / "golden").mkdir()
    sentence = refused(make(tmp_path, change=replaced(old, new)))
    assert sentence.startswith(f"{tmp_path}/")
    assert fragment in sentence


def test_all_problems_of_a_manifest_are_in_the_sentence(tmp_path):
    sentence = refused(make(tmp_path, change=lambda text: text.replace('"rgb"', "1").replace("schema = 1", "x = 1")))
    for key in ("schema: ", "input.color: ", "x: "):
        assert key in sentence


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (None, "there is no such file"),
        (b"\xff", "no UTF-8 text"),
        (b"#" * (1 << 20) + b"\n", "is larger than"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_one_sentence(tmp_path, content, fragment):
    path = make(tmp_path) / "model.toml"
    path.write_bytes(content) if content else path.unlink()
    assert fragment in refused(tmp_path)


@pytest.mark.parametrize("name", ["model.tflite", "labels.txt"])
def test_the_two_needed_files_must_be_named(tmp_path, name):
    folder = make(tmp_path, change=lambda text: "\n".join(line for line in text.split("\n") if name not in line))
    assert f"must give the sha256 of {name}" in refused(folder)


@pytest.mark.parametrize("name", ["model.tflite", "labels.txt", "golden/a.png"])
def test_a_file_that_was_changed_is_refused(tmp_path, name):
    folder = make(tmp_path, golden__a_png=b"picture")
    path = folder / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    sentence = refused(folder)
    assert sentence.startswith(f"{path}: its sha256 is ")
    assert "damaged or was changed" in sentence


@settings(max_examples=30)
@given(at=st.integers(8, len(TFLITE) - 1), flip=st.integers(1, 255))
def test_one_changed_byte_anywhere_is_found(tmp_path_factory, at, flip):
    folder = make(tmp_path_factory.getbasetemp() / "flip")
    damaged = bytearray(TFLITE)
    damaged[at] ^= flip
    (folder / "model.tflite").write_bytes(damaged)
    assert "its sha256 is" in refused(folder)


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"PK\x03\x04\x14\x00\x00\x00", "is a zip archive"),
        (b"\x89HDF\r\n\x1a\n", "is a Keras model"),
        ("Größe\n".encode() * 200, "is a text file"),
        (b"\x08\x07\x12\x04tf.1" + bytes(50), "is no TFLite model"),
        (b"TFL3", "is a text file"),
    ],
)
def test_what_is_no_tflite_file_is_told_even_where_the_hash_is_right(tmp_path, content, fragment):
    sentence = refused(make(tmp_path, model_tflite=content))
    assert sentence.startswith(f"{tmp_path}/model.tflite: ")
    assert fragment in sentence


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (b"", "labels.txt:1: the line is empty"),
        (b"cat\n\ndog\n", "labels.txt:2: the line is empty"),
        (b"cat\ndog\n\n", "labels.txt:3: the line is empty"),
        (b"cat\ndog\ncat\n", "labels.txt:3: label 'cat' is already on line 1"),
        (b"cat\n\xff\n", "labels.txt: is no UTF-8 text"),
        (b"a\x00b\n", "labels.txt:1: the line is empty, cannot be shown, or has"),
        (b"a" * (1 << 21), "is larger than"),
        (b"cat\n" + b"a" * 501, "labels.txt:2: the line is empty, cannot be shown, or has more than 500 characters"),
        ("\n".join(map(str, range(50_001))).encode(), "labels.txt: has 50001 lines; allowed are 50000"),
    ],
)
def test_bad_labels_are_told_with_their_line(tmp_path, content, fragment):
    assert fragment in refused(make(tmp_path, labels_txt=content))


def test_a_file_without_an_end_is_not_read(tmp_path):
    folder = make(tmp_path, golden__a_png=b"picture")
    with (folder / "golden/a.png").open("r+b") as file:
        file.truncate(1 << 40)  # of hardly a block on the disk
    assert "golden/a.png: has 1099511627776 bytes; allowed are" in refused(folder)


def test_many_problems_are_a_short_sentence(tmp_path):
    sentence = refused(make(tmp_path, change=lambda text: "".join(f"u{n} = 1\n" for n in range(5000)) + text))
    assert sentence.endswith("; and 4992 more")
    assert len(sentence) < 1500


def test_labels_from_windows_are_the_same_labels(tmp_path):
    content = b"\xef\xbb\xbf" + LABELS.replace(b"\n", b"\r\n").removesuffix(b"\r\n")
    assert load(make(tmp_path, labels_txt=content)).labels == ("nothing", "cat", "Tiger-Katze")


@pytest.mark.parametrize("name", ["model.tflite", "labels.txt"])
def test_a_link_out_of_the_folder_is_refused(tmp_path, name):
    folder = make(tmp_path / "tiny")
    (folder / name).rename(tmp_path / "outside")
    (folder / name).symlink_to(tmp_path / "outside")
    assert "leads out of the model's folder" in refused(folder)


def test_links_that_stay_inside_and_links_to_the_folder_are_fine(tmp_path):
    folder = make(tmp_path / "1.0.0")
    (folder / "model.tflite").rename(folder / "ab12")
    (folder / "model.tflite").symlink_to("ab12")
    (tmp_path / "tiny").symlink_to(folder)
    assert load(tmp_path / "tiny").name == "tiny"
    (folder / "model.tflite").unlink()
    (folder / "model.tflite").symlink_to("model.tflite")
    assert "cannot be read" in refused(folder)


def test_the_models_that_ship_are_valid_packages():
    shipped = available([bundled()])
    assert {"efficientnet-lite0-int8", "shapes-int8"} <= set(shipped)
    for name in shipped:
        package = load(find(name, [bundled()]))
        assert package.name == name
        known = set(package.labels)
        assert all(known.issuperset(members) for members in package.groups.values())
