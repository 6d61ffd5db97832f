"""Visits: small brightness pictures in which something enters, stays, fades or leaves, while the light and the sensor
do what they do. Everything follows from a seed. The drawing is the recipe's own; no picture is ever larger than luma.

A `Visit` is the truth that a classifier would have to find out: `share` says how much of the visitor can be seen in a
region, 0..1, and stands for a score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from edged.core.gate import EveryRegion
from edged.core.motion import MotionGate
from edged.core.trigger import Decider
from edged.core.types import FULL, Box, Frame, Pixels, Region, Rule
from edged.ports import Gate

SIZES = ((80, 60), (160, 90), (60, 80), (107, 61), (96, 96))
"""(width, height) in pixels; the last but one divides into nothing."""
Way = tuple[tuple[float, float, float, float], ...]
"""(t_s, x, y, opacity) in sequence."""
TAU = 2.0 * math.pi


@dataclass(frozen=True)
class Visit:
    """One visitor, a textured rectangle. Positions and sizes are fractions of the picture.

    Attributes:
        way: where its centre is, linear in between; it is not there before the first point, nor after the last.
        width, height: of it.
        contrast: how much brighter (or darker, below 0) than the levels behind it.
    """

    way: Way
    width: float
    height: float
    contrast: float

    def at(self, t_s: float) -> tuple[Box, float] | None:
        """Where it is, perhaps outside of the picture, and how opaque."""
        times = [point[0] for point in self.way]
        if not times[0] <= t_s <= times[-1]:
            return None
        x, y, opacity = (float(np.interp(t_s, times, [point[n] for point in self.way])) for n in (1, 2, 3))
        return Box(x - self.width / 2, y - self.height / 2, x + self.width / 2, y + self.height / 2), opacity

    def share(self, t_s: float, region: Box) -> float:
        """How much of it is to be seen in a region."""
        found = self.at(t_s)
        if found is None:
            return 0.0
        box, opacity = found
        across = min(box.right, region.right, 1.0) - max(box.left, region.left, 0.0)
        down = min(box.bottom, region.bottom, 1.0) - max(box.top, region.top, 0.0)
        return opacity * max(across, 0.0) * max(down, 0.0) / (self.width * self.height)


@dataclass(frozen=True)
class Scene:
    """What a camera sees for some time. With the same seed it sees the same again.

    Attributes:
        size: (width, height) of luma in pixels.
        noise: standard deviation of a pixel, levels.
        light: gain at t_s; where it goes beyond 255 the picture is clipped, as a camera's is.
        offset: levels added at t_s.
        swaying: parts that move by themselves: (box, levels, period in s).
        masks: black, whatever is behind them.
    """

    seed: int
    fps: float
    seconds: float
    visits: tuple[Visit, ...] = ()
    size: tuple[int, int] = SIZES[0]
    noise: float = 2.0
    light: Callable[[float], float] = field(default=lambda _: 1.0)
    offset: Callable[[float], float] = field(default=lambda _: 0.0)
    swaying: tuple[tuple[Box, float, float], ...] = ()
    masks: tuple[Box, ...] = ()
    t0_s: float = 100.0
    name: str = ""

    def frames(self) -> Iterator[Frame]:
        """The frames, each with a luma of its own and pixels that nobody may ask for."""
        random = np.random.default_rng(self.seed)
        width, height = self.size
        scenery = texture(random, width, height, 30.0, 170.0)
        skin = texture(random, width, height, -12.0, 12.0)
        grain = random.normal(0.0, 1.0, (7, height, width)).astype(np.float32)
        for index in range(round(self.seconds * self.fps)):
            t_s = index / self.fps
            picture = scenery.copy()
            for box, levels, period_s in self.swaying:
                picture[_pixels(box, width, height)] += levels * math.sin(TAU * t_s / period_s + 0.7)
            for visit in self.visits:
                self._paint(picture, visit, t_s, skin)
            picture = picture * self.light(t_s) + self.offset(t_s)
            if self.noise:
                which, down, along = random.integers(0, (7, height, width))
                picture += self.noise * np.roll(grain[which], (down, along), (0, 1))
            luma = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
            for box in self.masks:
                luma[_pixels(box, width, height)] = 0
            yield Frame(forbidden, self.t0_s + t_s, luma)

    def times(self) -> Iterator[Frame]:
        """The same frames for who does not look at them: without a luma."""
        return (
            Frame(forbidden, self.t0_s + index / self.fps, forbidden) for index in range(round(self.seconds * self.fps))
        )

    def _paint(self, picture: np.ndarray, visit: Visit, t_s: float, skin: np.ndarray) -> None:
        found = visit.at(t_s)
        if found is None or found[1] == 0.0:
            return
        box, opacity = found
        where = _pixels(box, *self.size)
        picture[where] += opacity * (visit.contrast + skin[where])

    def share(self, t_s: float, region: Box) -> float:
        """How much of a visitor is to be seen in a region at a frame's time; what is masked is not seen."""
        if self.masks:
            t_s -= self.t0_s
            return max((self._unmasked(visit, t_s, region) for visit in self.visits), default=0.0)
        return max((visit.share(t_s - self.t0_s, region) for visit in self.visits), default=0.0)

    def _unmasked(self, visit: Visit, t_s: float, region: Box) -> float:
        hidden = sum(visit.share(t_s, cut) for mask in self.masks if (cut := _common(mask, region)) is not None)
        return max(visit.share(t_s, region) - hidden, 0.0)


