"""How much of what comes in is dealt with, and when.

Law: nothing here grows with what is sent to the device, and what gets no answer is counted. Time is an argument,
monotonic seconds. Requests are limited, and the flood of answers with them; of faster settings the last counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum

from edged.core import commands, wire
from edged.core.commands import Refusal, Request, Setting

REQUESTS, WINDOW_S = 10, 60.0
SETTINGS_PERIOD_S = 1.0


class Verdict(Enum):
    """What becomes of a request."""

    ADMIT = "admit"
    REFUSE = "refuse"  # and say so
    DROP = "drop"  # in silence


class RateLimiter:
    """At most `limit` requests within any `window_s`; of those beyond it the first is told, until one is admitted.

    So there are never more answers of one kind than of the other, however much is sent.
    """

    def __init__(self, limit: int = REQUESTS, window_s: float = WINDOW_S) -> None:
        self._limit, self._window_s = limit, window_s
        self._admitted: deque[float] = deque(maxlen=limit)
        self._told = False

    def judge(self, t_s: float) -> Verdict:
        """Judges one request that came at `t_s`."""
        if self.wait_s(t_s) <= 0.0:
            self._admitted.append(t_s)
            self._told = False
            return Verdict.ADMIT
        if self._told:
            return Verdict.DROP
        self._told = True
        return Verdict.REFUSE

    def wait_s(self, t_s: float) -> float:
        """Seconds until one would be admitted, 0 for at once."""
        if len(self._admitted) < self._limit:
            return 0.0
        return max(0.0, self._admitted[0] + self._window_s - t_s)


class Latest:
    """The newest payload of each topic, given out at most once in `period_s`."""

    def __init__(self, period_s: float = SETTINGS_PERIOD_S) -> None:
        self._period_s = period_s
        self._waiting: dict[str, tuple[str, bytes]] = {}
        self._next_s = float("-inf")

    def put(self, place: str, topic: str, payload: bytes) -> None:
        """Keeps it instead of what waits in its place: the last one counts, so nothing is lost."""
        self._waiting[place] = (topic, payload)

    def take(self, t_s: float) -> Sequence[tuple[str, bytes]]:
        """(topic, payload) of what waits, if it is time."""
        if not self._waiting or t_s < self._next_s:
            return ()
        self._next_s = t_s + self._period_s
        taken = tuple(self._waiting.values())
        self._waiting.clear()
        return taken


class Inbox:
    """What comes in for a device, within its limits: requests at once, settings when they are due.

    Attributes:
        dropped: requests beyond the limit that got no answer.
    """

    def __init__(self, topics: wire.Topics, rules: Sequence[str]) -> None:
        self._topics, self._rules = topics, tuple(rules)
        self._places = {topics.enabled_set, topics.update_set, *(topics.threshold_set(rule) for rule in rules)}
        self._limiter, self._latest = RateLimiter(), Latest()
        self.dropped = 0

    def put(self, t_s: float, topic: str, payload: bytes, retained: bool) -> Request | Refusal | None:
        """Takes a message in.

        Returns:
            A request to carry out or refuse now. None for what needs nothing (yet): a setting, which `due` gives later,
            a retained message, a topic of somebody else, a request too many.
        """
        if retained:
            return None
        if commands.is_setting(self._topics, topic):
            # Rules that do not exist share one place, or their names would be what grows.
            place = topic if topic in self._places else ""
            self._latest.put(place, topic, payload)
            return None
        if not commands.is_request(self._topics, topic):
            return None
        verdict = self._limiter.judge(t_s)
        if verdict is Verdict.DROP:
            self.dropped += 1
            return None
        found = commands.parse_request(self._topics, topic, payload)
        if found is None or verdict is Verdict.ADMIT:
            return found
        return commands.too_many(found, REQUESTS, self._limiter.wait_s(t_s))

    def due(self, t_s: float) -> Sequence[Setting | Refusal]:
        """The settings to apply, or refuse, now: of each topic the last one, at most once a second."""
        taken = self._latest.take(t_s)
        found = (commands.parse_setting(self._topics, self._rules, topic, payload) for topic, payload in taken)
        return [one for one in found if one is not None]
