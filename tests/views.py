"""What a camera sees, as small brightness pictures that tests draw for themselves: (height, width) uint8."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from edged.core.types import Frame, Pixels

SIZE = (80, 60)
"""(width, height) in pixels."""

NO_PIXELS = np.zeros((1, 1, 3), np.uint8)


def place(seed: int = 1, size: tuple[int, int] = SIZE) -> Pixels:
    """A place with walls, windows and things of many sizes in it; each seed is another place."""
    random = np.random.default_rng(seed)
    width, height = size
    y, x = np.mgrid[0 : 1 : complex(0, height), 0 : 1 : complex(0, width)]
    scene = 150.0 - 60.0 * y
    for _ in range(60):
        left, top = random.uniform(-0.1, 0.95, 2)
        wide, high = random.uniform(0.04, 0.3, 2)
        lean = random.uniform(-0.8, 0.8)
        u, v = x - left + lean * (y - top), y - top
        scene[(u >= 0) & (u < wide) & (v >= 0) & (v < high)] = random.uniform(10, 245)
    return scene.astype(np.uint8)


def shot(luma: Pixels, t_s: float, *, repeated: bool = False) -> Frame:
    """A frame of which nothing but its brightness is known."""
    return Frame(NO_PIXELS, t_s, luma, repeated)


def levels(scene: object) -> Pixels:
    """Whatever numbers came out, as a picture."""
    return np.clip(np.asarray(scene) + 0.5, 0, 255).astype(np.uint8)


def noisy(luma: Pixels, sigma: float, seed: int = 0) -> Iterator[Pixels]:
    """The same scene for ever, with a sensor's noise."""
    random = np.random.default_rng(seed)
    while True:
        yield levels(luma + random.normal(0.0, sigma, luma.shape))


def even(level: float, slope: float = 0.0, size: tuple[int, int] = SIZE) -> Pixels:
    """A hand, a lid, a cloth: one surface, `slope` levels lighter from the left to the right."""
    width, height = size
    return levels(np.tile(level + slope * np.linspace(-0.5, 0.5, width), (height, 1)))


def lamp(level: float = 8.0) -> Pixels:
    """Night, and one lamp far away."""
    scene = np.full((SIZE[1], SIZE[0]), level)
    scene[20:22, 50:52] = 120.0
    return levels(scene)


def door(level: float = 200.0) -> Pixels:
    """A white wall with the frame of a door in it."""
    scene = even(level, 30.0).astype(float)
    scene[12:, 30] -= 15.0
    scene[12:, 50] -= 15.0
    scene[12, 30:50] -= 15.0
    return levels(scene)


def half(luma: Pixels, other: Pixels) -> Pixels:
    """Somebody covers the left half."""
    hidden = luma.copy()
    hidden[:, : luma.shape[1] // 2] = other[:, : luma.shape[1] // 2]
    return hidden


def shifted(luma: Pixels, right_px: int, down_px: int) -> Pixels:
    """The camera moved a little; what comes in at the border repeats the border's other side."""
    return np.roll(luma, (down_px, right_px), axis=(0, 1))


def infrared(luma: Pixels) -> Pixels:
    """Lit by the camera's own lamp: bright in the middle, dark around."""
    height, width = luma.shape
    y, x = np.mgrid[-1 : 1 : complex(0, height), -1 : 1 : complex(0, width)]
    return levels((luma / 255.0) ** 0.8 * 180.0 * np.exp(-1.2 * (x * x + y * y)) + 8.0)


def rainy(luma: Pixels, seed: int = 0) -> Iterator[Pixels]:
    """Streaks, and noise."""
    random = np.random.default_rng(seed)
    while True:
        scene = luma + random.normal(0.0, 4.0, luma.shape)
        for _ in range(40):
            x, y = random.integers(0, luma.shape[1]), random.integers(0, luma.shape[0] - 8)
            scene[y : y + 8, x] = 200.0
        yield levels(scene)


ALIVE: dict[str, Callable[[Pixels], Iterator[Pixels]]] = {
    "as it is": lambda luma: noisy(luma, 1.0),
    "without noise": lambda luma: noisy(luma, 0.0),
    "evening": lambda luma: noisy(levels(luma * 0.1), 1.0),
    "evening, little light": lambda luma: noisy(levels(255.0 * (luma / 255.0) ** 3), 2.0),
    "glaring": lambda luma: noisy(levels(255.0 * (luma / 255.0) ** 0.4), 1.0),
    "much noise": lambda luma: noisy(luma, 10.0),
    "infrared": lambda luma: noisy(infrared(luma), 2.0),
    "negative": lambda luma: noisy(levels(255.0 - luma), 1.0),
    "rain": rainy,
    "somebody in front": lambda luma: noisy(half(luma, place(77)), 1.0),
    "a wall in front": lambda luma: noisy(half(luma, even(90.0)), 1.0),
    "moved a little": lambda luma: noisy(shifted(luma, 2, -2), 1.0),
    "a hard shadow": lambda luma: noisy(levels(luma * np.tri(*luma.shape, k=8) * 0.5 + luma * 0.45), 1.0),
}
"""What may happen to a place while everything is well with the camera."""
