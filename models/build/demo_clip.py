"""The recipe of the demo clip: a cat looks in on an espresso, stays for five seconds and leaves again.

    python models/build/demo_clip.py --out edged/clips/cat.mp4

Both photographs are CC0 and come with the package scikit-image. Every random choice has one seed: a second run
with the same versions of `requirements.txt` gives the same bytes.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

SEED = 20261122
SIZE_PX = (640, 480)
FPS = 10

# Seconds. What follows the cat is longer than the default delay_off_s, so that the end event falls inside the clip.
CLIP_S = 15.0
ENTERS_S, ENTERED_S = 3.0, 3.9
LEAVES_S, LEFT_S = 9.2, 9.9

CAT_SCALE = 1.76  # taller than the frame, so that the photograph's own upper and lower edge stay outside
AWAY_PX, STAY_PX = -720.0, -75.0  # left edge of the cat's photograph in the frame

NOISE_LEVELS = 3.0
FLICKER = 0.004

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Cutout:
    """A picture, BGR, and how opaque each pixel of it is, 0 to 1; both float32, the same height and width."""

    picture: Floats
    opacity: Floats


def main() -> None:
    """Draws every frame and writes the clip."""
    parser = argparse.ArgumentParser(description="Makes the demo clip.")
    parser.add_argument("--out", type=Path, required=True, help="the clip, .mp4")
    out: Path = parser.parse_args().out
    cv2.setNumThreads(1)
    rng = np.random.default_rng(SEED)
    table, cat = table_scene(), cat_cutout()
    writer = cv2.VideoWriter(str(out), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), FPS, SIZE_PX)
    if not writer.isOpened():
        raise SystemExit(f"{out} cannot be written; it must be an .mp4 in a folder that is there")
    for index in range(round(CLIP_S * FPS)):
        writer.write(exposed(scene_at(index / FPS, table, cat), rng))
    writer.release()


def photograph(name: str) -> Picture:
    """A photograph that lies in the package scikit-image itself (some of its others are downloaded), BGR."""
    return np.ascontiguousarray(getattr(data, name)()[:, :, ::-1], dtype=np.uint8)


def table_scene() -> Floats:
    """The espresso on its table at the clip's size, a little out of focus: the camera is set for what comes close."""
    width, height = SIZE_PX
    photo = photograph("coffee")
    scale = 1.2  # 400 x 600 pixels become 480 x 720
    large = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    left = large.shape[1] - width
    return cv2.GaussianBlur(large[:height, left:], (0, 0), 2.0).astype(np.float32)


def cat_cutout() -> Cutout:
    """The cat without the room behind her, at the clip's scale, in the warm light of the table."""
    photo = photograph("chelsea")
    opacity = cv2.GaussianBlur(cv2.erode(cat_mask(photo), np.ones((3, 3), np.uint8)), (0, 0), 1.0)
    warm = np.array([0.90, 0.97, 1.02], np.float32)
    size_px = (round(photo.shape[1] * CAT_SCALE), round(photo.shape[0] * CAT_SCALE))
    picture = cv2.resize(photo.astype(np.float32), size_px, interpolation=cv2.INTER_CUBIC) * warm
    opacity = np.clip(cv2.resize(opacity, size_px, interpolation=cv2.INTER_CUBIC), 0.0, 1.0)
    return Cutout(np.asarray(picture, np.float32), np.asarray(opacity, np.float32))


def cat_mask(photo: Picture) -> Floats:
    """1 where the photograph shows the cat, found by GrabCut between an outline drawn by hand and a sure core."""
    mask = np.full(photo.shape[:2], cv2.GC_BGD, np.uint8)
    outline = [(0, 299), (0, 112), (24, 85), (24, 0), (404, 0), (375, 80), (380, 150), (345, 225), (344, 299)]
    core = [(25, 299), (50, 110), (60, 10), (340, 10), (345, 150), (320, 195), (300, 215), (280, 290), (270, 299)]
    cv2.fillPoly(mask, [np.array(outline)], cv2.GC_PR_FGD)
    cv2.fillPoly(mask, [np.array(core)], cv2.GC_FGD)
    cv2.setRNGSeed(SEED % 1000)  # GrabCut clusters colours from random beginnings
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(photo, mask, (0, 0, 1, 1), *models, 8, cv2.GC_INIT_WITH_MASK)  # with a mask the box does not count
    return np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)


def scene_at(t_s: float, table: Floats, cat: Cutout) -> Floats:
    """What is there at that second of the clip: the table, and over it the cat with her shadow."""
    presence = eased((t_s - ENTERS_S) / (ENTERED_S - ENTERS_S)) - eased((t_s - LEAVES_S) / (LEFT_S - LEAVES_S))
    if presence <= 0.0:
        return table
    move = placement(t_s, presence, cat)
    picture = cv2.warpAffine(cat.picture, move, SIZE_PX, borderMode=cv2.BORDER_REPLICATE)
    opacity = cv2.warpAffine(cat.opacity, move, SIZE_PX)[..., np.newaxis]
    shadow = cv2.GaussianBlur(opacity, (0, 0), 28.0)[..., np.newaxis]
    return np.asarray(table * (1.0 - 0.45 * shadow) * (1.0 - opacity) + picture * opacity, np.float32)


def placement(t_s: float, presence: float, cat: Cutout) -> NDArray[np.float64]:
    """Where the cat's picture lies: in from the left, then never quite still, as the living are."""
    width, height = SIZE_PX
    left = AWAY_PX + (STAY_PX - AWAY_PX) * presence + 7.0 * np.sin(1.9 * t_s)
    top = (height - cat.picture.shape[0]) / 2.0 + 5.0 * np.sin(2.7 * t_s)
    turn_deg = 1.2 * np.sin(1.3 * t_s)
    move = np.asarray(cv2.getRotationMatrix2D((width / 2.0, height / 2.0), turn_deg, 1.0), np.float64)
    move[:, 2] += (left, top)
    return move


def eased(progress: float) -> float:
    """0 before, 1 after, and a soft start and stop between."""
    progress = min(max(progress, 0.0), 1.0)
    return progress * progress * (3.0 - 2.0 * progress)


def exposed(scene: Floats, rng: np.random.Generator) -> Picture:
    """The scene as a small camera sees it: its exposure hunts a little and its sensor is noisy."""
    width, height = SIZE_PX
    # grey and two pixels coarse, as in-camera denoising leaves it; finer noise would not survive the encoder
    grain = rng.standard_normal((height // 2, width // 2), dtype=np.float32) * np.float32(NOISE_LEVELS)
    noise = cv2.resize(grain, SIZE_PX, interpolation=cv2.INTER_LINEAR)[..., np.newaxis]
    gain = np.float32(1.0 + FLICKER * rng.standard_normal())
    return np.asarray(np.clip(np.rint(scene * gain + noise), 0, 255), np.uint8)


if __name__ == "__main__":
    main()
