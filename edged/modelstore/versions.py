"""The order of versions: Semantic Versioning 2.0.0 (semver.org, 11), and something sensible for whatever else there is.

Law: text in, order out.
"""

from __future__ import annotations

Part = tuple[int, int, str]
Order = tuple[tuple[int, ...], bool, tuple[Part, ...], str]


def order(version: str) -> Order:
    """What versions are compared by: `max(versions, key=order)` is the newest.

    Numbers are compared as numbers, whatever stands behind the first `-` makes it older than the same without, and
    what stands behind a `+` says nothing; versions that are alike in all that are told apart by their letters, so that
    there is always one newest. A release of fewer numbers has zeros for the others.
    """
    text, _, _ = version.partition("+")
    release, dash, pre = text.partition("-")
    numbers = [_number(part) for part in release.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers), not dash, tuple(_identifier(part) for part in pre.split(".")) if dash else (), version


def is_older(version: str, than: str) -> bool:
    """Whether a version stands before another; versions that differ behind a `+` alone do not."""
    return order(version)[:3] < order(than)[:3]


def _number(part: str) -> int:
    digits = "".join(letter for letter in part if letter in "0123456789")
    return int(digits) if digits else 0


def _identifier(part: str) -> Part:
    """Numbers stand before words."""
    return (0, int(part), "") if part.isascii() and part.isdecimal() else (1, 0, part)
