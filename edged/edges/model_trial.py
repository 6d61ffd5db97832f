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


def try_out(model: Path, picture: Path, top: int) -> list[tuple[str, float]]:
    """The best labels of a picture and their scores, by `edged classify` in another process.

    Raises:
        ModelError: the model cannot be run, or ends the process that tries.
        CameraError: the file is no picture.
        RunError: there is no other process.
    """
    words = ["classify", "--json", "--top", str(top), "--model", str(model), "--", str(picture)]
    try:
        done = subprocess.run(  # noqa: S603 - this Python and edged itself
            [sys.executable, "-P", "-m", "edged", *words],  # -P: nothing of the folder that somebody stands in
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TRIAL_S,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(os.path.isabs, sys.path))},
        )
    except subprocess.TimeoutExpired:
        raise ModelError(f"the model has given no score after {TRIAL_S:g} s; it is too slow for this board") from None
    except OSError as error:
        raise RunError(f"{sys.executable}: cannot be started to try the model ({error.strerror})") from None
    if done.returncode == 0:
        return [(one["label"], float(one["score"])) for one in json.loads(done.stdout)["top"]]
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise ModelError(
            f"the runtime dies of this model ({name}): it is damaged, or made for another runtime; convert it again"
        )
    said = done.stderr.strip().splitlines()[-1:] or ["no reason was given"]
    if done.returncode == UNUSABLE:
        raise ModelError(said[0])
    raise CameraError(said[0].removeprefix("edged classify: "))
