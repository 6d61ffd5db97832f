"""A driver that never returns: the process ends, so that a new one can be started; nobody waits for the thread."""

import subprocess
import sys

from tests.daemon import START_S, environment, write_config

DRIVER = """
import functools, threading
from edged import parts

class Stuck:
    def __init__(self, *_): ...
    def open(self): threading.Event().wait()
    def close(self): ...
    def came_back(self): return False

parts.V4l2Source = Stuck
parts.CaptureCamera = functools.partial(parts.CaptureCamera, hung_s=2.0)
parts.STALL_S = 0.5
from edged.cli import main
main(["run", "--config", {config!r}])
"""


def test_a_driver_that_never_returns_ends_the_process(tmp_path):
    config = write_config(tmp_path / "e.toml", "v4l2:/dev/video0", 1, "edged", [{"label": "circle"}])
    done = subprocess.run(
        [sys.executable, "-c", DRIVER.format(config=str(config))],
        env=environment(tmp_path / "state"),
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert done.returncode == 1
    assert "has not returned from one call" in done.stderr
    assert "Traceback" not in done.stderr
