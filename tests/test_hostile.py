"""Damaged and hostile models, seeded: none is installed, each gets one sentence, and a device beside them goes on.

The whole form, 2,000 of them, is `python -m benchmarks.hostile`.
"""

from __future__ import annotations

import random
import shutil

import pytest

from benchmarks.hostile import run
from edged.core.errors import ModelError
from edged.keeping import Keeper
from edged.modelstore import bundled
from tests import hostile
from tests.conftest import EMULATED

COUNT = 10 if EMULATED else 200
SEED = 20261130

schema = pytest.mark.skipif(EMULATED, reason="the recipe of the models, and no board's business")


def refused(root, folder) -> str:
    with pytest.raises(ModelError) as caught:
        Keeper(None, root).add(folder)
    assert not (root / "models").exists()
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.timeout(600)
def test_none_is_installed_and_a_device_goes_on(tmp_path, mosquitto):
    pytest.importorskip("ai_edge_litert")
    found = run(COUNT, SEED, mosquitto.port, tmp_path)
    print(found)
    assert found.no_sentence == []
    assert found.installed == 0
    assert found.refused.total() + found.worked.total() == COUNT
    # A flipped bit in a text or in the last place of a weight: every promise of the package was kept all the same.
    assert set(found.worked) <= hostile.MAY_WORK
    assert found.ended == ""
    assert found.turns > 8


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(bundled() / "shapes-int8", tmp_path / "bad")


@schema
@pytest.mark.parametrize("name", [name for name in hostile.CRAFTED if name != "a loop without an end"])
def test_what_no_converter_writes_is_refused(tmp_path, folder, name):
    pytest.importorskip("ai_edge_litert.schema_py_generated")
    hostile.craft(folder, hostile.CRAFTED[name])
    refused(tmp_path / "state", folder)


@pytest.mark.parametrize("name", hostile.MANIFESTS)
def test_a_hostile_manifest_is_refused(tmp_path, folder, name):
    path = folder / "model.toml"
    changed = hostile.MANIFESTS[name](path.read_text(encoding="utf-8"))
    path.write_bytes(changed if isinstance(changed, bytes) else changed.encode())
    assert len(refused(tmp_path / "state", folder)) < 1500 + len(str(folder))


@pytest.mark.parametrize("number", range(len(hostile.LABEL_FILES)))
def test_hostile_labels_are_refused(tmp_path, folder, number):
    (folder / "labels.txt").write_bytes(hostile.LABEL_FILES[number])
    hostile.rehash(folder)
    refused(tmp_path / "state", folder)


@pytest.mark.parametrize("number", range(len(hostile.EXPECTED)))
def test_hostile_promises_are_refused(tmp_path, folder, number):
    (folder / hostile.GOLDEN).write_bytes(hostile.EXPECTED[number])
    hostile.rehash(folder)
    refused(tmp_path / "state", folder)


@pytest.mark.parametrize("number", range(len(hostile.PICTURES)))
def test_hostile_pictures_are_refused(tmp_path, folder, number):
    (folder / "golden" / "circle.png").write_bytes(hostile.PICTURES[number])
    hostile.rehash(folder)
    assert "circle.png" in refused(tmp_path / "state", folder)


@pytest.mark.parametrize("seed", range(12))
def test_what_is_no_file_is_refused(tmp_path, folder, seed):
    hostile.link(folder, random.Random(seed))
    refused(tmp_path / "state", folder)
