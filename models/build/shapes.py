"""Draws the pictures that the model shapes-int8 is trained on and that the tests show to the daemon.

Law: numpy and cv2 only, and nothing random that does not come from the caller's generator, so that a picture is a
function of its arguments. The training that uses these pictures is in `shapes_model.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Color = tuple[int, int, int]

LABELS = ("background", "circle", "square", "triangle", "cross", "star")
"""Labels in the model's order; index 0 is a picture without any of the shapes."""

MIN_CONTRAST = 90.0
"""Least Euclidean distance, in BGR levels, between a shape and the background that it lies on."""

_SUBPIXEL_BITS = 4  # cv2's fixed-point coordinates: a shape can be placed to a sixteenth of a pixel


def draw(label: str, size: tuple[int, int], rng: np.random.Generator) -> Picture:
    """Draws one picture: a random scene and, unless the label is background, one shape in it.

    Args:
        label: one of `LABELS`. The circle around the shape takes 35 to 80 % of the picture's short side.
        size: (width, height) in pixels.
        rng: where every random choice comes from.

    Returns:
        A new BGR picture, uint8, (height, width, 3).

    Raises:
        ValueError: the label is not one of `LABELS`.
    """
    if label not in LABELS:
        raise ValueError(f"label is {label!r}; it must be one of {', '.join(LABELS)}")
    picture, near, far = gradient(size, rng)
    if label != "background":
        place(picture, label, _contrasting(near, far, rng), rng)
    elif rng.random() < 0.75:
        _CLUTTER[rng.integers(len(_CLUTTER))](picture, near, far, rng)
    return weather(picture, rng)


def paint(
    picture: Picture, label: str, center_px: tuple[float, float], diameter_px: float, angle_deg: float, color: Color
) -> None:
    """Paints one shape into a picture, in place, with smooth edges. For scenes in which a shape moves.

    Args:
        picture: BGR, uint8, changed in place. Parts of the shape that lie outside are cut off.
        label: one of `LABELS` but background.
        center_px: (x, y) of the centre of the circle around the shape.
        diameter_px: diameter of that circle.
        angle_deg: turn, clockwise; at 0 a square and a cross are upright, a triangle and a star point up.
        color: (blue, green, red).
    """
    turn = np.deg2rad(angle_deg)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    corners = _OUTLINES[label] @ rotation * (diameter_px / 2.0) + np.asarray(center_px, dtype=np.float64)
    fixed = np.rint(corners * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(picture, [fixed], color, lineType=cv2.LINE_AA, shift=_SUBPIXEL_BITS)


def place(picture: Picture, label: str, color: Color, rng: np.random.Generator) -> None:
    """Paints one shape at a random place, size and angle, wholly inside the picture."""
    height, width = picture.shape[:2]
    diameter_px = min(width, height) * rng.uniform(0.35, 0.80)
    margin = diameter_px / 2.0 + 1.0
    center = (rng.uniform(margin, width - margin), rng.uniform(margin, height - margin))
    paint(picture, label, center, diameter_px, rng.uniform(0.0, 360.0), color)


def gradient(size: tuple[int, int], rng: np.random.Generator) -> tuple[Picture, Color, Color]:
    """Makes an empty scene that fades from one random colour to another near it, and returns both colours too."""
    width, height = size
    near = rng.integers(0, 256, 3).astype(np.float32)
    far = near if rng.random() < 0.3 else np.clip(near + rng.uniform(-60.0, 60.0, 3), 0.0, 255.0).astype(np.float32)
    turn = rng.uniform(0.0, 2.0 * np.pi)
    across = np.linspace(-0.5, 0.5, width, dtype=np.float32)[np.newaxis, :] * np.float32(np.cos(turn))
    down = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, np.newaxis] * np.float32(np.sin(turn))
    ramp = (across + down) / np.float32(abs(np.cos(turn)) + abs(np.sin(turn))) + np.float32(0.5)
    picture = near + ramp[..., np.newaxis] * (far - near)
    return np.rint(picture).astype(np.uint8), _color(near), _color(far)


