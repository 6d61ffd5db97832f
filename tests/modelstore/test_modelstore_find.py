"""Models are found by name in stores, or by path; whatever is not found is told with what there is."""

from pathlib import Path

import pytest

import edged
from edged.core.errors import ModelError
from edged.modelstore import available, bundled, find


def make(folder):
    """A model folder as far as it matters here: nothing in it is read."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.toml").touch()
    (folder / "model.tflite").touch()
    return folder


def test_a_name_is_found_in_the_first_store_that_has_it(tmp_path):
    mine, shipped = tmp_path / "state" / "models", tmp_path / "shipped"
    for folder in (mine / "tiny", shipped / "tiny", shipped / "big-1.0"):
        make(folder)
    (shipped / "build").mkdir()
    stores = (tmp_path / "none", mine, shipped)
    assert find("tiny", stores) == mine / "tiny"
    assert find("big-1.0", stores) == shipped / "big-1.0"
    assert available(stores) == ("big-1.0", "tiny")


@pytest.mark.parametrize("name", ["", ".", "..", "Tiny", "none", "a\\b", "x\0"])
def test_a_name_that_is_in_no_store_is_a_sentence_with_what_there_is(tmp_path, name):
    make(tmp_path / "models" / "tiny")
    make(tmp_path)  # a name must not reach the folder above the store
    with pytest.raises(ModelError) as caught:
        find(name, [tmp_path / "models"])
    assert "tiny" in str(caught.value) or "NUL" in str(caught.value)


def test_a_slip_of_the_pen_is_met_with_the_nearest_name(tmp_path):
    make(tmp_path / "shapes-int8")
    with pytest.raises(ModelError, match=r"no model 'shape-int8'; did you mean shapes-int8\?"):
        find("shape-int8", [tmp_path])
    with pytest.raises(ModelError, match=r"models here: none"):
        find("shape-int8", [])


def test_a_path_leads_to_the_folder_with_its_manifest(tmp_path, monkeypatch):
    folder = make(tmp_path / "mine")
    assert find(str(folder / "model.tflite"), []) == folder
    assert find(f"{folder}/", []) == folder
    monkeypatch.chdir(folder)
    assert find("model.tflite", []) == Path()


@pytest.mark.parametrize(
    ("path", "fragment"),
    [
        ("bare/x.tflite", "there is no model.toml beside it"),
        ("bare/", "there is no model.toml beside it"),
        ("none/model.tflite", "there is no such file or folder"),
        ("mine/labels.txt", "neither a .tflite nor a model's folder"),
        ("mine/other.tflite", "is named model.tflite"),
    ],
)
def test_a_path_that_leads_nowhere_is_a_sentence(tmp_path, path, fragment):
    (make(tmp_path / "mine") / "other.tflite").touch()
    (tmp_path / "mine" / "labels.txt").touch()
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "x.tflite").touch()
    with pytest.raises(ModelError, match=fragment):
        find(f"{tmp_path}/{path}", [])


def test_a_folder_in_the_store_without_a_manifest_is_told(tmp_path):
    (tmp_path / "bare").mkdir()
    with pytest.raises(ModelError, match=r"bare: has no model\.toml"):
        find("bare", [tmp_path])


def test_the_models_that_ship_are_beside_the_package_or_at_the_top_of_the_checkout():
    assert bundled().name == "models"
    assert bundled().is_dir()
    assert bundled().parent in (Path(edged.__file__).parent, Path(edged.__file__).parents[1])
