"""A canary: pictures that can be recognised wherever their pixels turn up, and the search for them.

The recipe: a picture of `CELL_PX` square cells, light or dark by a fixed pseudo-random word, every row of cells the
same word or its opposite, every column likewise. So each row of pixels, in each colour, in brightness and in both
chroma planes, at every size and turned by any quarter, goes up and down as one word does, and nothing else does.

The search: bytes are read at every distance that a cell can have in memory (see `DISTANCES`), as they are and after
undoing what pixels may be wrapped in: base64, hexadecimal, escapes, zlib, gzip, numbers as text. Besides, whatever
begins like a picture or a film and can be decoded is found, whether it shows the canary or not.
"""

from __future__ import annotations

import base64
import binascii
import random
import re
import zlib
from collections.abc import Iterable, Iterator
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edged.core.types import Pixels

SIZE = (640, 480)
CELL_PX = 16
LIGHT, DARK = (230, 200, 90), (30, 60, 170)
"""Blue, green, red: far apart in each of them, in brightness (170, 90) and in both chroma planes."""
NOISE = 3

_chance = random.Random(20261122)
ACROSS = tuple(_chance.getrandbits(1) for _ in range(SIZE[0] // CELL_PX))
DOWN = tuple(_chance.getrandbits(1) for _ in range(SIZE[1] // CELL_PX))
WORD_CELLS = 28
"""So many in the middle are looked for: a crop to a square keeps 30 of 40."""

CELL_DISTANCES_PX = (
    *(CELL_PX / shrink for shrink in (1, 2, 4, 8, 16)),
    *(side / cells for side in (320, 300, 256, 224, 192, 128, 96, 64) for cells in (40, 30)),
)
"""What a cell may measure: whole, halved up to four times, or as a model's input, stretched or cropped to a square."""
PIXEL_DISTANCES_BYTES = (1, 2, 3, 4, 12)
"""Planar or grey; YUYV's brightness; BGR and RGB; BGRA and YUYV's chroma; three float32."""

STEP, FLAT = 12, 24
"""Neighbours of different cells differ by more, of like cells by less."""
LIKENESS = 0.97
"""How well what was found must correlate with the word: every form of the canary does to 0.99. Letters go up and down
as it does by chance, and have two levels as well, capitals and others: to 0.91 in megabytes of base64."""
SMALLEST_PX = 16
"""A smaller picture than this by this is taken for chance."""
DEEPEST = 3
CHUNK_BYTES = 1 << 16
LONGEST_BYTES = WORD_CELLS * CELL_PX * max(PIXEL_DISTANCES_BYTES)
MOST_BYTES = 1 << 23

Bytes = NDArray[np.uint8]


def picture(turn: int = 0) -> Pixels:
    """(480, 640, 3) uint8, BGR; those of an odd turn have light and dark exchanged, and no two are the same."""
    cells = np.bitwise_xor.outer(np.array(DOWN, bool), np.array(ACROSS, bool)) ^ bool(turn % 2)
    large = np.repeat(np.repeat(cells, CELL_PX, axis=0), CELL_PX, axis=1)
    painted = np.where(large[:, :, None], np.array(LIGHT, np.int16), np.array(DARK, np.int16))
    noise = np.random.default_rng(turn).integers(-NOISE, NOISE + 1, painted.shape, np.int16)
    return (painted + noise).astype(np.uint8)


def findings(data: bytes) -> list[str]:
    """What there is of the canary, or of any picture, in these bytes: a line each; empty where they are clean."""
    return sorted(set(_findings(data, 0)))


def _findings(data: bytes, depth: int) -> Iterator[str]:
    yield from _pictures(data)
    if _ARRAY.search(data):
        yield "an array is spelled out"
    yield from (f"pixels, {what}" for what in _words(_without_runs(data)))
    for values in _numbers(data):
        yield from (f"numbers as text, {what}" for what in _words(values))
    if depth < DEEPEST:
        for wrapping, inner in _unwrapped(data):
            yield from (f"{wrapping}: {what}" for what in _findings(inner, depth + 1))


_ARRAY = re.compile(rb"array\(\[|dtype=(?:u?int8|float32)|\[(?:\s*-?\d[\d.e+-]*+\s+){3}|\[\[\[\s*-?\d")
"""As numpy writes one, shortened or whole: numbers with nothing but blanks between them."""


def _words(values: Bytes) -> Iterator[str]:
    """The word across or down, forwards or backwards, at any distance."""
    for begin in range(0, len(values), CHUNK_BYTES):
        # A chunk begins where the last one did not look any more.
        changes = _Changes(values[begin : begin + CHUNK_BYTES + LONGEST_BYTES])
        for direction, bits in _templates():
            for cell_px in CELL_DISTANCES_PX:
                for pixel_bytes in PIXEL_DISTANCES_BYTES:
                    if changes.hold(bits, [round(cell * cell_px) * pixel_bytes for cell in range(WORD_CELLS)]):
                        yield f"the word {direction}, {cell_px:.2f} pixels a cell, {pixel_bytes} bytes a pixel"


@cache
def _templates() -> tuple[tuple[str, tuple[int, ...]], ...]:
    middle = [word[(len(word) - WORD_CELLS) // 2 :][:WORD_CELLS] for word in (ACROSS, DOWN)]
    return tuple(
        (name, bits) for name, word in zip(("across", "down"), middle, strict=True) for bits in (word, word[::-1])
    )


class _Changes:
    """Where bytes are followed by larger, smaller or like ones, by the distance between the two: bits of an integer."""

    def __init__(self, values: Bytes) -> None:
        self._signed = values.astype(np.int16)
        self._known: dict[int, dict[int, int]] = {}

    def hold(self, bits: tuple[int, ...], offsets: list[int]) -> bool:
        """Whether bytes at these offsets from anywhere change as the bits do, or the other way round."""
        pairs = [
            (offsets[cell], self._at(offsets[cell + 1] - offsets[cell]), bits[cell + 1] - bits[cell])
            for cell in range(WORD_CELLS - 1)
        ]
        for polarity in (1, -1):
            places = -1
            for begin, changes, step in pairs:
                places &= changes[polarity * step] >> begin
                if not places:
                    break
            if any(self._is_like(bits, place, offsets) for place in _first_bits(places)):
                return True
        return False

    def _is_like(self, bits: tuple[int, ...], place: int, offsets: list[int]) -> bool:
        """Whether the bytes there have two levels, as the bits have; what is letters may go up and down as they do."""
        found = self._signed[np.array(offsets) + place]
        return bool(abs(np.corrcoef(found, bits)[0, 1]) > LIKENESS)

    def _at(self, distance: int) -> dict[int, int]:
        if distance not in self._known:
            change = self._signed[distance:] - self._signed[: max(len(self._signed) - distance, 0)]
            self._known[distance] = {
                step: int.from_bytes(np.packbits(holds, bitorder="little").tobytes(), "little")
                for step, holds in ((1, change > STEP), (-1, change < -STEP), (0, np.abs(change) < FLAT))
            }
        return self._known[distance]


def _first_bits(places: int) -> Iterator[int]:
    """The numbers of the lowest bits that are set, not endlessly many."""
    for _ in range(64):
        if not places:
            return
        yield (places & -places).bit_length() - 1
        places &= places - 1


def _without_runs(data: bytes) -> Bytes:
    """The same without long runs of one byte, of which databases are full; no cell of the canary is as long."""
    return np.frombuffer(re.sub(rb"(.)\1{255,}", lambda run: run[1] * 255, data, flags=re.DOTALL), np.uint8)


_SURE = re.compile(
    rb"\x89PNG\r\n\x1a\n|RIFF....(?:WEBP|AVI )|GIF8[79]a|\x1aE\xdf\xa3.{0,64}(?:matroska|webm)"
    rb"|ftyp(?:isom|mp4|avc1|qt|heic|avif)",
    re.DOTALL,
)
_PERHAPS = re.compile(rb"\xff\xd8\xff|BM....\0\0\0\0|II\*\0|MM\0\*|P[56][ \n\t]\d", re.DOTALL)


def _pictures(data: bytes) -> Iterator[str]:
    for begin in _SURE.finditer(data):
        yield f"a picture file or a film: {begin[0][:4]!r}"
    for begin in _PERHAPS.finditer(data):
        decoded = _decoded(data[begin.start() : begin.start() + MOST_BYTES])
        if decoded is not None and min(decoded.shape[:2]) >= SMALLEST_PX:
            yield f"a picture file: {begin[0][:4]!r}, {decoded.shape[1]} x {decoded.shape[0]}"


def _decoded(data: bytes) -> Pixels | None:
    """A picture of the data, or of what there is of it."""
    for end in (b"", b"\xff\xd9"):
        try:
            decoded = cv2.imdecode(np.frombuffer(data + end, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            decoded = None
        if decoded is not None:
            return decoded.astype(np.uint8, copy=False)
    return None


_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{64,}(?:\r?\n[A-Za-z0-9+/_-]+)*+")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}[ :,]?){64,}+")
_ESCAPED = re.compile(rb"(?:\\x|%|0x)([0-9a-fA-F]{2})(?:, ?)?")
_PACKED = re.compile(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08")


def _unwrapped(data: bytes) -> Iterator[tuple[str, bytes]]:
    for run in _BASE64.finditer(data):
        text = re.sub(rb"[\r\n]", b"", run[0]).translate(bytes.maketrans(b"-_", b"+/"))
        for phase in range(4):  # what stands before it may be of the same letters
            part = text[phase:]
            # Three letters more than whole fours are two bytes; one letter more is none.
            part = part[: len(part) - (len(part) % 4 == 1)]
            yield "base64", base64.b64decode(part + b"=" * (-len(part) % 4))
    for run in _HEX.finditer(data):
        text = re.sub(rb"[ :,]", b"", run[0])
        for phase in range(2):
            part = text[phase:]
            yield "hexadecimal", binascii.unhexlify(part[: len(part) // 2 * 2])
    if len(_ESCAPED.findall(data)) >= WORD_CELLS:
        yield "escapes", _ESCAPED.sub(lambda one: binascii.unhexlify(one[1]), data)
    for begin in _PACKED.finditer(data):
        unpacked = _unpacked(data[begin.start() :])
        if len(unpacked) >= WORD_CELLS:
            yield "zlib", unpacked


def _unpacked(data: bytes) -> bytes:
    """As much as comes out before it ends or breaks."""
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    out = b""
    try:
        for begin in range(0, len(data), 4096):
            out += unpacker.decompress(data[begin : begin + 4096], MOST_BYTES)
            if unpacker.eof or len(out) > MOST_BYTES:
                break
    except zlib.error:
        pass
    return out


_NUMBER = rb"-?\d++(?:\.\d*+)?+(?:[eE][-+]?\d++)?+"
_LIST = re.compile(rb"(?:" + _NUMBER + rb"[\s,;\[\]()]++){%d,}+" % (WORD_CELLS - 1))


def _numbers(data: bytes) -> Iterator[Bytes]:
    """Long lists of numbers, spread over 0..255."""
    for run in _LIST.finditer(data):
        values = np.array([float(one) for one in re.findall(_NUMBER, run[0])])
        low, high = np.min(values), np.max(values)
        if np.isfinite(high - low) and high > low:
            yield ((values - low) * (255 / (high - low))).astype(np.uint8)


def search(evidence: Iterable[tuple[str, bytes]]) -> list[str]:
    """What was found where, over everything that was sent and written."""
    return [f"{where}: {what}" for where, data in evidence for what in findings(data)]
