"""The bookkeeping of retained topics, against a broker that answers what it likes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edged.core.retained import REFUSED_PAUSE_S, Retained
from edged.core.types import Message

TOPICS = ("a", "b", "c")


def value(topic: str, number: int) -> Message:
    return Message(topic, b"%d" % number, 1, retain=True)


def test_values_come_in_the_order_in_which_they_were_put() -> None:
    retained = Retained()
    for topic in TOPICS:
        retained.put(value(topic, 1))
    given: list[str] = []
    while (message := retained.next(0.0)) is not None:
        given.append(message.topic)
        retained.sent(message.topic)
    assert tuple(given) == TOPICS
    assert retained.settled


def test_what_was_to_be_cleared_is_forgotten_with_the_connection() -> None:
    retained, heard = Retained(), []
    retained.clear("a", heard.append)
    retained.clear("b", heard.append)
    retained.sent("a")
    retained.answered("a", "Quota exceeded", False, 0.0)
    retained.lost()
    assert retained.settled
    retained.connected(last="x")
    assert retained.next(100.0) is None
    assert heard == []


def test_a_clear_refused_for_now_is_tried_again_and_told_once() -> None:
    retained, heard = Retained(), []
    retained.clear("a", heard.append)
    retained.sent("a")
    retained.answered("a", "Quota exceeded", False, 0.0)
    assert retained.next(REFUSED_PAUSE_S - 0.1) is None
    assert retained.next(REFUSED_PAUSE_S) == Message("a", b"", 1, retain=True)
    retained.sent("a")
    retained.answered("a", None, False, 6.0)
    assert heard == [None]
    assert retained.settled
    retained.connected(last="x")
    assert retained.next(100.0) is None


steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(TOPICS)),
        st.tuples(st.just("send"), st.none()),
        st.tuples(st.just("answer"), st.sampled_from([None, "for now"])),
        st.tuples(st.just("wait"), st.sampled_from([1.0, 5.0])),
        st.tuples(st.just("reconnect"), st.none()),
    ),
    max_size=60,
)


class Peer:
    """A broker that answers in order, and what it has."""

    def __init__(self) -> None:
        self.retained, self.now_s, self.number = Retained(), 0.0, 0
        self.newest: dict[str, Message] = {}
        self.has: dict[str, Message] = {}
        self.flying: list[Message] = []

    def put(self, topic: str) -> None:
        self.number += 1
        self.newest[topic] = value(topic, self.number)
        self.retained.put(self.newest[topic])

    def send(self, _: None = None) -> bool:
        message = self.retained.next(self.now_s)
        if message is not None:
            self.flying.append(message)
            self.retained.sent(message.topic)
        return message is not None

    def answer(self, refused: str | None) -> None:
        if not self.flying:
            return
        message = self.flying.pop(0)
        if refused is None:
            self.has[message.topic] = message
        self.retained.answered(message.topic, refused, False, self.now_s)

    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    def reconnect(self, _: None) -> None:
        self.flying.clear()
        self.retained.lost()
        self.retained.connected(last="none")


@given(steps)
def test_at_last_the_broker_has_the_newest_value_of_each_topic(script: list[tuple[str, Any]]) -> None:
    peer = Peer()
    for what, how in script:
        getattr(peer, what)(how)
    while peer.flying or not peer.retained.settled:
        peer.wait(REFUSED_PAUSE_S)
        while peer.send():
            pass
        while peer.flying:
            peer.answer(None)
    assert peer.has == peer.newest
