"""Another board of the same name: its two signs, and what is no sign."""

from __future__ import annotations

import pytest

from edged.core.problems import Problems
from edged.duties.namesake import QUIET_S, WAIT_S, Namesake
from edged.ports import Disconnected, Received
from tests.fakes import FakeClock

TOPIC = "edged/porch/info"


class Watch:
    def __init__(self) -> None:
        self.clock, self.problems, self.away = FakeClock(), Problems(), []
        self.namesake = Namesake(TOPIC, "mine", self.clock, self.problems, lambda text, s: self.away.append(s))

    def described(self, payload: bytes) -> None:
        self.namesake.received(Received(TOPIC, payload, retained=False))

    def lost(self, after_s: float, taken: bool = True) -> None:
        self.clock.advance(after_s)
        self.namesake.lost(Disconnected("gone", taken=taken))

    @property
    def codes(self) -> list[str]:
        return [one.code for one in self.problems.all()]


def test_another_board_describes_itself_after_this_one_did() -> None:
    watch = Watch()
    watch.described(b'{"board": "other"}')
    assert not watch.away, "what lay there may be that of a board that this one replaced"
    watch.described(b'{"board": "mine"}')
    watch.described(b'{"board": "other"}')
    assert watch.away == [WAIT_S]
    assert watch.codes == ["name_in_use"]


def test_a_connection_taken_three_times_in_a_minute() -> None:
    watch = Watch()
    for after_s in (0.0, 25.0, 25.0):
        watch.lost(after_s)
    assert (watch.away, watch.codes) == ([WAIT_S], ["name_in_use"])
    watch.clock.advance(QUIET_S + 1)
    watch.namesake.turn()
    assert watch.codes == [], "without a sign for a while it is over"


def test_losses_further_apart_or_of_no_good_connection_are_no_sign() -> None:
    watch = Watch()
    for _ in range(10):
        watch.lost(31.0)
        watch.lost(0.1, taken=False)
    assert not watch.away


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"null", b'{"board": 3}', b"[" * 5000, b"\xff", b'{"a": 1}'])
def test_a_description_that_is_none_is_no_sign(payload: bytes) -> None:
    watch = Watch()
    watch.described(b'{"board": "mine"}')
    watch.described(payload)
    assert not watch.away
