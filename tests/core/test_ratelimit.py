"""How much of what comes in is dealt with: the flood, and the answers to it."""

from __future__ import annotations

import gc
import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.core import commands, wire
from edged.core.commands import Ping, Refusal, SetEnabled, SetThreshold
from edged.core.ratelimit import Inbox, Latest, RateLimiter, Verdict

TOPICS = wire.Topics("edged", "porch")
PING = TOPICS.request("ping")
ADMIT, REFUSE, DROP = Verdict.ADMIT, Verdict.REFUSE, Verdict.DROP


def inbox() -> Inbox:
    return Inbox(TOPICS, ("cat", "dog"))


def test_ten_a_minute_then_one_answer_then_silence() -> None:
    limiter = RateLimiter()
    assert [limiter.judge(t_s) for t_s in range(13)] == [ADMIT] * 10 + [REFUSE, DROP, DROP]
    assert limiter.wait_s(13.0) == 47.0
    assert [limiter.judge(t_s) for t_s in (59.9, 60.0, 60.1, 60.9, 61.0)] == [DROP, ADMIT, REFUSE, DROP, ADMIT]


def test_who_keeps_to_the_limit_is_never_refused() -> None:
    limiter = RateLimiter()
    assert {limiter.judge(6.0 * i) for i in range(1000)} == {ADMIT}
    assert limiter.wait_s(6000.0) == 0.0


@given(st.lists(st.integers(0, 400), min_size=1, max_size=300))
def test_never_more_than_the_limit_in_any_window_and_no_more_refusals_than_that(steps: list[int]) -> None:
    limiter = RateLimiter()
    times = [step / 16 for step in itertools.accumulate(steps)]
    verdicts = [(t_s, limiter.judge(t_s)) for t_s in times]
    for verdict in (ADMIT, REFUSE):
        of_one_kind = [t_s for t_s, found in verdicts if found is verdict]
        for t_s in of_one_kind:
            assert sum(t_s - 60.0 < other <= t_s for other in of_one_kind) <= 10 + (verdict is REFUSE)
    for i, (t_s, verdict) in enumerate(verdicts):
        before = [s for s, found in verdicts[:i] if found is ADMIT and t_s - s < 60.0]
        assert (verdict is ADMIT) == (len(before) < 10)


def test_of_settings_the_last_counts_and_once_a_second() -> None:
    latest = Latest()
    assert latest.take(0.0) == ()
    latest.put("a", "a", b"1")
    latest.put("a", "a", b"2")
    latest.put("b", "b", b"3")
    assert latest.take(0.5) == (("a", b"2"), ("b", b"3"))
    latest.put("a", "a", b"4")
    assert latest.take(1.4) == ()
    latest.put("a", "a", b"5")
    assert latest.take(1.5) == (("a", b"5"),)
    assert latest.take(9.0) == ()


def test_a_request_is_given_at_once_and_a_setting_when_it_is_due() -> None:
    box = inbox()
    assert box.put(0.0, PING, b'{"transaction": 1}', False) == Ping(1)
    assert box.put(0.0, TOPICS.enabled_set, b"OFF", False) is None
    assert box.put(0.0, TOPICS.enabled_set, b"ON", False) is None
    assert box.put(0.0, TOPICS.threshold_set("cat"), b"0.5", False) is None
    assert box.due(0.1) == [SetEnabled(True), SetThreshold("cat", 0.5)]
    assert box.due(5.0) == []
    assert box.dropped == 0


def test_a_bad_one_is_a_refusal_and_counts_as_a_request() -> None:
    box = inbox()
    assert all(isinstance(box.put(0.0, PING, b"{", False), Refusal) for _ in range(10))
    beyond = box.put(0.5, PING, b'{"transaction": "t"}', False)
    assert isinstance(beyond, Refusal)
    assert (beyond.command, beyond.transaction) == ("ping", "t")
    assert beyond.error == "expected at most 10 requests a minute, found more; nothing was done, wait 60 s"
    assert box.put(0.6, PING, b"", False) is None
    assert box.dropped == 1


@pytest.mark.parametrize(
    ("topic", "retained"), [(PING, True), (TOPICS.enabled_set, True), ("edged/porch/state/cat", False), ("x", False)]
)
def test_what_is_not_for_us_counts_for_nothing(topic: str, retained: bool) -> None:
    box = inbox()
    assert [box.put(0.0, topic, b"", retained) for _ in range(100)] == [None] * 100
    assert box.due(0.0) == []
    assert box.put(0.0, PING, b"", False) == Ping()


def test_rules_that_do_not_exist_share_one_answer() -> None:
    box = inbox()
    for i in range(1000):
        box.put(0.0, TOPICS.threshold_set(f"fox{i}"), b"0.5", False)
    (only,) = box.due(0.0)
    assert isinstance(only, Refusal)
    assert '"fox999"' in only.error


def flood(box: Inbox, start_s: float, messages: int) -> int:
    """100 messages a second; how many of them are answered or applied."""
    topics = (*(TOPICS.request(c) for c in ("ping", "pause", "x")), TOPICS.enabled_set, TOPICS.threshold_set("cat"))
    done = 0
    for i in range(messages):
        t_s = start_s + i / 100
        done += box.put(t_s, topics[i % 5], b"%d" % i * 100, False) is not None
        done += box.put(t_s, TOPICS.threshold_set(f"rule{i}"), b"\xff" * 1000, False) is not None
        for one in box.due(t_s):
            done += len(commands.response(TOPICS, one).payload) > 0  # type: ignore[arg-type]
    return done


def test_a_flood_is_bounded_in_answers_and_in_memory() -> None:
    box = inbox()
    flood(box, 0.0, 1000)
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        done = flood(box, 10.0, 10_000)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    # 100 s: at most 11 answers to requests in any minute, and a second at most one of each of three settings.
    assert done <= 2 * 11 + 101 * 3
    assert box.dropped > 5_000
    assert grown < 10_000