def weather(picture: Picture, rng: np.random.Generator) -> Picture:
    """Adds what a camera adds, each often but not always: slight blur, sensor noise, JPEG artefacts."""
    if rng.random() < 0.5:
        sigma_px = rng.uniform(0.3, 0.016 * min(picture.shape[:2]))
        picture = _uint8(cv2.GaussianBlur(picture, (0, 0), sigma_px))
    if rng.random() < 0.75:
        noise = rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(rng.uniform(1.0, 10.0))
        picture = np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(50, 96))])
        picture = _uint8(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    return picture


def _uint8(picture: object) -> Picture:
    """Names the type of a cv2 result, which cv2's own annotations leave open."""
    return np.asarray(picture, dtype=np.uint8)


def _color(levels: NDArray[np.float32]) -> Color:
    blue, green, red = (int(level) for level in np.rint(levels))
    return blue, green, red


def _contrasting(near: Color, far: Color, rng: np.random.Generator) -> Color:
    """Picks a colour that stands out from both ends of a gradient."""
    while True:
        color = rng.integers(0, 256, 3)
        if all(np.linalg.norm(color - np.asarray(end)) >= MIN_CONTRAST for end in (near, far)):
            return _color(color.astype(np.float32))


def _outline(corners: int, radii: tuple[float, ...] = (1.0,)) -> NDArray[np.float64]:
    """Corners at equal angles, the first at the top; the radius runs through `radii`. Shape (corners, 2), x and y."""
    turn = 2.0 * np.pi * np.arange(corners) / corners
    directions: NDArray[np.float64] = np.stack([np.sin(turn), -np.cos(turn)], axis=1)
    return np.resize(radii, corners)[:, np.newaxis] * directions


def _cross_outline(arm: float = 0.32) -> NDArray[np.float64]:
    """An upright plus sign in the unit circle whose arms are `arm` of their reach wide to either side of the middle."""
    reach = 1.0 / np.hypot(1.0, arm)
    a, r = arm * reach, reach
    corners = [
        (-a, -r),
        (a, -r),
        (a, -a),
        (r, -a),
        (r, a),
        (a, a),
        (a, r),
        (-a, r),
        (-a, a),
        (-r, a),
        (-r, -a),
        (-a, -a),
    ]
    return np.array(corners)


_OUTLINES: dict[str, NDArray[np.float64]] = {
    "circle": _outline(72),
    "square": np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]) * np.sqrt(0.5),
    "triangle": _outline(3),
    "cross": _cross_outline(),
    "star": _outline(10, (1.0, 0.42)),
}


def _strokes(picture: Picture, near: Color, far: Color, rng: np.random.Generator) -> None:
    """A few straight lines across the picture, like cables and edges of furniture."""
    height, width = picture.shape[:2]
    for _ in range(rng.integers(1, 6)):
        ends = rng.uniform(-0.3, 1.3, (2, 2)) * (width, height)
        thickness_px = int(rng.integers(1, max(2, min(width, height) // 12)))
        start, end = (tuple(int(value) for value in point) for point in ends)
        cv2.line(picture, start, end, _contrasting(near, far, rng), thickness_px, cv2.LINE_AA)


def _crumbs(picture: Picture, near: Color, far: Color, rng: np.random.Generator) -> None:
    """Many small shapes, each far below the size that counts."""
    height, width = picture.shape[:2]
    for _ in range(rng.integers(3, 25)):
        center = (rng.uniform(0.0, width), rng.uniform(0.0, height))
        diameter_px = min(width, height) * rng.uniform(0.03, 0.11)
        label = LABELS[rng.integers(1, len(LABELS))]
        paint(picture, label, center, diameter_px, rng.uniform(0.0, 360.0), _contrasting(near, far, rng))


def _halves(picture: Picture, near: Color, far: Color, rng: np.random.Generator) -> None:
    """One straight edge through the whole picture: a wall and a floor."""
    height, width = picture.shape[:2]
    reach = 2.0 * (width + height)
    turn = rng.uniform(0.0, 2.0 * np.pi)
    along, out = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    middle = rng.uniform(0.15, 0.85, 2) * (width, height)
    corners = np.array(
        [middle - along * reach, middle + along * reach, middle + (along + out) * reach, middle + (out - along) * reach]
    )
    cv2.fillPoly(picture, [np.rint(corners).astype(np.int32)], _contrasting(near, far, rng), lineType=cv2.LINE_AA)


def _clouds(picture: Picture, _near: Color, _far: Color, rng: np.random.Generator) -> None:
    """Soft random texture: coarse noise, enlarged."""
    height, width = picture.shape[:2]
    cells = int(rng.integers(3, 24))
    coarse = rng.normal(0.0, rng.uniform(10.0, 45.0), (cells, cells, 3 if rng.random() < 0.5 else 1)).astype(np.float32)
    texture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, -1)
    picture[:] = np.clip(np.rint(picture + texture), 0, 255).astype(np.uint8)


def _stripes(picture: Picture, _near: Color, _far: Color, rng: np.random.Generator) -> None:
    """A wave in any direction: blinds, planks, a radiator."""
    height, width = picture.shape[:2]
    turn, phase = rng.uniform(0.0, 2.0 * np.pi, 2)
    waves = rng.uniform(1.5, 9.0) * 2.0 * np.pi / min(width, height)
    y, x = np.mgrid[0:height, 0:width]
    wave = np.sin((x * np.cos(turn) + y * np.sin(turn)) * waves + phase)
    if rng.random() < 0.5:
        wave = np.sign(wave)
    texture = wave[..., np.newaxis] * rng.uniform(-60.0, 60.0, 3)
    picture[:] = np.clip(np.rint(picture + texture), 0, 255).astype(np.uint8)


_CLUTTER: tuple[Callable[[Picture, Color, Color, np.random.Generator], None], ...] = (
    _strokes,
    _crumbs,
    _halves,
    _clouds,
    _stripes,
)
