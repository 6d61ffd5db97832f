"""What is cleared, when, and what is left alone because somebody else lives there by now."""

from __future__ import annotations

import json

import pytest

from edged.duties.leftovers import LAST_WORD_S, Leftovers
from tests.duties.test_control import Device

OWN = ["edged/porch/state/gone", "edged/porch/threshold/gone"]
OLD = ["edged/old/state/cat", "edged/old/availability", "edged/old/info"]


class Clearing:
    """A device with leftovers, before its first connection."""

    def __init__(self, stale: dict[str, list[str]]) -> None:
        self.device = Device(connected=False)
        self.stale, self.remembered = stale, 0
        device = self.device
        self.leftovers = Leftovers(stale, "edged/porch", "mine", device.publisher, device.clock, self._remember)
        device.publisher.on_connected = self.leftovers.connected
        device.publisher.on_lost = lambda _: self.leftovers.lost()
        device.publisher.on_received = self.leftovers.received

    def _remember(self) -> None:
        self.remembered += 1

    def turn(self, seconds: float = 0.0) -> None:
        self.device.clock.advance(seconds)
        for _ in range(20):
            self.device.publisher.pump((), ())
            self.leftovers.turn()

    def connect(self) -> None:
        self.device.broker.up()
        self.turn()

    def hear(self, board: str | None, word: bytes | None) -> None:
        if board is not None:
            self.device.broker.receive("edged/old/info", json.dumps({"board": board}).encode(), retained=True)
        if word is not None:
            self.device.broker.receive("edged/old/availability", word, retained=True)
        self.turn()

    @property
    def cleared(self) -> list[str]:
        return [message.topic for message in self.device.broker.sent if message.retain and not message.payload]


def test_what_is_under_the_own_name_goes_before_online() -> None:
    clearing = Clearing({"edged/porch": list(OWN)})
    clearing.connect()
    sent = [message.topic for message in clearing.device.broker.sent]
    assert clearing.cleared == OWN
    assert max(map(sent.index, OWN)) < sent.index("edged/porch/availability")
    assert clearing.stale == {}
    assert clearing.remembered == 1


def test_it_is_cleared_once_and_never_again() -> None:
    clearing = Clearing({"edged/porch": list(OWN)})
    clearing.connect()
    clearing.device.broker.down()
    clearing.turn()
    clearing.connect()
    assert clearing.cleared == OWN


@pytest.mark.parametrize("answered", [0, 1])
def test_what_the_broker_did_not_answer_is_remembered_and_cleared_on_the_next_connection(answered: int) -> None:
    clearing = Clearing({"edged/porch": list(OWN)})
    clearing.device.broker.answering = False
    clearing.connect()
    first = next(mid for mid, one in clearing.device.broker.waiting.items() if one.topic == OWN[0])
    clearing.device.broker.acknowledge(list(clearing.device.broker.waiting).index(first) + answered)
    clearing.turn()
    clearing.device.broker.down()
    clearing.turn()
    assert clearing.stale == {"edged/porch": OWN[answered:]}
    clearing.device.broker.answering = True
    clearing.connect()
    assert clearing.cleared == OWN + OWN[answered:]
    assert clearing.stale == {}


def test_an_old_name_is_cleared_when_it_is_offline_and_still_of_this_board() -> None:
    clearing = Clearing({"edged/old": list(OLD)})
    clearing.connect()
    clearing.hear("mine", b"online")
    clearing.turn(10 * LAST_WORD_S)
    assert clearing.cleared == [], "another daemon of this board, or this one's will is still to come"
    clearing.hear(None, b"offline")
    assert clearing.cleared == OLD
    assert clearing.stale == {}


@pytest.mark.parametrize("board", ["other", None])
@pytest.mark.parametrize("word", [b"offline", None])
def test_a_name_that_is_another_boards_by_now_is_left_alone_for_good(board: str | None, word: bytes | None) -> None:
    clearing = Clearing({"edged/old": list(OLD)})
    clearing.connect()
    clearing.hear(board, word)
    clearing.turn(LAST_WORD_S)
    assert (clearing.cleared, clearing.stale, clearing.remembered) == ([], {}, 1)


def test_an_old_name_without_an_availability_is_cleared_after_a_while() -> None:
    clearing = Clearing({"edged/old": list(OLD)})
    clearing.connect()
    clearing.hear("mine", None)
    clearing.turn(LAST_WORD_S - 1.0)
    assert clearing.cleared == []
    clearing.turn(1.0)
    assert clearing.cleared == OLD


def test_under_another_prefix_an_online_of_the_same_device_is_its_own() -> None:
    """Nobody else can be connected under its client id, and no will comes: the session went on."""
    clearing = Clearing({"before/porch": ["before/porch/availability", "before/porch/info"]})
    clearing.connect()
    clearing.device.broker.receive("before/porch/availability", b"online", retained=True)
    clearing.device.broker.receive("before/porch/info", b'{"board":"mine"}', retained=True)
    clearing.turn()
    assert clearing.cleared == ["before/porch/availability", "before/porch/info"]


def test_on_another_connection_it_looks_again() -> None:
    """While this device was away somebody else may have taken the name."""
    clearing = Clearing({"edged/old": list(OLD)})
    clearing.device.broker.refusals = dict.fromkeys(OLD, "Quota exceeded")
    clearing.device.broker.for_good = False
    clearing.connect()
    clearing.hear("mine", b"offline")
    assert clearing.cleared == OLD
    clearing.device.broker.refusals.clear()
    clearing.device.broker.down()
    clearing.turn()
    clearing.connect()
    clearing.hear("mine", b"online")
    clearing.turn(10 * LAST_WORD_S)
    assert clearing.cleared == OLD, "nothing more"
    assert clearing.stale == {"edged/old": OLD}


def test_a_clear_that_is_refused_is_no_problem_of_the_device(caplog: pytest.LogCaptureFixture) -> None:
    clearing = Clearing({"edged/porch": list(OWN)})
    clearing.device.broker.refusals[OWN[0]] = "Not authorized"
    clearing.connect()
    assert clearing.device.problems.all() == ()
    assert clearing.stale == {"edged/porch": [OWN[0]]}
    assert f"{OWN[0]} stays on the broker" in caplog.text
    assert clearing.device.said("edged/porch/availability") == [b"online"]
