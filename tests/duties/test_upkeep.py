"""What is looked after: the clock, what ails the outbox, its log and its bounds."""

from __future__ import annotations

from dataclasses import replace

from edged.core.problems import Problems
from edged.duties.upkeep import PERIOD_S, Upkeep
from edged.ports import OutboxCounts
from tests.fakes import FakeClock


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
