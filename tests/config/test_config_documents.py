"""The example file and the pages name every key that there is, and no other."""

import re
import tomllib
from pathlib import Path
from textwrap import dedent
from typing import get_args

import pytest

from edged.config import load
from edged.config.problems import TABLES
from edged.config.tables import TlsTable
from edged.modelstore import Manifest
from edged.modelstore.manifest import read
from tests.certificates import Authority

TOP = Path(__file__).parents[2]
EXAMPLE = TOP / "systemd" / "edged.toml"
KEYS = {(table, key) for table, model in TABLES.items() for key in model.model_fields if f"{table}.{key}" not in TABLES}


def complete(text):
    """The example with every commented key in force: `#key` is a key, `# words` are words."""
    return re.sub(r"^#(?=[\[\]a-z])", "", text, flags=re.MULTILINE)


def keys(text):
    for table, value in tomllib.loads(text).items():
        for one in value if isinstance(value, list) else [value]:
            yield from inside(table, one)


def inside(table, value):
    for key, one in value.items():
        yield from inside(f"{table}.{key}", one) if isinstance(one, dict) else [(table, key)]


def documented(page):
    """(section, key) of each row `| `key` |` under a heading `## [section]`."""
    section = None
    for line in (TOP / "docs" / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            found = re.search(r"`(?:\[+([\w.]+)\]+|model\.toml)`", line)
            section = (found[1] or "top") if found else None
        elif section and (row := re.match(r"\| `([^`]+)` \|", line)):
            yield section, row[1]


def test_the_example_can_be_used_as_it_is():
    it = load(EXAMPLE)
    assert it.warnings == ()
    assert it.camera.scheme == "v4l2"


SOURCES = {"file:clip.mp4": ("pace", "at_end"), "rtsp://cam.local/1": ("username", "password_file", "key_frames_only")}
"""Kinds of cameras, and the keys of [camera] that belong to this kind alone."""


@pytest.mark.parametrize("source", SOURCES)
def test_the_example_names_every_key_and_each_can_be_put_in_force(tmp_path, source):
    text = complete(EXAMPLE.read_text(encoding="utf-8"))
    assert set(keys(text)) == KEYS
    camera, rest = text.split("[model]")
    for key in (key for other, keys in SOURCES.items() if other != source for key in keys):
        camera = re.sub(rf"^{key} = .*$", "", camera, flags=re.MULTILINE)
    text = f"{camera}[model]{rest}"
    (tmp_path / "password").write_text("x")
    (tmp_path / "password").chmod(0o600)
    text = re.sub(r'^source = ".*"', f'source = "{source}"', text, flags=re.MULTILINE)
    text = re.sub(r'^password_file = ".*"', 'password_file = "password"', text, flags=re.MULTILINE)
    authority = Authority(tmp_path)
    certificate, key = authority.sign("device")
    for name, file in (("ca_file", authority.file), ("cert_file", certificate), ("key_file", key)):
        text = re.sub(rf'^{name} = ".*"', f'{name} = "{file.name}"', text, flags=re.MULTILINE)
    path = tmp_path / "edged.toml"
    path.write_text(text, encoding="utf-8")
    it = load(path)
    assert (it.device.name, it.mqtt.tls.ca_file) == ("porch", str(authority.file))


def test_values_that_are_commented_out_are_the_defaults_they_claim_to_be():
    it = load(EXAMPLE)
    text = EXAMPLE.read_text(encoding="utf-8")
    both = tomllib.loads(complete(text))
    claimed = 0
    for table in ("camera", "model", "motion", "mqtt", "outbox"):
        for key, value in both[table].items():
            if re.search(rf"^#{key} = .*# default", text, flags=re.MULTILINE):
                assert getattr(getattr(it, table), key) == value, key
                claimed += 1
    assert claimed >= 21
    assert TlsTable().strict is both["mqtt"]["tls"]["strict"] is True


def test_the_page_names_every_key_and_no_other():
    rows = list(documented("config.md"))
    assert len(rows) == len(set(rows))
    assert set(rows) == KEYS


def test_the_page_of_models_names_every_key_of_the_manifest_and_no_other():
    expected = set()
    for name, field in Manifest.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))
        inner = next((kind for kind in kinds if hasattr(kind, "model_fields")), None)
        if inner:
            expected |= {(name, key) for key in inner.model_fields}
        elif name not in ("files", "groups"):  # their keys are file names and names that a person chooses
            expected.add(("top", field.alias or name))
    rows = {(section, key) for section, key in documented("models.md") if section not in ("files", "groups")}
    assert rows == expected


def test_the_manifest_on_the_page_of_models_is_valid(tmp_path):
    text = (TOP / "docs" / "models.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```toml\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)
    (example,) = (block for block in blocks if "[files]" in block)
    (tmp_path / "model.toml").write_text(dedent(example), encoding="utf-8")
    assert read(tmp_path).name == "garden-animals"


def test_the_examples_of_the_page_are_valid(tmp_path):
    text = (TOP / "docs" / "config.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```toml\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert examples
    for example in examples:
        path = tmp_path / "edged.toml"
        path.write_text(example, encoding="utf-8")
        load(path)
