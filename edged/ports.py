"""What the loop and the publisher need from outside, as Protocols. Shapes of doors, never a line of behaviour.

Whoever implements a port lives in `edges/`; the fakes live in `tests/fakes.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from edged.core.errors import CameraError, CameraHung, ConfigError, EdgedError, ModelError, RunError
from edged.core.shot import PictureFormat, Shot
from edged.core.types import Decision, Event, Frame, Look, Message, Region, Scores, WallTime

__all__ = [
    "Acknowledged", "Broker", "Camera", "CameraError", "CameraHung", "Classifier", "Clock", "ConfigError", "Connected",
    "Disconnected", "EdgedError", "Gate", "Heartbeat", "ModelError", "Notice", "Outbox", "OutboxCounts", "Publisher",
    "Received", "RunError", "Source", "Stop",
]  # fmt: skip


class Stop(Protocol):
    """Set once, when the daemon shall end; `threading.Event` is one."""

    def is_set(self) -> bool: ...
    def wait(self, timeout: float | None = None) -> bool: ...


class Clock(Protocol):
    """Time, as an argument."""

    def monotonic(self) -> float:
        """Seconds that never go backwards; decides."""

    def label(self, t_s: float) -> WallTime:
        """The wall time of a monotonic moment; labels."""

    def is_synced(self) -> bool:
        """Whether the wall clock was set by a time server."""

    def sleep(self, seconds: float) -> None:
        """Waits; for the end of the daemon and for pauses of threads that hold nothing."""

    def age_ms(self, t_s: float) -> int | None:
        """How long ago that was; None where `t_s` is a clip's own time and no moment of this clock."""


class Source(Protocol):
    """One kind of camera, driven by the capture thread alone. Every call may block or raise CameraError."""

    def open(self) -> PictureFormat:
        """Opens the device: what its pictures will be."""

    def grab(self) -> float | None:
        """Waits for the next picture and leaves it with the driver: its `t_s`, or None at the end of a clip."""

    def retrieve(self, out: Shot) -> None:
        """Copies the grabbed picture, as it is, into `out.data` and sets `out.size_bytes`."""

    def close(self) -> None:
        """Gives the device back. Never raises; may be called twice."""

    def came_back(self) -> bool:
        """Whether something changed since `open()` failed that makes it worth a try before the back-off is over.

        Asked about once a second; never blocks, never raises.
        """


class Camera(Protocol):
    """A camera as the loop sees it: entering starts the capture thread and returns at once."""

    @property
    def dropped(self) -> int:
        """Pictures that a newer one replaced before anyone looked."""

    def __enter__(self) -> Camera: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def newest(self, timeout_s: float) -> Look:
        """The newest picture not yet seen, waited for at most `timeout_s`. Borrowed until the next call.

        Raises:
            CameraHung: the driver has been stuck in one call for too long.
        """


class Gate(Protocol):
    """Which regions are worth an `invoke()`."""

    def due(self, frame: Frame) -> Sequence[Region]: ...


class Classifier(Protocol):
    """Scores of the wanted labels in one region of a frame."""

    def scores(self, frame: Frame, region: Region) -> Scores:
        """(wanted,) float32 in 0..1, borrowed until the next call."""


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """What `D/health` tells of the outbox: what waits or is in flight.

    Attributes:
        rows: how many events.
        bytes: None for an outbox that stores nothing serialized.
        dropped: events that newer ones pushed out, since the log began.
        first_seq, last_seq: the oldest that is kept and the newest that was numbered; None where there is none.
        set_aside: events that the broker refused for good, since the log began.
    """

    rows: int
    bytes: int | None
    oldest_s: float | None
    dropped: int
    first_seq: int | None
    last_seq: int | None
    set_aside: int = 0


class Outbox(Protocol):
    """Events between the decision and the broker's acknowledgement. Used by the loop's thread alone.

    An event waits, is in flight, or is done: acknowledged, or set aside because the broker will never take it. It is
    live for `wire.LIVE_AGE_S` after it was decided, then late.
    """

    log: str

    @property
    def acknowledged(self) -> int:
        """How many events the broker took since the start."""

    def append(self, decisions: Sequence[Decision]) -> Sequence[Event]:
        """Gives each decision that is an event its identity and keeps it: stored when it returns, one transaction.

        What was acknowledged or set aside since the last call leaves the queue in the same transaction.
        """

    def next(self, *, live: bool) -> Event | None:
        """The oldest waiting event that is live (or: late), now in flight; None where there is none."""

    def acknowledge(self, event: Event) -> None:
        """The broker has it."""

    def refuse(self, event: Event) -> None:
        """The broker will never take it: set aside, counted, no longer in the way."""

    def release(self, event: Event | None = None) -> None:
        """That event (None: every event in flight) waits again."""

    def replay(self, from_seq: int) -> tuple[int, int, int] | None:
        """What is kept from that number on waits again, as late: first and last number and count; None for nothing."""

    def counts(self) -> OutboxCounts: ...


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker said yes. `window`: how many unacknowledged messages it takes."""

    window: int


@dataclass(frozen=True, slots=True)
class Disconnected:
    """There is no connection, or no longer.

    Attributes:
        text: one sentence for a person.
        taken: the connection had been good and was closed from outside: perhaps by another client of the same name.
    """

    text: str
    taken: bool = False


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The broker answered a QoS 1 message.

    Attributes:
        refused: None for yes, else its reason in words.
        for_good: asking again would not help.
    """

    mid: int
    refused: str | None
    for_good: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """A message on a topic that is subscribed to; already acknowledged. `retained`: it lay there before we asked."""

    topic: str
    payload: bytes
    retained: bool


Notice = Connected | Disconnected | Acknowledged | Received


class Broker(Protocol):
    """A connection that heals itself. Nothing here blocks, whatever the network does."""

    def start(self) -> None:
        """Begins to connect, for ever."""

    def poll(self) -> Notice | None:
        """The next thing that happened, oldest first; None when nothing did.

        Raises:
            RunError: the network thread hangs, or has ended by itself once more: only a new process can mend that.
        """

    def publish(self, message: Message) -> int | None:
        """Hands a message to the network thread: its id until it is acknowledged; None when it was not taken."""

    def drop(self, text: str, wait_s: float = 0.0) -> None:
        """Gives the present connection up, `Disconnected(text)` comes next; no new one before about `wait_s`."""

    def stop(self, reason_code: int) -> None:
        """Disconnects with an MQTT 5 reason code and ends the network thread."""


class Publisher(Protocol):
    """Everything that the device says."""

    def pump(self, events: Sequence[Event], decisions: Sequence[Decision]) -> None:
        """One turn: takes what is new, answers what came, sends what may be sent. Never blocks."""


class Heartbeat(Protocol):
    """Proof of finished work for whoever supervises the process."""

    def beat(self) -> None: ...
