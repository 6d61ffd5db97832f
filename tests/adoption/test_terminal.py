"""On a terminal, what cannot be known is asked: the command as a process, on a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import subprocess

import pytest

from edged.modelstore import manifest
from tests.daemon import command, environment
from tests.tflite_files import Classifier


def talk(tmp_path, words: list[object], answers: str) -> tuple[int, str]:
    """Runs it with the answers typed ahead; gives the exit code and all that the terminal showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command("model", "add", *words), env=environment(tmp_path / "state"), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, answers.encode())
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 4096)
        except OSError:  # the other end is closed: Linux says EIO
            break
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    return process.wait(60), shown.decode()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(Classifier("float32", None).content())
    return path


def test_labels_and_pixels_are_asked_once_each(tmp_path, file):
    code, shown = talk(tmp_path, [file], "red, green, blue ,grey\n7\n1\n")
    assert code == 0, shown
    assert "the model has 4 outputs and brings no labels." in shown
    assert shown.count("Which?") == 2  # 7 was none of them
    told = manifest.read(tmp_path / "state/models/m@1.0.0")
    assert (told.input.mean, told.input.std) == ((127.5,), (127.5,))
    assert (tmp_path / "state/models/m@1.0.0/labels.txt").read_text() == "red\ngreen\nblue\ngrey\n"


def test_a_label_file_may_be_the_answer(tmp_path, file):
    (tmp_path / "l.txt").write_text("a\nb\nc\nd\n")
    code, shown = talk(tmp_path, [file, "--mean", "0", "--std", "255"], f"\n{tmp_path}/l.txt\n")
    assert code == 0, shown
    assert "4: 'a', 'b', 'c'" in shown
    assert "Which?" not in shown


def test_an_end_instead_of_an_answer_installs_nothing(tmp_path, file):
    code, shown = talk(tmp_path, [file], "\x04")
    assert code == 1, shown
    assert not list((tmp_path / "state").glob("models/*@*"))
