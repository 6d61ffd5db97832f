"""Fakes of the ports: the outside world as a test scripts it, and the plain values that many tests start from."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from types import TracebackType

import numpy as np

from edged.core.condition import Condition
from edged.core.types import (
    FULL,
    Activation,
    Blind,
    Decision,
    End,
    Event,
    Frame,
    InputSpec,
    Look,
    Message,
    ModelSpec,
    Quantization,
    Region,
    Rule,
    Scores,
    TensorSpec,
    WallTime,
)
from edged.ports import Acknowledged, Connected, Disconnected, Notice, Received

UTC_S = 1_800_000_000.0
"""What the wall clock says when a FakeClock's monotonic clock says zero."""


def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Waits for a condition that another thread or process brings about; fails the test when it does not come."""
    never = threading.Event()
    stop_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < stop_s, f"not within {timeout_s:g} s"
        never.wait(0.005)


def rule(name: str = "cat", **changes: float | str) -> Rule:
    """A rule that decides at once, unless told otherwise."""
    values: dict[str, float | str] = {
        "title": f"{name} seen",
        "label": name,
        "region": "full",
        "score_threshold": 0.6,
        "release_threshold": 0.4,
        "delay_on_s": 0.0,
        "delay_off_s": 0.0,
        "refractory_s": 0.0,
    }
    return Rule(name=name, **{**values, **changes})  # type: ignore[arg-type]


def tensor(
    shape: Sequence[int], dtype: str = "int8", scale: float | None = 1 / 256, zero_point: int | None = None
) -> TensorSpec:
    """A tensor as the runtime would report it; float32 has no quantization."""
    if dtype == "float32" or scale is None:
        return TensorSpec(tuple(shape), dtype, None)
    usual = -128 if dtype == "int8" else 0
    return TensorSpec(tuple(shape), dtype, Quantization(scale, usual if zero_point is None else zero_point))


def model(
    labels: Sequence[str] = ("cat", "dog", "bird"),
    groups: Mapping[str, tuple[str, ...]] | None = None,
    activation: Activation = "none",
    input_spec: InputSpec | None = None,
    input_tensor: TensorSpec | None = None,
    output_tensor: TensorSpec | None = None,
) -> ModelSpec:
    """A model that fits, of whatever kind the test is about."""
    return ModelSpec(
        name="toy",
        version="1",
        sha256="ab12cd34" * 8,
        labels=tuple(labels),
        groups=groups or {},
        input=input_spec or InputSpec("rgb", "stretch", (127.5,), (127.5,)),
        input_tensor=input_tensor or tensor((1, 8, 8, 3)),
        output_tensor=output_tensor or tensor((1, len(labels))),
        activation=activation,
        background=None,
    )


def condition(**figures: float | bool | None) -> Condition:
    """A board without any sensor, but for the figures that the test is about."""
    names = [field.name for field in fields(Condition)]
    return Condition(**{**dict.fromkeys(names), **figures})  # type: ignore[arg-type]


REGION = Region("full", FULL, "stretch")


class FakeClock:
    """A clock that stands still until it is told. Safe to advance while other threads read it.

    Attributes:
        synced: whether a time server has set the wall clock.
        slept_s: the sum of what was slept.
    """

    def __init__(self, t_s: float = 1000.0) -> None:
        self._t_s = t_s
        self._lock = threading.Lock()
        self._later: list[tuple[float, Callable[[], None]]] = []
        self.synced = True
        self.slept_s = 0.0

    def advance(self, seconds: float) -> None:
        """Lets time pass, and with it what was planned with `at`."""
        with self._lock:
            self._t_s += seconds
            due = [action for t_s, action in self._later if t_s <= self._t_s]
            self._later = [(t_s, action) for t_s, action in self._later if t_s > self._t_s]
        for action in due:
            action()

    def at(self, t_s: float, action: Callable[[], None]) -> None:
        """Something that happens outside at that moment."""
        self._later.append((t_s, action))

    def monotonic(self) -> float:
        with self._lock:
            return self._t_s

    def label(self, t_s: float) -> WallTime:
        return WallTime(UTC_S + t_s, "synced" if self.synced else "unsynced")

    def is_synced(self) -> bool:
        return self.synced

    def sleep(self, seconds: float) -> None:
        self.slept_s += seconds
        self.advance(seconds)

    def age_ms(self, t_s: float) -> int | None:
        return max(0, round((self.monotonic() - t_s) * 1000))


class FakeClipClock(FakeClock):
    """A clock beside a clip whose frames carry the clip's own time."""

    def age_ms(self, t_s: float) -> int | None:
        return None


