"""What makes an event one event."""

from __future__ import annotations

import re
import time

from edged.core.types import Decision
from edged.edges.identity import Numbering, new_id
from tests.fakes import UTC_S, FakeClipClock, FakeClock, rule

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def milliseconds(ulid: str) -> int:
    return sum(ALPHABET.index(letter) * 32**place for place, letter in enumerate(reversed(ulid[:10])))


def test_an_id_is_a_ulid_of_now() -> None:
    before = time.time_ns() // 1_000_000
    ids = [new_id() for _ in range(1000)]
    after = time.time_ns() // 1_000_000
    assert all(re.fullmatch(f"[0-7][{ALPHABET}]{{25}}", one) for one in ids)
    assert all(before <= milliseconds(one) <= after for one in ids)
    assert len(set(ids)) == 1000


def test_all_of_its_random_part_is_random() -> None:
    columns = list(zip(*(new_id()[10:] for _ in range(500)), strict=True))
    assert len(columns) == 16
    assert all(len(set(column)) > 16 for column in columns)


def end(t_s: float = 12.0) -> Decision:
    return Decision(rule(), t_s, "OFF", 0.1, "end", 0.9, 3.5, 8.5, "gone")


def test_events_are_numbered_without_gaps_from_one_on() -> None:
    numbering = Numbering(FakeClock(), "log", "boot", "toy@ab12cd34")
    assert numbering.last_seq == 0
    events = [numbering.stamp(end()) for _ in range(5)]
    assert [event.seq for event in events] == [1, 2, 3, 4, 5]
    assert numbering.last_seq == 5
    assert len({event.id for event in events}) == 5


def test_an_event_knows_when_it_was_and_how_old_its_picture_is() -> None:
    clock = FakeClock(20.041)
    event = Numbering(clock, "log", "boot", "toy@ab12cd34").stamp(end(20.0))
    assert (event.log, event.boot_id, event.model) == ("log", "boot", "toy@ab12cd34")
    assert (event.time.utc_s, event.start_time.utc_s) == (UTC_S + 20.0, UTC_S + 3.5)
    assert (event.time.clock, event.frame_age_ms) == ("synced", 41)
    clock.synced = False
    assert Numbering(clock, "log", "boot", "m").stamp(end(20.0)).time.clock == "unsynced"


def test_a_picture_of_a_clip_has_no_age() -> None:
    assert Numbering(FakeClipClock(), "log", "boot", "m").stamp(end()).frame_age_ms is None
