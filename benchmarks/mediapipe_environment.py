"""A virtual environment with MediaPipe below the cache folder: made once, and anew when its requirements change."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements-mediapipe.txt"
PYTHONS = ("python3.12", "python3.11", "python3.10", "python3.9")
"""Those that this MediaPipe has wheels for."""


class MediapipeMissing(Exception):
    """It cannot be installed here; says why."""


def mediapipe_python() -> str:
    """An interpreter that has MediaPipe.

    Raises:
        MediapipeMissing: there is no Python that it runs with, or its installation fails.
    """
    mark = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "edged" / f"mediapipe-{mark}"
    python, done = folder / "bin" / "python", folder / ".done"
    if done.exists():
        return str(python)
    own = sys.executable if f"python3.{sys.version_info.minor}" in PYTHONS else None
    maker = own or next(filter(None, map(shutil.which, PYTHONS)), None)
    if maker is None:
        raise MediapipeMissing(f"expected one of {', '.join(PYTHONS)} to install MediaPipe with, found none")
    print(f"peers: installing MediaPipe in {folder}; this takes some minutes", file=sys.stderr)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(REQUIREMENTS)]
    try:
        subprocess.run([maker, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), *install], check=True)
    except subprocess.CalledProcessError as error:
        raise MediapipeMissing(f"the installation failed: exit code {error.returncode} of pip or venv") from error
    done.touch()
    return str(python)
