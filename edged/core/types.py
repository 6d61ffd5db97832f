"""The nouns that everything else is built on: plain values, frozen where they can be, no behaviour but arithmetic.

Units are in the names: `t_s` is monotonic seconds, `utc_s` wall-clock seconds since 1970, `_px` pixels, `_ms`
milliseconds. Sizes are (width, height), arrays are (height, width, channel). No type but `Frame` (and
`core.shot.Shot`) can hold pixels, and no payload is ever made from one of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Color = Literal["rgb", "bgr", "grey"]
Fit = Literal["stretch", "center-crop", "letterbox"]
Activation = Literal["none", "softmax", "sigmoid"]
State = Literal["ON", "OFF", "unknown"]
EventType = Literal["start", "end"]
PipelineState = Literal["starting", "running", "camera_lost", "camera_fault", "model_fault", "paused", "stopping"]
ClockQuality = Literal["synced", "corrected", "unsynced"]

Encoding = Literal["bgr", "yuyv", "yuv420", "jpeg"]

Pixels = NDArray[np.uint8]
Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle as fractions of the picture after rotation, 0 <= left < right <= 1, 0 <= top < bottom <= 1."""

    left: float
    top: float
    right: float
    bottom: float

    def pixels(self, width_px: int, height_px: int) -> tuple[int, int, int, int]:
        """The same box in whole pixels, (left, top, right, bottom), at least one pixel wide and high."""
        left = min(round(self.left * width_px), width_px - 1)
        top = min(round(self.top * height_px), height_px - 1)
        right = max(round(self.right * width_px), left + 1)
        bottom = max(round(self.bottom * height_px), top + 1)
        return left, top, right, bottom

    def covering(self, width_px: int, height_px: int) -> tuple[int, int, int, int]:
        """Every pixel that the box touches, (left, top, right, bottom)."""
        right, bottom = math.ceil(self.right * width_px), math.ceil(self.bottom * height_px)
        return int(self.left * width_px), int(self.top * height_px), min(right, width_px), min(bottom, height_px)

    def turned_back(self, rotate_deg: int) -> Box:
        """The same box in the picture before it was turned clockwise by that much."""
        if rotate_deg == 90:
            return Box(self.top, 1.0 - self.right, self.bottom, 1.0 - self.left)
        if rotate_deg == 180:
            return Box(1.0 - self.right, 1.0 - self.bottom, 1.0 - self.left, 1.0 - self.top)
        if rotate_deg == 270:
            return Box(1.0 - self.bottom, self.left, 1.0 - self.top, self.right)
        return self


