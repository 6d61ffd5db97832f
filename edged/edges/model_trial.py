"""A model is tried in a process of its own: native code that dies of it takes only that process along.

Law: starts edged itself, waits for its end, and gives what it said.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from edged.core.errors import CameraError, ModelError, RunError

TRIAL_S = 300.0
"""The slowest board needs seconds for the largest model; what takes longer has no end."""
UNUSABLE = 78


def try_out(
    model: Path, picture: Path, top: int, *, python: str = sys.executable, limit_s: float = TRIAL_S
) -> list[tuple[str, float]]:
    """The best labels of a picture and their scores, by `edged classify` in another process.

    Args:
        python: what runs it.
        limit_s: how long it may take.

    Raises:
        ModelError: the model cannot be run, or ends the process that tries.
        CameraError: the file is no picture.
        RunError: there is no other process.
    """
    words = ["classify", "--json", "--top", str(top), "--model", str(model), "--", str(picture)]
    try:
        done = subprocess.run(  # noqa: S603 - this Python and edged itself
            [python, "-sP", "-m", "edged", *words],  # -P: nothing of the folder that somebody stands in
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(os.path.isabs, sys.path))},
        )
    except subprocess.TimeoutExpired:
        raise ModelError(f"the model has given no score after {limit_s:g} s; it is too slow for this board") from None
    except OSError as error:
        raise RunError(f"{python}: cannot be started to try the model ({error.strerror})") from None
    if done.returncode == 0:
        return _read(done.stdout)
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise ModelError(
            f"the runtime dies of this model ({name}): it is damaged, made for another runtime, or too large for the "
            "memory of this board; convert it again"
        )
    said = done.stderr.strip().splitlines()[-1:] or ["no reason was given"]
    if done.returncode == UNUSABLE:
        raise ModelError(said[0])
    raise CameraError(said[0].removeprefix("edged classify: "))


def _read(said: str) -> list[tuple[str, float]]:
    try:
        return [(str(one["label"]), float(one["score"])) for one in json.loads(said)["top"]]
    except (ValueError, KeyError, TypeError):
        raise RunError(f"the trial of the model said something else than scores: {said[:200]!r}") from None
