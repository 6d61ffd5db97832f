"""The tables of edged.toml as frozen pydantic models: one class a table, one line a key.

Law: types, ranges, defaults and what a key means by itself or beside its neighbours. A new key is one line here, one in
`systemd/edged.toml` and one in `docs/config.md` (a test holds the three together). Every `description` says what is
allowed, in the words that a person reads when the value is wrong. No sentence repeats a value that may hold a secret.
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic import PlainValidator as Plain
from pydantic_core import PydanticCustomError

from edged.config.password import read_password
from edged.core.types import Box, Fit

NAME = r"^[a-z0-9][a-z0-9_-]{0,31}$"
NAME_WORDS = "1 to 32 of a-z, 0-9, _ and -, the first a letter or digit"
MAX_RULES = 32
FULL_REGION = "full"


class Table(BaseModel):
    """What every table has in common: nothing unknown, nothing converted, nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


def _range(low: float, high: float, what: str = "a whole number") -> Any:
    return Field(ge=low, le=high, description=f"{what} from {low} to {high}")


def _box(value: object) -> Box:
    if not isinstance(value, tuple) or len(value) != 4 or any(type(edge) not in (int, float) for edge in value):
        raise ValueError("expected four numbers: left, top, right, bottom")
    left, top, right, bottom = value
    if not all(0 <= edge <= 1 for edge in value):  # false for nan too
        raise ValueError("an edge lies outside the picture; left, top, right, bottom are fractions from 0 to 1")
    if left >= right or top >= bottom:
        raise ValueError("the box is empty or reversed; left must be less than right, and top less than bottom")
    return Box(float(left), float(top), float(right), float(bottom))