FULL = Box(0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the picture that is classified by itself. `fit` says how it becomes the model's input."""

    name: str
    box: Box
    fit: Fit


@dataclass(frozen=True, slots=True)
class Rule:
    """What a person wants to know: is `label` in `region`? Thresholds are scores in 0..1, delays are seconds."""

    name: str
    title: str
    label: str
    region: str
    score_threshold: float
    release_threshold: float
    delay_on_s: float
    delay_off_s: float
    refractory_s: float


@dataclass(frozen=True, slots=True)
class Quantization:
    """`real = scale * (q - zero_point)`, the affine quantization of a whole tensor (LiteRT's own words)."""

    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Shape, dtype and quantization of one tensor, as the runtime reports them.

    Attributes:
        shape: with the leading batch dimension, for an input (1, height, width, channel).
        dtype: numpy's name: "int8", "uint8" or "float32".
        quantization: None for a float tensor.
    """

    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None


@dataclass(frozen=True, slots=True)
class InputSpec:
    """How a picture becomes the input tensor: `real = (pixel - mean) / std`, then the tensor's quantization."""

    color: Color
    fit: Fit
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model that fits: its manifest, labels and tensors agree. Made by `core.labels.fit_model` alone."""

    name: str
    version: str
    sha256: str
    labels: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]
    input: InputSpec
    input_tensor: TensorSpec
    output_tensor: TensorSpec
    activation: Activation
    background: int | None

    @property
    def input_size(self) -> tuple[int, int]:
        """(width_px, height_px) of the input tensor."""
        return self.input_tensor.shape[2], self.input_tensor.shape[1]


class Frame:
    """One picture from a camera, masked. Borrowed until the camera's next `newest()`.

    What nobody looks at is never decoded: `pixels` and `luma` may be made when they are first asked for. None is turned
    or converted whole: who reads it crops and shrinks first, then converts, then turns.

    Args:
        pixels: the picture, or what makes it.
        luma: its brightness, or what makes it; left out, the picture's green channel stands for it.

    Attributes:
        t_s: when it was taken, monotonic seconds (for a clip: the clip's own time).
        repeated: outside of the masks it is the frame before to the last bit, which no living sensor's is.
        encoding: what `pixels` are: bgr, yuyv or yuv420, see `core.shot.PictureFormat`.
        rotate_deg: how far `pixels` have to be turned, clockwise, to be what regions and masks speak of.
    """

    __slots__ = ("_luma", "_pixels", "encoding", "repeated", "rotate_deg", "t_s")

    def __init__(
        self,
        pixels: Pixels | Callable[[], Pixels],
        t_s: float,
        luma: Pixels | Callable[[], Pixels] | None = None,
        repeated: bool = False,
        *,
        encoding: Encoding = "bgr",
        rotate_deg: int = 0,
    ) -> None:
        self._pixels, self._luma = pixels, luma
        self.t_s, self.repeated = t_s, repeated
        self.encoding: Encoding = encoding
        self.rotate_deg = rotate_deg

    @property
    def pixels(self) -> Pixels:
        """The picture as it lay on the sensor, masked, uint8; its shape goes with `encoding`.

        Raises:
            CameraError: what was delivered cannot be decoded after all.
        """
        if callable(self._pixels):
            self._pixels = self._pixels()
        return self._pixels

    @property
    def luma(self) -> Pixels:
        """(height, width) uint8, brightness: the same picture, turned as people see it, and much smaller."""
        if self._luma is None:
            self._luma = self.pixels[:, :, 1]
        elif callable(self._luma):
            self._luma = self._luma()
        return self._luma


@dataclass(frozen=True, slots=True)
class Blind:
    """What is in front of the camera is unknown: it cannot be trusted now, or nobody wants to look.

    Attributes:
        reason: as in the events that it ends, and as `D/pipeline` calls the state.
        text: one sentence for a person; for "paused" the word `requested` or `disabled`.
    """

    t_s: float
    reason: Literal["camera_lost", "camera_fault", "paused"]
    text: str


@dataclass(frozen=True, slots=True)
class End:
    """The clip is over and was not to be looped."""

    t_s: float


Look = Frame | Blind | End | None
"""What `Camera.newest()` gives; None when nothing new came within the time-out and nothing is wrong yet."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One change of one rule: a new state, and, where something began or ended, what kind of event that is.

    Attributes:
        event_type: None where only the state changed (unknown to OFF, say): such a change is no event.
        score, peak_score: 0..1; `score` is None where no picture was judged (the camera went blind).
        start_t_s: when the episode began, for "start" the same as `t_s`.
        duration_s: for "end" only.
        reason: for "end" only: gone, camera_lost, camera_fault, model_fault, model_changed, paused, shutdown or
            daemon_restarted. For a state without an event: why it is unknown, else None.
    """

    rule: Rule
    t_s: float
    state: State
    score: float | None
    event_type: EventType | None = None
    peak_score: float | None = None
    start_t_s: float | None = None
    duration_s: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class WallTime:
    """A moment for people: seconds since 1970 (UTC), and how far the clock could be trusted then."""

    utc_s: float
    clock: ClockQuality


@dataclass(frozen=True, slots=True)
class Event:
    """A decision with an identity, complete in itself: it outlives the process and the rule that made it.

    Attributes:
        id: a ULID; the same in every repeat.
        seq: counts without gaps within `log`, the id of the store that numbered it.
        event_type, rule, label, region, score, peak_score, duration_s, reason: of the decision, see `Decision`.
        time, start_time: for people.
        frame_age_ms: of the frame that decided, when it was decided; None where it has none.
        model: "name@" and the first eight characters of its hash.
        boot_id, t_s, start_t_s: the same moments by the monotonic clock, which counts within one boot only.
    """

    id: str
    seq: int
    log: str
    boot_id: str
    event_type: EventType
    rule: str
    label: str
    region: str
    score: float | None
    peak_score: float | None
    time: WallTime
    start_time: WallTime
    duration_s: float | None
    reason: str | None
    frame_age_ms: int | None
    model: str
    t_s: float
    start_t_s: float


@dataclass(frozen=True, slots=True)
class Message:
    """One MQTT publication. `expiry_s` is MQTT 5's message expiry interval, None for never."""

    topic: str
    payload: bytes
    qos: Literal[0, 1]
    retain: bool
    expiry_s: int | None = None
