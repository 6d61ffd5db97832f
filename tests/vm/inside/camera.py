"""Runs inside the virtual machine: one camera of edged at a time, looked at without a pause as the loop does it.

Speaks lines of JSON on its standard input and output, see `ANSWERS`. What the camera gave is kept, each look with its
number, so that nothing is missed between two requests.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
from collections import deque
from pathlib import Path
from typing import Any

from edged.core.backoff import Backoff
from edged.core.errors import CameraHung
from edged.core.sight import Sight
from edged.core.types import Blind, Frame, Look
from edged.duties.sight import DiscerningCamera
from edged.edges.camera import CaptureCamera
from edged.edges.camera_v4l2 import V4l2Source
from edged.edges.clock import SystemClock
from edged.ports import Camera

KEPT_LOOKS = 20_000


class WatchedClock(SystemClock):
    """Remembers what it said: a frame's time that is none of it came from elsewhere, from the driver."""

    def __init__(self) -> None:
        super().__init__()
        self.said: set[float] = set()

    def monotonic(self) -> float:
        now_s = super().monotonic()
        self.said.add(now_s)
        return now_s


def described(look: Look | CameraHung, clock: WatchedClock) -> dict[str, Any]:
    now_s = time.monotonic()
    if isinstance(look, Frame):
        height_px, width_px = look.pixels.shape[:2]
        return {
            "kind": "frame",
            "t_s": look.t_s,
            "age_s": now_s - look.t_s,
            "by_driver": look.t_s not in clock.said,
            "size": [width_px, height_px],
            "encoding": look.encoding,
            "luma": round(float(look.luma.mean()), 1),
        }
    if isinstance(look, Blind):
        return {"kind": "blind", "t_s": look.t_s, "reason": look.reason, "text": look.text}
    return {"kind": type(look).__name__, "t_s": now_s, "text": str(look)}


class Watch:
    """A camera and the thread that looks at it, from `open` to `close`."""

    def __init__(
        self, path: str, width_px: int, height_px: int, fps: float, longest_wait_s: float, judged: bool
    ) -> None:
        self.clock = WatchedClock()
        source = V4l2Source(Path(path), width_px, height_px, fps, self.clock)
        backoff = Backoff(first_s=min(0.5, longest_wait_s), cap_s=longest_wait_s, decay_s=60.0)
        capture = CaptureCamera(source, self.clock, fps, backoff=backoff)
        self._camera: Camera = DiscerningCamera(capture, Sight(), capture.reopen) if judged else capture
        self._seen: deque[dict[str, Any]] = deque(maxlen=KEPT_LOOKS)
        self._news = threading.Condition()
        self._number = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        with self._camera as camera:
            while not self._end.is_set():
                try:
                    look: Look | CameraHung = camera.newest(0.5)
                except CameraHung as hung:
                    look = hung
                if look is None:
                    continue
                with self._news:
                    self._number += 1
                    self._seen.append({"number": self._number, **described(look, self.clock)})
                    self._news.notify_all()
                if not isinstance(look, Frame):
                    self._end.wait(0.1)  # it is told at once on every call

    def seen(self, after: int) -> list[dict[str, Any]]:
        with self._news:
            return [look for look in self._seen if look["number"] > after]

    def wait(self, kind: str, after: int, within_s: float) -> dict[str, Any] | None:
        """The first look of a kind after a number."""
        found: list[dict[str, Any]] = []

        def came() -> bool:
            found[:] = [look for look in self._seen if look["number"] > after and look["kind"] == kind][:1]
            return bool(found)

        with self._news:
            self._news.wait_for(came, within_s)
        return found[0] if found else None

    def mark(self) -> int:
        with self._news:
            return self._number

    def close(self) -> None:
        self._end.set()
        self._thread.join()


class Answers:
    """What can be asked; each method is the `do` of a request, its arguments are the request's other keys."""

    def __init__(self) -> None:
        self._watch: Watch | None = None

    def open(self, **options: Any) -> object:
        self.close()
        self._watch = Watch(**options)
        return None

    def close(self) -> object:
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        return None

    def mark(self) -> object:
        assert self._watch is not None
        return self._watch.mark()

    def wait(self, kind: str, after: int, within_s: float) -> object:
        assert self._watch is not None
        return self._watch.wait(kind, after, within_s)

    def seen(self, after: int) -> object:
        assert self._watch is not None
        return self._watch.seen(after)

    def held(self) -> object:
        """What a fault may not leave behind: open files, of them devices, and threads."""
        files = []
        for entry in Path("/proc/self/fd").iterdir():
            try:
                files.append(str(entry.readlink()))
            except FileNotFoundError:
                continue  # the listing itself
        threads = sorted(thread.name for thread in threading.enumerate())
        return {
            "files": len(files),
            "videos": sum("/dev/video" in file for file in files),
            "threads": threads,
            "tasks": len(list(Path("/proc/self/task").iterdir())),
        }


def main() -> None:
    answers = Answers()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"answer": getattr(answers, request.pop("do"))(**request)}
        except Exception:  # noqa: BLE001 the one who asked is told
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
