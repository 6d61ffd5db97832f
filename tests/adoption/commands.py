"""`edged model add` and what follows it, in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from edged import cli

RED, GREEN, BLUE = (200, 60, 30), (40, 180, 70), (20, 50, 210)


@dataclass
class Done:
    code: int
    out: str
    err: str

    def line(self, subject: str) -> str:
        """What was said of one thing."""
        return next(line for line in self.out.splitlines() if line.strip().startswith(f"{subject}:"))


class Commands:
    """The command line with a state folder of its own, and pictures."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys

    def run(self, *words: object) -> Done:
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([str(word) for word in words])
        told = self._capsys.readouterr()
        return Done(int(ended.value.code or 0), told.out, told.err)

    def add(self, *words: object) -> Done:
        """One command; nothing on stderr, exit code 0."""
        done = self.run("model", "add", *words)
        assert (done.code, done.err) == (0, ""), done
        return done

    def refused(self, *words: object, code: int = 78) -> str:
        """What is said where a model is refused; nothing was installed."""
        done = self.run("model", "add", *words)
        assert (done.code, done.out) == (code, ""), done
        assert not list((self.folder / "state").glob("models/*@*"))
        return done.err.splitlines()[-1]

    def scores(self, model: str, picture: Path) -> dict[str, float]:
        """The scores of `edged classify`."""
        done = self.run("classify", "--json", "--top", "20", "--model", model, picture)
        assert done.code == 0, done
        return {one["label"]: one["score"] for one in json.loads(done.out)["top"]}

    def picture(self, color: tuple[int, int, int] = RED, size: tuple[int, int] = (16, 16)) -> Path:
        """A picture of one colour, by (red, green, blue)."""
        return self.painted(np.full((*size, 3), color[::-1], np.uint8))

    def painted(self, pixels: np.ndarray) -> Path:
        path = self.folder / f"{len(list(self.folder.glob('*.png')))}.png"
        cv2.imwrite(str(path), pixels)
        return path

    def file(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path
