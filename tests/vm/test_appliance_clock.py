"""The wall clock is stepped by a year, forwards and back, under the running daemon: only labels change."""

from __future__ import annotations

from collections.abc import Callable

from tests.vm.appliance import Appliance

YEAR_S = 365 * 86400.0
WATCHED_S = 20
LONGEST_EPISODE_S = 600.0

Record = Callable[[str, str], None]


def step(appliance: Appliance, seconds: float) -> None:
    """Sets the wall clock; nothing else of the machine notices."""
    appliance.run(f"date --set @$(($(date +%s) + {seconds:.0f})) >/dev/null")


def test_a_clock_that_jumps_by_a_year_makes_no_event_and_no_stall(appliance: Appliance, record: Record) -> None:
    appliance.wait_until("running")
    states, events = appliance.mark("pipeline"), appliance.heard.account.messages
    for seconds in (YEAR_S, -YEAR_S):
        step(appliance, seconds)
        appliance.run(f"sleep {WATCHED_S}")
    made = appliance.heard.account.messages - events
    # A broker may end connections over it: then what is true is said again, and that is no change.
    stalls = [message for message in appliance.told("pipeline")[states:] if message["state"] != "running"]
    assert made == 0
    assert stalls == []
    record("clock stepped by a year", f"forwards and back: {made} events of the still scene, {len(stalls)} stalls")


def test_events_around_a_jump_say_how_far_their_time_can_be_trusted(appliance: Appliance, record: Record) -> None:
    # As systemd-timesyncd does when it has set the clock; no time server reaches this machine.
    appliance.run("mkdir -p /run/systemd/timesync; touch /run/systemd/timesync/synchronized")
    appliance.move()
    appliance.wait_for_events(2)
    step(appliance, YEAR_S)
    appliance.wait_for_events(4)
    step(appliance, -YEAR_S)
    appliance.wait_for_events(4)
    appliance.rest()
    events = [event for _, event in sorted(appliance.heard.account.events.items())]
    marks = {(event["time"][:4], event["clock"]) for event in events}
    lengths_s = [event["duration_s"] for event in events if event["event_type"] == "end"]
    assert [event["event_type"] for event in events] == ["start", "end"] * (len(events) // 2)
    assert all(0.0 <= length_s < LONGEST_EPISODE_S for length_s in lengths_s)
    trusted = {year for year, clock in marks if clock == "synced"}
    assert trusted == {appliance.run("date +%Y")}
    assert {clock for _, clock in marks if clock != "synced"} in (
        {"unsynced"},
        {"corrected"},
        {"unsynced", "corrected"},
    )
    record(
        "clock stepped while events come",
        f"{len(events)} events: {', '.join(sorted(f'{clock} in {year}' for year, clock in marks))}; "
        f"the longest lasts {max(lengths_s):.1f} s",
    )