def forbidden() -> Pixels:
    """What a frame's pixels are for a gate."""
    raise AssertionError("the gate decoded a frame")


def texture(random: np.random.Generator, width: int, height: int, low: float, high: float) -> np.ndarray:
    """Something to look at: (height, width) float32 between two levels, coarse shapes with fine grain on them."""
    coarse = random.uniform(0.0, 1.0, (7, 9)).astype(np.float32)
    rows, columns = np.linspace(0, 5.999, height), np.linspace(0, 7.999, width)
    fine = random.uniform(-0.08, 0.08, (height, width)).astype(np.float32)
    picture = np.clip(coarse[rows.astype(int)][:, columns.astype(int)] + fine, 0.0, 1.0)
    return (low + (high - low) * picture).astype(np.float32)


def _common(one: Box, other: Box) -> Box | None:
    left, top = max(one.left, other.left), max(one.top, other.top)
    right, bottom = min(one.right, other.right), min(one.bottom, other.bottom)
    return Box(left, top, right, bottom) if left < right and top < bottom else None


def _pixels(box: Box, width: int, height: int) -> tuple[slice, slice]:
    left, right = (min(max(round(edge * width), 0), width) for edge in (box.left, box.right))
    top, bottom = (min(max(round(edge * height), 0), height) for edge in (box.top, box.bottom))
    return slice(top, bottom), slice(left, right)


def stay(begin_s: float, seconds: float, x: float = 0.5, y: float = 0.5) -> Way:
    """It is there from one picture to the next, and gone so too."""
    return ((begin_s, x, y, 1.0), (begin_s + seconds, x, y, 1.0))


def cross(begin_s: float, seconds: float, y: float, width: float) -> Way:
    """It goes through the picture from the left to the right."""
    return ((begin_s, -width / 2, y, 1.0), (begin_s + seconds, 1.0 + width / 2, y, 1.0))


def call(begin_s: float, walk_s: float, stay_s: float, x: float, y: float, width: float) -> Way:
    """It comes in from the left, stops, and goes back."""
    arrived_s = begin_s + walk_s
    left_s = arrived_s + stay_s
    out = -width / 2
    return ((begin_s, out, y, 1.0), (arrived_s, x, y, 1.0), (left_s, x, y, 1.0), (left_s + walk_s, out, y, 1.0))


def fade(begin_s: float, fade_s: float, stay_s: float, x: float, y: float) -> Way:
    """It appears slowly where it is, stays, and fades away."""
    there_s = begin_s + fade_s
    gone_s = there_s + stay_s
    return ((begin_s, x, y, 0.0), (there_s, x, y, 1.0), (gone_s, x, y, 1.0), (gone_s + fade_s, x, y, 0.0))


def step(at_s: float, before: float, after: float, seconds: float = 0.0) -> Callable[[float], float]:
    """A value that changes once, at once or evenly."""
    if seconds == 0.0:
        return lambda t_s: before if t_s < at_s else after
    return lambda t_s: before + (after - before) * min(max((t_s - at_s) / seconds, 0.0), 1.0)


