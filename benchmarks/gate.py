"""The motion gate: what it costs, how often it is open, and whether it lets an event slip.

    python -m benchmarks.gate [--stories N] [--clip PATH ...] [--model NAME] [--threshold SCORE] [--idle-fps N]

Cost is CPU time of `due()` for a still picture of 80x60 pixels, and once more right after an invoke(), which leaves
caches cold. Scenes and stories are drawn by `tests.visits`; there a visitor's visible share stands for its score. Clips
are classified frame by frame; then each label that ever reached the threshold is a rule of its own, with the default
delays, and its events are told twice: with every frame, and with those that the gate lets pass. An event is missed when
the gated run does not report it within 1 / idle_fps and the gate's hold.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edged import app
from edged.core.motion import HOLD_S, MotionGate
from edged.core.shot import PictureFormat, Shot
from edged.core.stats import Ring
from edged.core.types import FULL, Box, Frame, Pixels, Region, Rule
from edged.demo import CLIP
from edged.edges.pixels_shot import Developer
from edged.edges.tflite import TfliteClassifier
from tests.visits import DOOR, WHOLE, Scene, Visit, cross, forbidden, missed, scores, step, story, watch

MODEL = "efficientnet-lite0-int8"
IDLE_FPS = 0.5
STORIES = 100
ROUNDS, ROUND_FRAMES = 7, 300
COLD_FRAMES = 60
DEFAULT_DELAYS = (0.5, 3.0)
NO_DELAYS = (0.0, 0.0)

LEAVES = ((Box(0.6, 0.0, 1.0, 0.5), 25.0, 1.7),)
WALK = Visit(cross(60.0, 6.0, 0.6, 0.2), 0.2, 0.5, 50.0)
SCENES = (
    Scene(5, 10, 120.0, noise=2.0, name="still"),
    Scene(5, 30, 120.0, noise=2.0, name="still, 30 fps"),
    Scene(5, 10, 120.0, noise=20.0, name="still, night noise"),
    Scene(5, 10, 120.0, light=step(60.0, 1.0, 1.4, 6.0), name="exposure drifts"),
    Scene(5, 10, 120.0, light=step(60.0, 1.0, 0.2), name="light switched off"),
    Scene(5, 10, 120.0, light=lambda t_s: 2.5 if 60.0 <= t_s < 60.2 else 1.0, name="lightning"),
    Scene(5, 10, 120.0, light=lambda t_s: 1.0 + 0.4 * math.sin(4.0 * t_s) * math.sin(1.7 * t_s), name="television"),
    Scene(5, 10, 120.0, swaying=LEAVES, name="leaves sway"),
    Scene(5, 10, 120.0, (WALK,), name="somebody walks through"),
)


@dataclass
class Tally:
    """Events of some runs without and with the gate. `shares`: of frames looked at, run by run."""

    ungated: int = 0
    gated: int = 0
    missed: int = 0
    late_s: float = 0.0
    shares: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        share = statistics.fmean(self.shares) if self.shares else math.nan
        return (
            f"{self.ungated:5d} events ungated  {self.gated:5d} gated  {self.missed:3d} missed  "
            f"at most {self.late_s:4.2f} s apart  {share:6.1%} classified"
        )


def cpu_us(idle_fps: float = IDLE_FPS) -> float:
    """CPU microseconds of `due()` in a still scene, the best of a few rounds."""
    lumas = [frame.luma for frame in Scene(1, 10, 30.0, noise=3.0).frames()]
    gate = MotionGate((WHOLE,), idle_fps, lambda _: False)
    rounds, t_s = [], 0.0
    for _ in range(ROUNDS):
        frames = []
        for index in range(ROUND_FRAMES):
            t_s += 0.1
            frames.append(Frame(forbidden, t_s, lumas[index]))
        began_s = time.thread_time()
        for frame in frames:
            gate.due(frame)
        rounds.append((time.thread_time() - began_s) / ROUND_FRAMES * 1e6)
    return min(rounds)


def cold_us(invoke: Callable[[], None]) -> tuple[float, float]:
    """Median CPU microseconds of `due()` right after an invoke(), and of that invoke()."""
    frames = list(Scene(1, 10, COLD_FRAMES / 10, noise=3.0).frames())
    gate = MotionGate((WHOLE,), IDLE_FPS, lambda _: False)
    gates, invokes = [], []
    for frame in frames:
        before_s = time.thread_time()
        invoke()
        between_s = time.thread_time()
        gate.due(frame)
        gates.append((time.thread_time() - between_s) * 1e6)
        invokes.append((between_s - before_s) * 1e6)
    return statistics.median(gates), statistics.median(invokes)


def open_share(scene: Scene, idle_fps: float = IDLE_FPS) -> float:
    """The share of a scene's frames that are due."""
    gate = MotionGate((WHOLE,), idle_fps, lambda _: False)
    return statistics.fmean(bool(gate.due(frame)) for frame in scene.frames())


