"""A model is tried in a process of its own: whatever becomes of that is a sentence here."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.core.errors import CameraError, ModelError, RunError
from edged.edges.model_trial import try_out
from edged.modelstore import bundled

SHAPES = bundled() / "shapes-int8"


def program(tmp_path: Path, body: str) -> str:
    """What stands in for Python: a shell script."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def tried(tmp_path: Path, body: str, limit_s: float = 60.0) -> list[tuple[str, float]]:
    return try_out(tmp_path / "m.tflite", tmp_path / "p.png", 2, python=program(tmp_path, body), limit_s=limit_s)


def test_the_real_one():
    picture = next(path for path in (SHAPES / "golden").glob("*.png") if "circle" in path.name)
    (label, score), *_ = try_out(SHAPES / "model.tflite", picture, 3)
    assert label in ("circle", "round")
    assert score > 0.5
    with pytest.raises(CameraError, match=r"none\.png: there is no such file"):
        try_out(SHAPES / "model.tflite", Path("none.png"), 3)
    with pytest.raises(ModelError, match="there is no such file or folder"):
        try_out(Path("none.tflite"), picture, 3)


def test_what_it_says_is_what_comes(tmp_path):
    said = '{"file": "p.png", "top": [{"label": "a", "score": 0.9}, {"label": "b", "score": 0}]}'
    assert tried(tmp_path, f"echo '{said}'") == [("a", 0.9), ("b", 0.0)]


@pytest.mark.parametrize("number", [6, 9, 11])
def test_a_death_is_told_with_its_name(tmp_path, number):
    name = {6: "SIGABRT", 9: "SIGKILL", 11: "SIGSEGV"}[number]
    with pytest.raises(ModelError, match=rf"the runtime dies of this model \({name}\)"):
        tried(tmp_path, f"kill -{number} $$")


def test_a_trial_without_an_end_is_ended(tmp_path):
    with pytest.raises(ModelError, match=r"no score after 0\.2 s"):
        tried(tmp_path, "exec sleep 60", limit_s=0.2)


@pytest.mark.parametrize("said", ["", "hello", "{}", "[]", '{"top": [1]}'])
def test_something_else_than_scores(tmp_path, said):
    with pytest.raises(RunError, match="said something else than scores"):
        tried(tmp_path, f"echo '{said}'")


def test_an_error_without_words(tmp_path):
    with pytest.raises(ModelError, match="no reason was given"):
        tried(tmp_path, "exit 78")
    with pytest.raises(CameraError, match="no reason was given"):
        tried(tmp_path, "exit 1")


def test_no_python(tmp_path):
    with pytest.raises(RunError, match="cannot be started to try the model"):
        try_out(tmp_path / "m", tmp_path / "p", 1, python=str(tmp_path / "none"))
