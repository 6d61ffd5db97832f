"""Time. The only place that reads a clock."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path

from edged.core.types import WallTime

TIME_ERROR = 5
"""What adjtimex() returns while no time server has set the clock (adjtimex(2))."""
TIMESYNCD = Path("/run/systemd/timesync/synchronized")
"""Touched by systemd-timesyncd at each synchronization (systemd-timesyncd.service(8)), every 32 to 2,048 s
(timesyncd.conf(5))."""
TRUSTED_S = 32_000.0
"""So long the kernel trusts a clock that nobody corrects: its error grows by 500 ppm, up to 16 s (ntp_error in
kernel/time/ntp.c). The file counts as long."""

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


class Kernel:
    """adjtimex() that asks and changes nothing."""

    def __init__(self) -> None:
        self._adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
        # struct timex is 208 bytes on 64-bit Linux; all zeros asks and changes nothing.
        self._timex = ctypes.create_string_buffer(512)

    def clock_state(self) -> int:
        """TIME_OK (0) to TIME_ERROR (5); -1 where the process may not even ask."""
        ctypes.memset(self._timex, 0, len(self._timex))
        code: int = self._adjtimex(self._timex)
        return code


class SystemClock:
    """The machine's own clocks.

    Args:
        ask_kernel: what adjtimex() says, see `Kernel.clock_state`; left out, it is asked.
        timesyncd: the file that systemd-timesyncd touches.
    """

    def __init__(self, ask_kernel: Callable[[], int] | None = None, timesyncd: Path = TIMESYNCD) -> None:
        self._ask_kernel = ask_kernel or Kernel().clock_state
        self._timesyncd = timesyncd

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        return time.monotonic()

    def is_synced(self) -> bool:
        """Whether a time server has set the wall clock.

        The kernel decides where it may be asked: it knows whichever daemon does it. In the service's sandbox it may
        not (`ProtectClock=` refuses adjtimex() with EPERM); there the file of systemd-timesyncd decides. Its time is
        the wall clock's of the last correction: a clock that was stepped since by a day is that far away from it, in
        either direction, and counts as not set until the next correction. Where neither is to be had: no.
        """
        code = self._ask_kernel()
        if code >= 0:
            return code != TIME_ERROR
        try:
            touched_s = self._timesyncd.stat().st_mtime
        except OSError:
            return False
        return -1.0 <= time.time() - touched_s <= TRUSTED_S

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