def rule(name: str, label: str, region: Region, threshold: float, delays: tuple[float, float]) -> Rule:
    return Rule(name, name, label, region.name, threshold, threshold / 1.5, *delays, 0.0)


def compare(
    ungated: Iterator[Frame],
    gated: Iterator[Frame],
    rules: list[Rule],
    score: Callable[[float, Region], np.ndarray],
    regions: tuple[Region, ...],
    idle_fps: float,
    tally: Tally,
) -> None:
    """Adds what both runs told to the tally."""
    wanted = list(dict.fromkeys(one.label for one in rules))
    without = watch(ungated, regions, rules, score, wanted)
    with_gate = watch(gated, regions, rules, score, wanted, idle_fps)
    tally.shares.append(with_gate.share)
    for one in rules:
        expected, found = without.of(one.name), with_gate.of(one.name)
        tally.ungated += len(expected)
        tally.gated += len(found)
        tally.missed += len(missed(expected, found, 1.0 / idle_fps + HOLD_S))
        if len(expected) == len(found):
            apart = (abs(a[2] - b[2]) for a, b in zip(expected, found, strict=True))
            tally.late_s = max(tally.late_s, *apart, 0.0)


def tell_stories(count: int, delays: tuple[float, float], idle_fps: float = IDLE_FPS) -> Tally:
    """Drawn visits by chance, seen by two regions."""
    tally = Tally()
    for seed in range(count):
        scene = story(seed)
        rules = [rule(one.name, "visitor", one, 0.6, delays) for one in (WHOLE, DOOR)]

        def score(t_s: float, region: Region, scene: Scene = scene) -> np.ndarray:
            return scores(scene, t_s, region)

        compare(scene.times(), scene.frames(), rules, score, (WHOLE, DOOR), idle_fps, tally)
    return tally


@dataclass
class Seen:
    """A clip as the model and the gate see it: scores and luma of each frame, by its time."""

    labels: tuple[str, ...]
    scores: dict[float, np.ndarray]
    lumas: dict[float, Pixels]
    region: Region

    def frames(self) -> Iterator[Frame]:
        return (Frame(forbidden, t_s, luma) for t_s, luma in self.lumas.items())


def see(clip: Path, model: str = MODEL, fps: float = math.inf) -> Seen:
    """Classifies a clip frame by frame, thinned out to `fps` where it has more."""
    package, interpreter, spec = app.open_model(model, 1)
    background = None if spec.background is None else spec.labels[spec.background]
    labels = tuple(dict.fromkeys(label for label in (*spec.groups, *spec.labels) if label != background))
    classifier = TfliteClassifier(interpreter, spec, labels, Ring(1), package.scores_output)
    region = Region("full", FULL, spec.input.fit)
    seen = Seen(labels, {}, {}, region)
    capture = cv2.VideoCapture(str(clip))
    rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
    every = max(1, round(rate / fps))
    developer: Developer | None = None
    index = 0
    while True:
        got, picture = capture.read()
        if not got:
            break
        if index % every == 0:
            if developer is None:
                form = PictureFormat(picture.shape[1], picture.shape[0], "bgr")
                developer = Developer(form, 0, (), 1.0)
            t_s = index / rate
            frame = developer.frame(Shot(picture.reshape(-1), picture.size, t_s))
            seen.lumas[t_s] = frame.luma.copy()
            seen.scores[t_s] = classifier.scores(frame, region).copy()
        index += 1
    capture.release()
    return seen


