"""What is looked after: the clock, what ails the outbox, its log and its bounds."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from edged.core.problems import Problems
from edged.duties.upkeep import PERIOD_S, Upkeep
from edged.edges.outbox_fallback import RETRY_S
from edged.ports import OutboxCounts
from tests.fakes import FakeClock
from tests.outboxes import NOW_S, durable


class AilingOutbox:
    def __init__(self) -> None:
        self.log, self.problems, self.corrected = "a", {}, 0
        self.now = OutboxCounts(rows=0, bytes=0, oldest_s=None, dropped=7, first_seq=None, last_seq=None)

    def counts(self) -> OutboxCounts:
        return self.now

    def correct_clock(self) -> int:
        self.corrected += 1
        return 1


class Watch:
    def __init__(self, synced: bool = True) -> None:
        self.clock, self.problems, self.outbox, self.described = FakeClock(), Problems(), AilingOutbox(), 0
        self.clock.synced = synced
        self.upkeep = Upkeep(self.clock, self.problems, self.outbox, self._describe)

    def _describe(self) -> None:
        self.described += 1

    def turn(self) -> list[str]:
        self.clock.advance(PERIOD_S)
        self.upkeep.turn()
        return [one.code for one in self.problems.all()]


def test_the_clock_becomes_right_once() -> None:
    watch = Watch(synced=False)
    watch.turn()
    assert watch.outbox.corrected == 0
    watch.clock.synced = True
    watch.turn()
    watch.turn()
    assert watch.outbox.corrected == 1


def test_what_ails_the_outbox_is_a_problem_until_it_is_over() -> None:
    watch = Watch()
    watch.outbox.problems = {"outbox_disk": "the disk is full"}
    watch.upkeep.turn()
    assert [one.text for one in watch.problems.all()] == ["the disk is full"]
    watch.outbox.problems = {}
    watch.upkeep.turn()
    assert not watch.problems.all()


def test_trouble_with_the_disk_is_logged_once_down_and_once_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By the outbox itself, which knows the path; not once more by whoever reports it."""
    caplog.set_level(logging.INFO)
    (tmp_path / "state").write_text("no folder")
    clock, problems = FakeClock(NOW_S), Problems()
    box = durable(tmp_path / "state" / "outbox.db", clock)
    upkeep = Upkeep(clock, problems, box, lambda: None)
    for _ in range(50):
        box.append(())
        upkeep.turn()
        clock.advance(PERIOD_S)
    assert [one.code for one in problems.all()] == ["outbox_disk"]
    (tmp_path / "state").unlink()
    clock.advance(RETRY_S)
    for _ in range(3):
        box.append(())
        upkeep.turn()
    assert not problems.all()
    down, up = (record.getMessage() for record in caplog.records)
    assert "events cannot be stored" in down
    assert up == "events are stored on the disk again"
    box.close()


def test_another_log_is_described_and_its_count_starts_anew() -> None:
    watch = Watch()
    watch.outbox.log, watch.outbox.now = "b", replace(watch.outbox.now, dropped=0)
    assert watch.turn() == []
    assert watch.described == 1


def test_dropped_events_are_a_problem_until_nothing_waits() -> None:
    watch = Watch()
    assert watch.turn() == [], "what was dropped before the start is no news"
    watch.outbox.now = replace(watch.outbox.now, rows=5, dropped=9)
    assert watch.turn() == ["outbox_full"]
    assert watch.turn() == ["outbox_full"]
    watch.outbox.now = replace(watch.outbox.now, rows=0)
    assert watch.turn() == []
