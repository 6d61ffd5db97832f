"""The machine's own clocks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edged.edges import clock
from edged.edges.clock import TIME_ERROR, TRUSTED_S, ClipClock, SystemClock
from tests.conftest import EMULATED

REFUSED = """
import ctypes, os, struct
# seccomp(2): load the number of the call; adjtimex and clock_adjtime are refused with EPERM, all others allowed.
calls = {"x86_64": (159, 305), "aarch64": (171, 266)}[os.uname().machine]
code = [(0x20, 0, 0, 0), (0x15, 1, 0, calls[0]), (0x15, 0, 1, calls[1]), (0x06, 0, 0, 0x00050001),
        (0x06, 0, 0, 0x7FFF0000)]
text = b"".join(struct.pack("HBBI", *one) for one in code)
buffer = ctypes.create_string_buffer(text)
program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(buffer))
prctl = ctypes.CDLL(None).prctl
assert prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
assert prctl(22, 2, ctypes.c_char_p(program), 0, 0) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
from edged.edges.clock import Kernel
print(Kernel().clock_state())
"""


def test_monotonic_never_goes_backwards_and_sleep_lets_it_pass() -> None:
    clock = SystemClock()
    moments = [clock.monotonic() for _ in range(1000)]
    assert moments == sorted(moments)
    clock.sleep(0.01)
    assert clock.monotonic() >= moments[-1] + 0.01


def test_a_label_is_the_wall_time_of_that_moment() -> None:
    clock = SystemClock()
    before, labelled, after = time.time(), clock.label(clock.monotonic()), time.time()
    # Both clocks are read one after the other: what passes in between is the error.
    assert before - 1.0 <= labelled.utc_s <= after + 1.0
    hour_ago = clock.label(clock.monotonic() - 3600.0)
    assert labelled.utc_s - hour_ago.utc_s == pytest.approx(3600.0, abs=1.0)


def test_the_label_says_whether_the_clock_can_be_trusted() -> None:
    clock = SystemClock()
    synced = clock.is_synced()
    assert clock.label(0.0).clock == ("synced" if synced else "unsynced")
    assert clock.is_synced() is synced  # asking changes nothing


@pytest.mark.parametrize(("state", "expected"), [(0, True), (1, True), (4, True), (TIME_ERROR, False)])
def test_where_the_kernel_may_be_asked_it_alone_decides(tmp_path: Path, state: int, expected: bool) -> None:
    (tmp_path / "synchronized").touch()
    for timesyncd in (tmp_path / "synchronized", tmp_path / "none"):
        assert SystemClock(lambda: state, timesyncd).is_synced() is expected


@pytest.mark.parametrize(
    ("behind_s", "expected"),
    [(None, False), (0.0, True), (2048.0, True), (TRUSTED_S - 60.0, True), (TRUSTED_S + 60.0, False)],
    ids=["never", "now", "the longest poll", "as long as the kernel", "too long ago"],
)
def test_in_the_sandbox_the_file_of_timesyncd_decides(tmp_path: Path, behind_s: float | None, expected: bool) -> None:
    file = tmp_path / "synchronized"
    if behind_s is not None:
        file.touch()
        os.utime(file, times=(0.0, time.time() - behind_s))
    clock = SystemClock(lambda: -1, file)
    assert clock.is_synced() is expected
    assert clock.label(0.0).clock == ("synced" if expected else "unsynced")


@pytest.mark.parametrize("years", [-1, 1])
def test_a_clock_that_was_stepped_since_is_not_trusted(tmp_path: Path, years: int) -> None:
    """The file keeps the time of the last correction; the wall clock is a year away from it."""
    file = tmp_path / "synchronized"
    file.touch()
    os.utime(file, times=(0.0, time.time() - years * 365.25 * 86400.0))
    assert SystemClock(lambda: -1, file).is_synced() is False


@pytest.mark.skipif(EMULATED, reason="no seccomp within the emulator")
def test_in_a_process_that_may_not_ask_the_kernel_the_answer_is_a_refusal() -> None:
    """The real thing: the filter that systemd's `ProtectClock=` installs, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", REFUSED], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.returncode) == ("-1\n", 0), done.stderr


def test_age_is_told_in_milliseconds_and_never_negative() -> None:
    clock = SystemClock()
    age_ms = clock.age_ms(clock.monotonic() - 2.0)
    assert age_ms is not None
    assert 2000 <= age_ms < 60_000
    assert clock.age_ms(clock.monotonic() + 100.0) == 0


def test_a_clips_moments_are_told_at_its_own_pace_and_have_no_age() -> None:
    clock = ClipClock()
    first, later = clock.label(10.0), clock.label(12.5)
    assert later.utc_s - first.utc_s == pytest.approx(2.5, abs=1e-6)
    assert clock.label(10.0).utc_s == first.utc_s
    assert clock.age_ms(10.0) is None


@pytest.mark.parametrize(
    ("trace", "name"),
    [("run/systemd/timesync", "systemd-timesyncd"), ("run/chrony", "chrony"), ("run/ntpd.pid", "ntpsec")],
)
def test_what_sets_the_clock_is_told_by_what_it_leaves(tmp_path, trace, name):
    assert clock.setter(tmp_path) is None
    (tmp_path / trace).mkdir(parents=True)
    assert clock.setter(tmp_path) == name