def judge(
    seen: Seen, threshold: float = 0.6, delays: tuple[float, float] = DEFAULT_DELAYS, idle_fps: float = IDLE_FPS
) -> tuple[list[str], Tally]:
    """The labels that reached the threshold, each a rule alone, and what became of their events."""
    tally, told = Tally(), []
    for column, label in enumerate(seen.labels):
        if max(row[column] for row in seen.scores.values()) < threshold:
            continue
        told.append(label)

        def score(t_s: float, _: Region, column: int = column) -> np.ndarray:
            return seen.scores[t_s][column : column + 1]

        one = rule(label, label, seen.region, threshold, delays)
        compare(seen.frames(), seen.frames(), [one], score, (seen.region,), idle_fps, tally)
    if not told:
        compare(seen.frames(), seen.frames(), [], lambda *_: np.zeros(0), (seen.region,), idle_fps, tally)
    return told, tally


def measure() -> dict[str, Any]:
    """For `docs/performance.md`: what `due()` costs, and events missed on drawn stories and the bundled clip."""
    _, interpreter, _ = app.open_model(MODEL, 1)
    warm_us = cpu_us()
    gate_us, invoke_us = cold_us(interpreter.invoke)
    tallies = [tell_stories(STORIES, delays) for delays in (NO_DELAYS, DEFAULT_DELAYS)]
    seen = see(CLIP)
    tallies += [judge(seen, delays=delays)[1] for delays in (DEFAULT_DELAYS, NO_DELAYS)]
    return {
        "warm_us": warm_us,
        "gate_us": gate_us,
        "invoke_us": invoke_us,
        "stories": STORIES,
        "ungated": sum(tally.ungated for tally in tallies),
        "missed": sum(tally.missed for tally in tallies),
        "late_s": max(tally.late_s for tally in tallies),
    }


def main() -> None:
    """Prints all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stories", type=int, default=STORIES, help="how many drawn stories")
    parser.add_argument("--clip", type=Path, action="append", help="a clip to classify; left out: the bundled one")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--threshold", type=float, default=0.6, help="score_threshold of the clips' rules")
    parser.add_argument("--fps", type=float, default=math.inf, help="at most so many frames a second of a clip")
    parser.add_argument("--idle-fps", type=float, default=IDLE_FPS)
    args = parser.parse_args()
    _, interpreter, _ = app.open_model(args.model, 1)
    warm_us = cpu_us()
    gate_us, invoke_us = cold_us(interpreter.invoke)
    print(
        f"due(), still 80x60: {warm_us:.0f} us CPU; after an invoke() {gate_us:.0f} us, {gate_us / invoke_us:.2%} of it"
    )
    print(f"share of frames due, idle_fps {args.idle_fps:g}:")
    for scene in SCENES:
        print(f"  {scene.name:<24} {open_share(scene, args.idle_fps):6.1%}  of {scene.fps:g} fps")
    for delays in (NO_DELAYS, DEFAULT_DELAYS) if args.stories else ():
        print(f"{args.stories} stories, delays {delays}: {tell_stories(args.stories, delays, args.idle_fps)}")
    for clip in args.clip or [CLIP]:
        seen = see(clip, args.model, args.fps)
        for delays in (DEFAULT_DELAYS, NO_DELAYS):
            labels, tally = judge(seen, args.threshold, delays, args.idle_fps)
            print(f"{clip.name}, {len(seen.lumas)} frames, {len(labels)} labels, delays {delays}: {tally}")


if __name__ == "__main__":
    main()
