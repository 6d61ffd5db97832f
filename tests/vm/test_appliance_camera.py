"""The camera of a running appliance fails in every way that the kernel lets it: told in time, and over by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from tests.vm.appliance import Appliance

LOST_LIMIT_S = 5.0
IDLE_CPU_SHARE = 0.5
"""Of one emulated processor, where a busy loop takes all of one."""
WATCHED_S = 20
UNPLUGGED_LINES = 4
"""No pictures, no device, a device whose group udev has not set yet, back."""
NO_TEXT = 2
"""Of the control osd_text_mode."""

Record = Callable[[str, str], None]


def utc_s(message: dict[str, Any]) -> float:
    """When a message says that it began."""
    return datetime.fromisoformat(message["since"]).timestamp()


def lost_and_back(
    appliance: Appliance, lose: Callable[[], None], meanwhile: Callable[[], None] = lambda: None
) -> float:
    """How long it took until the pipeline was lost, both moments by the appliance's own clock; then it runs again."""
    appliance.wait_until("running")
    after, began_s = appliance.mark("pipeline"), appliance.clock_s()
    lose()
    lost_s = utc_s(appliance.wait_for_state("camera_lost", after)) - began_s
    meanwhile()
    appliance.wait_for_state("running", after)
    return lost_s


def cpu_share(appliance: Appliance) -> float:
    """CPU time of the daemon over an interval, as a share of one processor."""
    text = appliance.run(f"""
        pid=$(systemctl show --value --property=MainPID edged.service)
        read -r begin _ </proc/uptime; before=($(<"/proc/$pid/stat"))
        sleep {WATCHED_S}
        read -r end _ </proc/uptime; after=($(<"/proc/$pid/stat"))
        echo "$begin $end $((before[13] + before[14])) $((after[13] + after[14])) $(getconf CLK_TCK)" """)
    begin_s, end_s, before, after, ticks = map(float, text.split())
    return (after - before) / ticks / (end_s - begin_s)


def test_a_moving_scene_makes_events_and_a_still_one_makes_none(appliance: Appliance, record: Record) -> None:
    appliance.move()
    appliance.wait_for_events(6)
    appliance.rest()
    appliance.vivid.set("osd_text_mode", NO_TEXT)
    # An episode that a pause ended is told before this mark: a pause is answered after it.
    before = appliance.heard.account.messages
    appliance.run("sleep 45")
    still = appliance.heard.account.messages - before
    assert still == 0
    record("camera: scenes", f"6 events of the moving scene arrived, {still} of 45 s of the still one")


@pytest.mark.parametrize("name", ["fatal streaming error", "disconnect"])
def test_a_stream_that_breaks_is_told_and_comes_back(appliance: Appliance, record: Record, name: str) -> None:
    control = {"fatal streaming error": "inject_fatal_streaming_error", "disconnect": "disconnect"}[name]
    lost_s = lost_and_back(appliance, lambda: appliance.vivid.set(control))
    assert lost_s <= LOST_LIMIT_S
    record(f"camera: {name}", f"`camera_lost` after {lost_s:.1f} s, then running")


def test_a_camera_that_is_unplugged_is_told_and_waited_for_without_a_busy_loop(
    appliance: Appliance, record: Record
) -> None:
    shares = []

    def gone() -> None:
        shares.append(cpu_share(appliance))
        appliance.vivid.plug()

    before = len(appliance.journal())
    lost_s = lost_and_back(appliance, appliance.vivid.unplug, gone)
    share = shares[0]
    lines = [line for line in appliance.journal()[before:] if "edged.camera" in line]
    # Each reason once, however often it was tried: what it is, and what the next tries find.
    assert [line.split()[0] for line in lines[-2:]] == ["WARNING", "INFO"], lines
    assert len(set(lines)) == len(lines) <= UNPLUGGED_LINES, lines
    assert lost_s <= LOST_LIMIT_S
    assert share < IDLE_CPU_SHARE
    record(
        "camera: unplugged",
        f"`camera_lost` after {lost_s:.1f} s, then running; {share:.0%} of one CPU while gone, "
        f"{len(lines)} lines in the journal",
    )


def test_a_camera_that_stalls_is_told_and_comes_back(appliance: Appliance, record: Record) -> None:
    shares = []

    def stalled() -> None:
        shares.append(cpu_share(appliance))
        appliance.vivid.set("percentage_of_dropped_buffers", 0)

    lost_s = lost_and_back(appliance, lambda: appliance.vivid.set("percentage_of_dropped_buffers", 100), stalled)
    share = shares[0]
    assert lost_s <= LOST_LIMIT_S
    assert share < IDLE_CPU_SHARE
    record("camera: stall", f"`camera_lost` after {lost_s:.1f} s, then running; {share:.0%} of one CPU while stalled")


def test_a_stream_that_is_refused_once_when_it_is_opened_again_is_tried_again(
    appliance: Appliance, record: Record
) -> None:
    appliance.vivid.set("inject_vidioc_streamon_error")
    lost_s = lost_and_back(appliance, lambda: appliance.vivid.set("inject_fatal_streaming_error"))
    assert lost_s <= LOST_LIMIT_S
    record("camera: refused at the next opening", f"`camera_lost` after {lost_s:.1f} s, then running")