class ScriptedCamera:
    """Plays looks in sequence, then says that the clip is over.

    Args:
        script: frames, faults and pauses (None); a callable is called for the look, and may do more than look.
    """

    def __init__(self, script: Iterable[Look | Callable[[], Look]]) -> None:
        self._script = iter(script)
        self._t_s = 0.0
        self.dropped = 0
        self.entered = 0
        self.left = 0
        self.timeouts_s: list[float] = []

    def __enter__(self) -> ScriptedCamera:
        self.entered += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.left += 1

    def newest(self, timeout_s: float) -> Look:
        assert self.entered > self.left, "a camera is looked at only while it is entered"
        self.timeouts_s.append(timeout_s)
        look = next(self._script, End(self._t_s))
        if callable(look):
            look = look()
        if look is not None:
            self._t_s = look.t_s
        return look


def frame(t_s: float, level: int = 0) -> Frame:
    """A tiny picture in which every pixel is `level`."""
    return Frame(np.full((2, 2, 3), level, np.uint8), t_s)


def lost(t_s: float, text: str = "the camera is unplugged") -> Blind:
    return Blind(t_s, "camera_lost", text)


def fault(t_s: float, text: str = "the picture is frozen") -> Blind:
    return Blind(t_s, "camera_fault", text)


class ScriptedClassifier:
    """Reads the scores of all wanted labels from the level of a frame's pixels, in percent."""

    def __init__(self, wanted: Sequence[str]) -> None:
        self._scores: Scores = np.zeros(len(wanted), np.float32)
        self.frames = 0

    def scores(self, frame: Frame, region: Region) -> Scores:
        self.frames += 1
        self._scores[:] = frame.pixels[0, 0, 0] / 100
        return self._scores


class RecordingBroker:
    """A broker with a switch, which writes everything down.

    Args:
        window: how many unacknowledged messages it takes.
        answering: whether it acknowledges by itself. If not, `acknowledge` does.

    Attributes:
        sent: every message that it took, in order, over all connections.
        connections: the same by connection.
        waiting: QoS 1 messages without an answer, by message id, oldest first.
        refusals: topics that it refuses, and why; `for_good` or for now.
        dropped: why the device gave connections up.
        room: how many more messages it takes although there is a connection.
        stopped: the reason code of the end.
    """

    def __init__(self, window: int = 8, *, answering: bool = True) -> None:
        self._window = window
        self._notices: deque[Notice] = deque()
        self._mid = 0
        self.answering = answering
        self.is_up = False
        self.room = math.inf
        self.sent: list[Message] = []
        self.connections: list[list[Message]] = []
        self.waiting: dict[int, Message] = {}
        self.acknowledged: list[Message] = []
        self.refusals: dict[str, str] = {}
        self.for_good = True
        self.dropped: list[str] = []
        self.most_waiting = 0
        self.started = 0
        self.stopped: int | None = None

    def start(self) -> None:
        self.started += 1

    def up(self, window: int | None = None) -> None:
        """Accepts the connection."""
        assert not self.is_up
        self.is_up = True
        self.connections.append([])
        self._notices.append(Connected(self._window if window is None else window))

    def down(self, text: str = "the connection to the broker ended: Keep alive timeout") -> None:
        """Loses the connection, and with it every answer that is not yet on its way."""
        assert self.is_up
        self.is_up = False
        self.waiting.clear()
        self._notices.append(Disconnected(text))

    def acknowledge(self, count: int = 1_000_000) -> None:
        """Answers the oldest messages that have no answer yet."""
        for mid in list(self.waiting)[:count]:
            message = self.waiting.pop(mid)
            refused = self.refusals.get(message.topic)
            if refused is None:
                self.acknowledged.append(message)
            self._notices.append(Acknowledged(mid, refused, self.for_good))

    def poll(self) -> Notice | None:
        return self._notices.popleft() if self._notices else None

    def publish(self, message: Message) -> int | None:
        if not self.is_up or self.room <= 0:
            return None
        self.room -= 1
        self._mid += 1
        self.sent.append(message)
        self.connections[-1].append(message)
        if message.qos:
            self.waiting[self._mid] = message
            self.most_waiting = max(self.most_waiting, len(self.waiting))
            if self.answering:
                self.acknowledge()
        return self._mid

    def drop(self, text: str, wait_s: float = 0.0) -> None:
        self.dropped.append(text)
        self.down(text)

    def receive(self, topic: str, payload: bytes, retained: bool = False) -> None:
        """Somebody publishes to the device."""
        self._notices.append(Received(topic, payload, retained))

    def stop(self, reason_code: int) -> None:
        assert self.stopped is None
        self.stopped = reason_code
        self.is_up = False


class Heartbeats:
    """Counts finished turns and looks at the world at each.

    Args:
        look: called at each beat; what it gives is kept.
    """

    def __init__(self, look: Callable[[], object] = lambda: None) -> None:
        self._look = look
        self.beats: list[object] = []

    def beat(self) -> None:
        self.beats.append(self._look())


class RecordingPublisher:
    """Writes down what each turn of the loop had to say."""

    def __init__(self) -> None:
        self.turns: list[tuple[tuple[Event, ...], tuple[Decision, ...]]] = []

    def pump(self, events: Sequence[Event], decisions: Sequence[Decision]) -> None:
        self.turns.append((tuple(events), tuple(decisions)))