def _printable(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("is empty or has characters that cannot be shown; allowed: one line of text")
    return value


def _not_all(value: str) -> str:
    if value == "all":
        raise ValueError('"all" stands for every device; choose another name')
    return value


def _quarter_turn(value: object) -> object:
    if type(value) is not int:  # pydantic takes false and 0.0 for 0
        raise PydanticCustomError("not_a_whole_number", "not a whole number")
    return value


def _anchored(value: str, info: ValidationInfo) -> str:
    """A path made absolute: relative ones count from the folder that the configuration file is in."""
    if not value.strip() or not value.isprintable():
        raise ValueError("is no path; allowed: the path of a file, on one line")
    return str(Path((info.context or {}).get("folder", "."), value))


def _source(value: str, info: ValidationInfo) -> str:
    scheme, colon, rest = value.partition(":")
    paths = colon and scheme in ("v4l2", "file")
    if re.search(r"//[^/]*@", rest) if paths else "@" in value:
        raise ValueError("a login inside the address is refused, because addresses end up in logs; take it out")
    if scheme in ("picamera2", "rtsp", "rtsps"):
        raise ValueError(f"{scheme}: cameras are not in this version; allowed: v4l2:PATH or file:CLIP_OR_FOLDER")
    if not paths:
        raise ValueError("names no kind of camera; allowed: v4l2:PATH or file:CLIP_OR_FOLDER")
    if "://" in rest or rest.startswith("//"):
        raise ValueError(f"{scheme}: takes a path on this device, never an address on the network")
    if scheme == "v4l2" and not rest.startswith("/"):
        raise ValueError("v4l2: takes the path of a device, such as v4l2:/dev/v4l/by-id/... or v4l2:/dev/video0")
    return f"{scheme}:{_anchored(rest, info)}"


def _model_name(value: str, info: ValidationInfo) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("is no model; allowed: a name in the model store or a path to a .tflite")
    return _anchored(value, info) if "/" in value or value.endswith(".tflite") else value


def _host(value: str) -> str:
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


def _topic(value: str) -> str:
    if not value.isprintable() or re.search(r"[+#]", value):
        raise ValueError("+, # and characters that cannot be shown have no place in a topic")
    if value.startswith("$") or not all(value.split("/")):
        raise ValueError("must not be empty, start with $, or start or end with / or have // in it")
    return value


def slug(host_name: str) -> str:
    """A device name made from a host name; "" where nothing of it can be used."""
    return re.sub(r"[^a-z0-9_-]", "-", host_name.partition(".")[0].lower()).lstrip("_-")[:32]


def _host_name() -> str:
    return slug(os.uname().nodename)


Name = Annotated[str, Field(pattern=NAME, description=NAME_WORDS)]
Title = Annotated[
    str | None,
    Field(max_length=100, description="one line of text"),
    AfterValidator(lambda text: text and _printable(text)),
]
Text = Annotated[str, AfterValidator(_printable)]
Mask = Annotated[Box, Plain(_box)]
Score = Annotated[float, _range(0.01, 1, "a score")]
Delay = Annotated[float, _range(0, 86400, "seconds")]


class DeviceTable(Table):
    """[device]: who this is."""

    name: Annotated[Name, AfterValidator(_not_all)] = Field(default_factory=_host_name, validate_default=True)
    title: Title = None


class CameraTable(Table):
    """[camera]: where pictures come from. `source` has its path made absolute."""

    source: Annotated[str, AfterValidator(_source), Field(description="v4l2:PATH or file:CLIP_OR_FOLDER")]
    width_px: Annotated[int, _range(16, 7680)] = 640
    height_px: Annotated[int, _range(16, 4320)] = 480
    fps: Annotated[float, Field(ge=0.01, le=120, description="frames a second from 0.01 to 120")] = 10.0
    rotate_deg: Annotated[
        Literal[0, 90, 180, 270], BeforeValidator(_quarter_turn), Field(description="0, 90, 180 or 270")
    ] = 0
    privacy_masks: Annotated[
        tuple[Mask, ...], Field(max_length=32, description="at most 32 boxes [[left, top, right, bottom], ...]")
    ] = ()
    pace: Annotated[Literal["realtime", "max"], Field(description='"realtime" or "max"')] = "realtime"
    at_end: Annotated[Literal["loop", "stop"], Field(description='"loop" or "stop"')] = "loop"

    @property
    def scheme(self) -> Literal["v4l2", "file"]:
        """The kind of camera."""
        return "file" if self.source.startswith("file:") else "v4l2"

    @property
    def path(self) -> Path:
        """The device, clip or folder, absolute."""
        return Path(self.source.partition(":")[2])

    @field_validator("pace", "at_end")
    @classmethod
    def _file_only(cls, value: str, info: ValidationInfo) -> str:
        if str(info.data.get("source", "file:")).startswith("v4l2:"):
            raise ValueError("belongs to a file: camera only; take it out")
        return value


class ModelTable(Table):
    """[model]: which model. `name` is a name in the store, or an absolute path."""

    name: Annotated[str, AfterValidator(_model_name), Field(description="a name in the model store, or a path")] = (
        "efficientnet-lite0-int8"
    )
    threads: Annotated[int | None, _range(1, 64)] = None


class RegionTable(Table):
    """[[region]]: a part of the picture that is classified by itself. `fit` None: the manifest's."""

    name: Name
    box: Annotated[Box, Plain(_box), Field(description="[left, top, right, bottom]")]
    fit: Annotated[Fit | None, Field(description='"stretch", "center-crop" or "letterbox"')] = None

    @field_validator("name")
    @classmethod
    def _not_full(cls, value: str) -> str:
        if value == FULL_REGION:
            raise ValueError('"full" is the whole picture and always there; choose another name')
        return value


class RuleTable(Table):
    """[[rule]]: what a person wants to know. `name` is filled in before; `release_threshold` None: two thirds."""

    name: Name = ""
    title: Title = None
    label: Annotated[Text, Field(description="a label or a label group of the model")]
    region: Annotated[str, Field(description='"full", or the name of a [[region]]')] = FULL_REGION
    score_threshold: Score = 0.6
    release_threshold: Annotated[float | None, _range(0, 1, "a score")] = None
    delay_on_s: Delay = 0.5
    delay_off_s: Delay = 3.0
    refractory_s: Delay = 0.0

    @field_validator("release_threshold")
    @classmethod
    def _not_above(cls, value: float, info: ValidationInfo) -> float:
        score = info.data.get("score_threshold")
        if score is not None and value > score:
            raise ValueError(f"{value} is above score_threshold ({score}); allowed: at most that")
        return value


class MqttTable(Table):
    """[mqtt]: the broker. The password is never held here, see `Config.password`."""

    host: Annotated[str, AfterValidator(_host), Field(description="a host name or an IP address")]
    port: Annotated[int, _range(1, 65535)] = 1883
    username: Annotated[Text | None, Field(max_length=256, description="the login at the broker")] = None
    password_file: Annotated[str | None, Field(description="the path of a file that holds the password")] = None
    topic_prefix: Annotated[
        str, Field(max_length=100, description="one or more MQTT topic levels, such as edged"), AfterValidator(_topic)
    ] = "edged"
    protocol: Annotated[Literal["5", "3.1.1"], Field(description='"5" or "3.1.1", with the quotes')] = "5"
    keepalive_s: Annotated[int, _range(5, 3600)] = 30

    @field_validator("password_file")
    @classmethod
    def _readable(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("username", "") is None:
            raise ValueError("a password needs a username beside it")
        path = _anchored(value, info)
        read_password(Path(path))
        return path


class Document(Table):
    """The whole file. Tables that may be left out are put in, empty, before this is validated."""

    device: DeviceTable
    camera: CameraTable
    model: ModelTable
    region: Annotated[tuple[RegionTable, ...], Field(max_length=32, description="at most 32 [[region]] tables")] = ()
    rule: Annotated[
        tuple[RuleTable, ...], Field(min_length=1, max_length=MAX_RULES, description="1 to 32 [[rule]] tables")
    ]
    mqtt: MqttTable
