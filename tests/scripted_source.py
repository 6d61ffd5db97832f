"""A source that does what a test tells it, one step at a time, and what a test needs to watch a camera over it."""

import queue
import threading
import time
from contextlib import contextmanager

from edged.core.backoff import Backoff
from edged.core.shot import PictureFormat
from tests.scenes import SIZE

PATIENCE_S = 10.0


class ScriptedSource:
    """Blocks in `grab()`, as a driver does, until the test feeds a step: (t_s, picture), an error, or None, the end."""

    def __init__(self, *openings):
        self.openings = list(openings)  # what the first calls of open() do, before it simply works
        self.opened = 0
        self.closed = 0
        self.asked = 0
        self.retrieved = 0
        self.returned = False
        self._fed = 0
        self._steps = queue.Queue()
        self._picture = None
        self._progress = threading.Condition()

    def open(self):
        self.opened += 1
        outcome = self.openings.pop(0) if self.openings else SIZE
        if isinstance(outcome, Exception):
            raise outcome
        outcome = outcome() if callable(outcome) else outcome
        return outcome if isinstance(outcome, PictureFormat) else PictureFormat(*outcome, "bgr")

    def grab(self):
        with self._progress:
            self.asked += 1
            self._progress.notify_all()
        step = self._steps.get(timeout=PATIENCE_S)
        if isinstance(step, Exception):
            raise step
        if step is None:
            return None
        t_s, self._picture = step
        return t_s

    def retrieve(self, out):
        if isinstance(self._picture, int):
            out.data.fill(self._picture)
            out.size_bytes = out.data.size
        else:
            flat = self._picture.reshape(-1)
            out.data[: flat.size] = flat
            out.size_bytes = flat.size
        with self._progress:
            self.retrieved += 1
            self._progress.notify_all()

    def close(self):
        self.closed += 1

    def came_back(self):
        return self.returned

    def put(self, *steps):
        self._fed += len(steps)
        for step in steps:
            self._steps.put(step)

    def wait_until(self, condition):
        with self._progress:
            assert self._progress.wait_for(condition, PATIENCE_S)

    def feed(self, *steps):
        """Returns when all of them were used up and the thread waits in `grab()` for more."""
        self.put(*steps)
        self.wait_until(lambda: self.asked == self._fed + 1)


class ShortBackoff(Backoff):
    """The real delays, kept for the test and waited for at a thousandth."""

    def __init__(self):
        super().__init__(first_s=0.5, cap_s=60.0, decay_s=60.0)
        self.delays = []

    def failed(self, t_s):
        self.delays.append(super().failed(t_s))
        return self.delays[-1] / 1000


@contextmanager
def watching(camera, source):
    """Inside, the camera runs; at the end the source lets go of the thread."""
    with camera:
        try:
            yield camera
        finally:
            source.put(None)


def look_for(camera, kind):
    """The first look of that kind."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        look = camera.newest(0.01)
        if isinstance(look, kind):
            return look
    raise AssertionError(f"no {kind.__name__} came")
