"""Label files as people have them, made into one label a class.

Known are: one label a line; `0 name`, `0  name` or `0: name` on each line, with holes; empty lines at the end or in
between; a background class first or not; two classes of one name; UTF-8 with or without a mark, UTF-16 with one;
Windows' line ends. The same in an Edge Impulse export's C header and its JSON.

Law: bytes in, labels out.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass

from edged.core.errors import ModelError

MAX_LABELS = 100_000
MANY = 100
"""From so many classes on, one label too few is a background class that the label file leaves out."""
BACKGROUNDS = frozenset({"background", "_background_", "__background__", "???"})
NAMELESS = frozenset({"", "???", "n/a", "(unused)"})

_NUMBERED = re.compile(r"\s*(\d{1,6})(?:\s*[:,;]\s*|\s+|$)(.*)")
_GLUED = re.compile(r"(\d{1,6})(\D.*)")
_HEADER = re.compile(r"ei_classifier_inferencing_categories\w*\s*\[[^\]]*\]\s*=\s*\{(.*?)\}", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class LabelFile:
    """What a label file says.

    Attributes:
        names: by class; "" for a class that has none.
        numbered: whether the file itself says which class each is.
        place: what a person calls it.
    """

    names: tuple[str, ...]
    numbered: bool
    place: str

    @classmethod
    def parse(cls, data: bytes, place: str) -> LabelFile:
        """Reads one.

        Raises:
            ModelError: it is no text, or has a line that cannot be shown.
        """
        text = _text(data, place)
        if (header := _HEADER.search(text)) is not None:
            return cls(tuple(_unquoted(one) for one in _QUOTED.findall(header[1])), False, place)
        if text.lstrip().startswith("{"):
            return cls(_classes(text, place), False, place)
        lines = [" ".join(line.split()) for line in text.splitlines()]
        while lines and not lines[-1]:
            lines.pop()
        if not lines:
            raise ModelError(f"{place}: is empty; expected one label a line")
        for number, line in enumerate(lines, start=1):
            if not line.isprintable():
                raise ModelError(f"{place}:{number}: the line cannot be shown; expected one label a line")
        named = _numbered(lines)
        return cls(tuple(lines), False, place) if named is None else cls(named, True, place)


@dataclass(frozen=True)
class Labels:
    """One label a class.

    Attributes:
        background: index of the class that means "nothing of this"; None where no label says so.
        notes: what had to be changed, a clause each.
        guessed: whether their number had to be made to fit.
    """

    names: tuple[str, ...]
    background: int | None
    notes: tuple[str, ...] = ()
    guessed: bool = False


def for_classifier(file: LabelFile, classes: int, background: int | None = None) -> Labels:
    """Labels for a classifier with so many outputs.

    Args:
        background: the class that a person says is the background.

    Raises:
        ModelError: they are too many or too few.
    """
    names, notes = list(file.names), []
    if len(names) != classes and sum(map(bool, names)) == classes and not file.numbered:
        names = [name for name in names if name]
        notes.append("empty lines left out")
    begins = bool(names) and names[0].lower() in (*BACKGROUNDS, "")
    if len(names) == classes + 1 and begins:
        notes.append("counted from 1" if not names[0] else f"{names[0]!r}, which the model has no output for, left out")
        del names[0]
    elif len(names) == classes and file.numbered and not names[0] and background is None:
        background = 0
        notes.append("counted from 1: class 0 is a background")
    elif len(names) == classes - 1 and not begins and (background is not None or classes >= MANY):
        place = min(background or 0, classes - 1)
        names.insert(place, "background")
        notes.append(f"one fewer than outputs: a background class is {'first' if not place else f'class {place}'}")
    if len(names) != classes and not (classes == 1 and len(names) == 2):
        outputs = f"{classes} {'output' if classes == 1 else 'outputs'}"
        hint = ", or --background 0 where the first output is a background" if len(names) == classes - 1 else ""
        raise ModelError(
            f"{file.place}: has {_counted(names)} and the model {outputs}; give the label file that belongs to this "
            f"model (--labels FILE){hint}"
        )
    return _finished(names, notes, background, stands_for_background=True)


def for_detector(file: LabelFile, columns: int | None = None) -> Labels:
    """Labels for a detector: its classes are counted from the first that is no background.

    Args:
        columns: as many as the model has classes, or one more for a background; None where that is not known.

    Raises:
        ModelError: they are too many or too few.
    """
    names, notes = list(file.names), []
    if file.numbered and len(names) > 1 and not names[0]:
        notes.append("counted from 1")
        del names[0]
    elif not file.numbered and len(names) > 1 and names[0].lower() in BACKGROUNDS:
        notes.append(f"{names[0]!r}, which a detector does not count, left out")
        del names[0]
    if columns is not None:
        if file.numbered:  # the last classes may be among those without a name
            names += [""] * (columns - 1 - len(names))
        if len(names) not in (columns - 1, columns):
            raise ModelError(
                f"{file.place}: has {_counted(names)} and the model {columns - 1} classes; expected a line for each, "
                "??? where a class has no name, or numbered lines (--labels FILE)"
            )
    return _finished(names, notes, None, stands_for_background=False)


def _counted(names: list[str]) -> str:
    return f"{len(names)} {'label' if len(names) == 1 else 'labels'}"


def _finished(names: list[str], notes: list[str], background: int | None, *, stands_for_background: bool) -> Labels:
    """Each with a name of its own, and the background under its own."""
    if stands_for_background and background is None:
        background = next((index for index, name in enumerate(names) if name.lower() in BACKGROUNDS), None)
    counts: dict[str, int] = {}
    done: dict[str, None] = {}
    again = 0
    for index, name in enumerate(names):
        nameless = name.lower() in NAMELESS
        first = own = "background" if index == background and nameless else f"class {index}" if nameless else name
        while own in done:
            counts[first] = counts.get(first, 1) + 1
            own = f"{first} ({counts[first]})"
        done[own] = None
        again += own != first
    guessed = bool(notes)
    unnamed = sum(name.lower() in NAMELESS and index != background for index, name in enumerate(names))
    notes += [f"those without a name are called after their number ({unnamed})"] if unnamed else []
    notes += [f"those of a name that was taken have a number behind it ({again})"] if again else []
    return Labels(tuple(done), background, tuple(notes), guessed)


def _text(data: bytes, place: str) -> str:
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        raise ModelError(f"{place}: is no UTF-8 text; save it as UTF-8, one label a line") from None
    if text.count("\n") > MAX_LABELS:
        raise ModelError(f"{place}: has more than {MAX_LABELS} lines; expected one label a line")
    return text


def _numbered(lines: list[str]) -> tuple[str, ...] | None:
    """The names of lines that all begin with their number; None where they do not."""
    filled = [line for line in lines if line]
    found = [_NUMBERED.fullmatch(line) for line in filled]
    if not all(found):
        found = [_GLUED.fullmatch(line) for line in filled]
    pairs = [(int(one[1]), one[2].strip()) for one in found if one is not None]
    numbers = [number for number, _ in pairs]
    rises = all(one < two for one, two in itertools.pairwise(numbers))
    glued = bool(found) and found[0] is not None and found[0].re is _GLUED
    if len(pairs) != len(filled) or not rises or numbers[0] > 1 or numbers[-1] >= MAX_LABELS:
        return None
    if (glued and numbers != list(range(len(numbers)))) or not any(name for _, name in pairs):
        return None
    names = [""] * (numbers[-1] + 1)
    for number, name in pairs:
        names[number] = name
    return tuple(names)


def _classes(text: str, place: str) -> tuple[str, ...]:
    """Of Edge Impulse's `deployment-metadata.json`."""
    try:
        told = json.loads(text)["classes"]
        if not told or not all(isinstance(one, str) and one.strip() and one.isprintable() for one in told):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ModelError(f"{place}: expected one label a line, or JSON with a list of classes") from None
    return tuple(" ".join(one.split()) for one in told[:MAX_LABELS])


def _unquoted(text: str) -> str:
    return " ".join(re.sub(r"\\(.)", r"\1", text).split())
