"""Messages that the broker has not answered yet. They end with their connection: no answer comes on another one.

Law: remembers what is in flight and what is to be done about the answer; sends nothing and waits for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edged.core.types import Event, Message
from edged.ports import Acknowledged

Answered = Callable[[Acknowledged], object]


@dataclass(frozen=True, slots=True)
class Flight:
    """One message.

    Attributes:
        sent_s: when it was sent.
        answered: what is to be done when the broker answers, whatever it answers.
        event: None for what is no event.
        late: whether it went to the backlog.
    """

    message: Message
    sent_s: float
    answered: Answered
    event: Event | None = None
    late: bool = False


class Flights:
    """All of one connection, oldest first."""

    def __init__(self) -> None:
        self._flights: dict[int, Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def add(self, mid: int, flight: Flight) -> None:
        """A message is on its way under the broker edge's id."""
        self._flights[mid] = flight

    def land(self, mid: int) -> Flight | None:
        """The message that is answered; None for one of an earlier connection."""
        return self._flights.pop(mid, None)

    def clear(self) -> None:
        """The connection ended."""
        self._flights.clear()

    def oldest_s(self, now_s: float) -> float:
        """How long the oldest has been without an answer; 0 where nothing is in flight."""
        return next((now_s - flight.sent_s for flight in self._flights.values()), 0.0)

    def overtaken(self, event: Event) -> bool:
        """Whether a late event would overtake an older one that went as live.

        Should that come back, it must be the first on the backlog.
        """
        flights = self._flights.values()
        return any(flight.event and not flight.late and flight.event.seq < event.seq for flight in flights)
