"""When Home Assistant is told, and when it is told again."""

from __future__ import annotations

import pytest

from edged.core.types import Message
from edged.duties.announcement import BIRTH_DELAY_S, Announcement
from edged.ports import Received
from tests.duties.test_control import Device

BIRTH = "homeassistant/status"


class Announced:
    def __init__(self, has_removed: bool = False) -> None:
        self.device, self.remembered = Device(), 0
        self.announcement = Announcement(
            lambda back: Message("ha/config", b"back" if back else b"now", 1, retain=not back),
            self.device.publisher,
            self.device.clock,
            has_removed=has_removed,
            remember=self._remember,
            birth_topic=BIRTH,
        )

    def _remember(self) -> None:
        self.remembered += 1

    def birth(self, payload: bytes = b"online", topic: str = BIRTH) -> None:
        self.announcement.received(Received(topic, payload, retained=False))

    def said(self, after_s: float) -> list[bytes]:
        self.device.clock.advance(after_s)
        self.announcement.turn()
        self.device.turn()
        return self.device.said("ha/config")


def test_it_is_retained_from_the_start() -> None:
    announced = Announced()
    announced.announcement.start()
    assert announced.said(0.0) == [b"now"]


def test_a_birth_is_answered_once_within_the_delay() -> None:
    announced = Announced()
    announced.birth()
    announced.birth()
    assert announced.said(BIRTH_DELAY_S) == [b"now"]
    assert announced.said(BIRTH_DELAY_S) == [b"now"]


def test_other_words_and_topics_are_no_birth() -> None:
    announced = Announced()
    announced.birth(b"offline")
    announced.birth(topic="elsewhere")
    assert announced.said(BIRTH_DELAY_S) == []


def test_what_was_removed_is_back_for_a_moment_and_then_gone() -> None:
    announced = Announced(has_removed=True)
    announced.birth()
    assert announced.said(BIRTH_DELAY_S) == [b"back", b"now"]
    assert announced.remembered == 1
    announced.birth()
    assert announced.said(BIRTH_DELAY_S)[2:] == [b"now"], "once is enough"


@pytest.mark.parametrize("refused", [False, True])
def test_it_is_remembered_as_gone_only_when_the_broker_has_taken_both(refused: bool) -> None:
    announced = Announced(has_removed=True)
    broker = announced.device.broker
    announced.birth()
    if refused:
        broker.refusals["ha/config"] = "Packet too large"
        assert announced.said(BIRTH_DELAY_S) == [b"back", b"now"]
    else:
        broker.answering = False
        assert announced.said(BIRTH_DELAY_S) == [b"back", b"now"]
        broker.acknowledge(1)
        announced.device.turn()
        broker.down()
        announced.device.turn()
        broker.answering = True
        broker.up()
        announced.device.turn(20)
    assert announced.remembered == 0
    broker.refusals.clear()
    announced.birth()
    assert announced.said(BIRTH_DELAY_S)[-2:] == [b"back", b"now"], "once more at the next birth"
    assert announced.remembered == 1