def story(seed: int) -> Scene:
    """A scene by chance: two or three visits of one visitor, with everything else that goes on meanwhile."""
    random = np.random.default_rng(seed)
    area = float(np.exp(random.uniform(np.log(0.05), np.log(0.35))))
    stretch = float(random.uniform(0.6, 1.5))
    width, height = min(math.sqrt(area) * stretch, 0.95), min(math.sqrt(area) / stretch, 0.95)
    noise = float(random.choice([0.0, 1.0, 3.0, 8.0, 20.0]))
    contrast = float(random.uniform(max(15.0, 1.5 * noise), 70.0) * random.choice([-1, 1]))
    kinds: list[str] = []
    visits, begin_s = [], float(random.uniform(5.0, 9.0))
    for _ in range(int(random.integers(2, 4))):
        x, y = float(random.uniform(width / 2, 1 - width / 2)), float(random.uniform(height / 2, 1 - height / 2))
        kind = str(random.choice(["stay", "cross", "call", "fade"]))
        walk_s, stay_s = float(random.uniform(0.6, 5.0)), float(random.uniform(3.0, 14.0))
        way = {
            "stay": stay(begin_s, stay_s, x, y),
            "cross": cross(begin_s, walk_s + 3.0, y, width),
            "call": call(begin_s, walk_s, stay_s, x, y, width),
            "fade": fade(begin_s, 2.0 * walk_s, stay_s, x, y),
        }[kind]
        kinds.append(kind)
        visits.append(Visit(way, width, height, contrast))
        begin_s = way[-1][0] + float(random.uniform(5.0, 20.0))
    seconds = begin_s + 3.0
    light = str(random.choice(["steady", "steady", "drift", "switch", "lightning"]))
    at_s = visits[-1].way[0][0] + float(random.uniform(-1.0, 1.0))
    changes: dict[str, Callable[[float], float]] = {
        "steady": lambda _: 1.0,
        "drift": step(at_s - 3.0, 1.0, float(random.choice([0.7, 1.3])), 6.0),
        "switch": step(at_s, 1.0, float(random.choice([0.4, 1.5]))),
        "lightning": lambda t_s: 1.8 if at_s <= t_s < at_s + 0.3 else 1.0,
    }
    swaying = ((Box(0.75, 0.0, 1.0, 0.2), 12.0, 1.7),) if random.random() < 0.3 else ()
    masks = (Box(0.0, 0.85, 1.0, 1.0),) if random.random() < 0.3 else ()
    fps = float(random.choice([1, 5, 10, 30]))
    size = SIZES[int(random.integers(len(SIZES)))]
    name = f"{seed}: {'+'.join(kinds)}, {area:.2f} of {size}, {contrast:+.0f}, noise {noise:g}, {light}, {fps:g} fps"
    return Scene(
        seed, fps, seconds, tuple(visits), size, noise, changes[light], swaying=swaying, masks=masks, name=name
    )


DOOR = Region("door", Box(0.0, 0.0, 0.4, 1.0), "stretch")
WHOLE = Region("full", FULL, "stretch")


def scores(scene: Scene, t_s: float, region: Region) -> np.ndarray:
    """(1,) float32: a classifier that sees the visitor as soon as most of it can be seen, and is never in two minds."""
    return np.array([0.97 * scene.share(t_s, region.box)], dtype=np.float32)


Told = tuple[str, str, float]
"""An event: rule, start or end, when."""


@dataclass(frozen=True)
class Outcome:
    """What a run came to. `due_s`: when each region was looked at, by its name; `frames`: how many there were."""

    events: list[Told]
    due_s: dict[str, list[float]]
    frames: int

    @property
    def share(self) -> float:
        """Of all regions of all frames, how many were looked at."""
        return sum(map(len, self.due_s.values())) / max(self.frames * len(self.due_s), 1)

    def of(self, rule: str) -> list[Told]:
        """The events of one rule."""
        return [event for event in self.events if event[0] == rule]


def watch(
    frames: Iterable[Frame],
    regions: Sequence[Region],
    rules: Sequence[Rule],
    score: Callable[[float, Region], np.ndarray],
    wanted: Sequence[str] = ("visitor",),
    idle_fps: float | None = None,
) -> Outcome:
    """The loop's own turn, frame by frame; `idle_fps` None is the loop without a gate, which looks at no luma."""
    decider = Decider(rules, wanted)
    gate: Gate = EveryRegion(regions) if idle_fps is None else MotionGate(regions, idle_fps, decider.undecided)
    outcome, count = Outcome([], {region.name: [] for region in regions}, 0), 0
    for frame in frames:
        count += 1
        for region in gate.due(frame):
            outcome.due_s[region.name].append(frame.t_s)
            for change in decider.update(region, frame.t_s, score(frame.t_s, region)):
                if change.event_type is not None:
                    outcome.events.append((change.rule.name, change.event_type, change.t_s))
    return replace(outcome, frames=count)


def missed(ungated: Sequence[Told], gated: Sequence[Told], late_s: float) -> list[Told]:
    """Events of one rule that the run without a gate reports and the other one does not, or not within `late_s`."""
    left, found = list(gated), []
    for event in ungated:
        same = next((other for other in left if other[1] == event[1] and abs(other[2] - event[2]) <= late_s), None)
        if same is None:
            found.append(event)
        else:
            left = left[left.index(same) + 1 :]
    return found
