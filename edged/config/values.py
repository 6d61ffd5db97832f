"""What a single value must be, beyond its type and range: the checks that `tables.py` hangs onto its keys.

Law: one function a kind of value. It gives the value, completed, or raises ValueError with a sentence for a person:
what is wrong, what is allowed. No sentence repeats a value that may hold a secret.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import re
from pathlib import Path, PurePath
from urllib.parse import urlsplit

from pydantic import ValidationInfo
from pydantic_core import PydanticCustomError

from edged.core.types import Box

SOURCES = "v4l2:PATH, picamera2:NUMBER, rtsp://ADDRESS, rtsps://ADDRESS or file:CLIP_OR_FOLDER"
INSTEAD = "take it out, and use username and password_file instead"


def box(value: object) -> Box:
    """Four fractions of the picture."""
    if not isinstance(value, tuple) or len(value) != 4 or any(type(edge) not in (int, float) for edge in value):
        raise ValueError("expected four numbers: left, top, right, bottom")
    left, top, right, bottom = value
    if not all(0 <= edge <= 1 for edge in value):  # false for nan too
        raise ValueError("an edge lies outside the picture; left, top, right, bottom are fractions from 0 to 1")
    if left >= right or top >= bottom:
        raise ValueError("the box is empty or reversed; left must be less than right, and top less than bottom")
    return Box(float(left), float(top), float(right), float(bottom))


def printable(value: str) -> str:
    """One line of text that can be shown."""
    if not value.strip() or not value.isprintable():
        raise ValueError("is empty or has characters that cannot be shown; allowed: one line of text")
    return value


def free_for_a_device(value: str) -> str:
    """A device name that means nothing else."""
    if value == "all":
        raise ValueError('"all" stands for every device; choose another name')
    if value == "models":
        raise ValueError('"models" is the folder of the model store; choose another name')
    return value


def quarter_turn(value: object) -> object:
    """A whole number and nothing that pydantic takes for one."""
    if type(value) is not int:  # pydantic takes false and 0.0 for 0
        raise PydanticCustomError("not_a_whole_number", "not a whole number")
    return value


def anchored(value: str, info: ValidationInfo) -> str:
    """A path made absolute: relative ones count from the folder that the configuration file is in."""
    if not value.strip() or not value.isprintable():
        raise ValueError("is no path; allowed: the path of a file, on one line")
    return str(Path((info.context or {}).get("folder", "."), value))


def source(value: str, info: ValidationInfo) -> str:
    """What kind of camera, and where; a path made absolute."""
    scheme, colon, rest = value.partition(":")
    paths = colon and scheme in ("v4l2", "file")
    if re.search(r"//[^/]*@", rest) if paths else "@" in value:
        raise ValueError("a login inside the address is refused, because addresses end up in logs; " + INSTEAD)
    if not colon or scheme not in ("v4l2", "file", "picamera2", "rtsp", "rtsps"):
        raise ValueError(f"names no kind of camera; allowed: {SOURCES}")
    if scheme == "picamera2":
        if not re.fullmatch(r"[0-9]", rest):
            raise ValueError("picamera2: takes the number of a CSI camera, such as picamera2:0")
        return value
    if not paths:
        return _address(value)
    if "://" in rest or rest.startswith("//"):
        raise ValueError(f"{scheme}: takes a path on this device, never an address on the network")
    if scheme == "v4l2" and not rest.startswith("/"):
        raise ValueError("v4l2: takes the path of a device, such as v4l2:/dev/v4l/by-id/... or v4l2:/dev/video0")
    return f"{scheme}:{anchored(rest, info)}"


def _address(value: str) -> str:
    """rtsp://HOST[:PORT][/PATH], as the camera's manual has it."""
    try:
        parts = urlsplit(value)
        known = bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or not value.isprintable() or " " in value:
        raise ValueError("is no address of a camera; allowed: such as rtsp://camera.local:554/stream2")
    return value


def model_name(value: str, info: ValidationInfo) -> str:
    """A name in the store as it is, a path made absolute."""
    if not value.strip() or not value.isprintable():
        raise ValueError("is no model; allowed: a name in the model store or a path to a .tflite")
    return anchored(value, info) if "/" in value or value.endswith(".tflite") else value


def public_key(value: str) -> str:
    """NAME:KEY, the key as `edged model sign` prints it."""
    name, _, key = value.partition(":")
    try:
        whole = len(base64.b64decode(key, validate=True)) == 32
    except ValueError:
        whole = False
    if not whole or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", name):
        raise ValueError(
            "is no public key; allowed: NAME:KEY as `edged model sign` prints it, such as fleet:44 characters"
        )
    return value


def host(value: str) -> str:
    """A host name or an IP address, and nothing around it."""
    if "/" in value or "@" in value:
        raise ValueError("expected a host name or an address alone: no mqtt://, no login, no path")
    if re.fullmatch(r"\[.*\]|\[.*\]:\d+|[^:]*:\d*", value):
        raise ValueError("expected a host name or an address alone: the port has its own key, brackets are not needed")
    label = r"\w([\w-]{0,61}\w)?"
    if len(value) <= 253 and re.fullmatch(rf"{label}(\.{label})*\.?", value):
        return value
    try:
        ipaddress.ip_address(value)
    except ValueError:
        raise ValueError("is no host name; allowed: a name such as homeassistant.local, or an IP address") from None
    return value


def topic(value: str) -> str:
    """One or more topic levels that MQTT and Home Assistant accept."""
    if not value.isprintable() or re.search(r"[+#]", value):
        raise ValueError("+, # and characters that cannot be shown have no place in a topic")
    if value.startswith("$") or not all(value.split("/")):
        raise ValueError("must not be empty, start with $, or start or end with / or have // in it")
    return value


def slug(host_name: str) -> str:
    """A device name made from a host name; "" where nothing of it can be used."""
    return re.sub(r"[^a-z0-9_-]", "-", host_name.partition(".")[0].lower()).lstrip("_-")[:32]


def host_name() -> str:
    """The device name that the host name gives."""
    return slug(os.uname().nodename)


def topic_or_nothing(value: str) -> str:
    """As `topic`; "" switches off what the topic is for."""
    return topic(value) if value else value


def outbox_path(value: str) -> str:
    """The path of a file: an absolute one, or one inside the device's own folder."""
    path = PurePath(value)
    if not value.strip() or not value.isprintable() or not path.name or value.endswith("/"):
        raise ValueError("is no path of a file; allowed: a file name, or an absolute path")
    if ".." in path.parts:
        raise ValueError("leads out of its folder with ..; allowed: a file name, or an absolute path")
    if path.suffix == ".json":
        raise ValueError("has the name of a file of settings; allowed: another one, such as outbox.db")
    if path.is_absolute() and _is_folder(Path(path)):
        raise ValueError("is a folder; allowed: the path of a file in it")
    return value


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # not for this user to see; whoever may not write there is told when it is tried
        return False
