"""Time. The only place that reads a clock."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

from edged.core.types import WallTime

TIME_ERROR = 5
"""What adjtimex() returns while no time server has set the clock (adjtimex(2))."""

SETTERS = {
    "systemd-timesyncd": "run/systemd/timesync",
    "chrony": "run/chrony",
    "ntpsec": "run/ntpd.pid",
}
"""What sets a clock by the network, and what each leaves below / while it runs."""


def setter(root: Path = Path("/")) -> str | None:
    """The program that sets the clock here; None where none of those that are known does."""
    return next((name for name, trace in SETTERS.items() if _exists(root / trace)), None)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


class SystemClock:
    """The machine's own clocks."""

    def __init__(self) -> None:
        self._adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
        # struct timex is 208 bytes on 64-bit Linux; all zeros asks and changes nothing.
        self._timex = ctypes.create_string_buffer(512)

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        return time.monotonic()

    def is_synced(self) -> bool:
        """Whether the kernel says that a time server has set the wall clock, whichever daemon does it."""
        ctypes.memset(self._timex, 0, len(self._timex))
        code: int = self._adjtimex(self._timex)
        return 0 <= code != TIME_ERROR

    def sleep(self, seconds: float) -> None:
        """Waits that long."""
        time.sleep(seconds)

    def label(self, t_s: float) -> WallTime:
        """The wall time of a monotonic moment, by the wall clock as it stands now."""
        return WallTime(time.time() - time.monotonic() + t_s, "synced" if self.is_synced() else "unsynced")

    def age_ms(self, t_s: float) -> int | None:
        """Milliseconds since a monotonic moment."""
        return max(0, round((time.monotonic() - t_s) * 1000))


class ClipClock(SystemClock):
    """For a clip played as fast as it goes: its frames' times are its own, so they are told from its beginning on."""

    def __init__(self) -> None:
        super().__init__()
        self._offset_s = time.time() - time.monotonic()

    def label(self, t_s: float) -> WallTime:
        """The wall time that the moment would have if the clip were played at its own pace."""
        return WallTime(self._offset_s + t_s, "synced" if self.is_synced() else "unsynced")

    def age_ms(self, t_s: float) -> int | None:  # noqa: ARG002
        """None: a clip's time is no moment of this clock."""
        return None
