"""The tables of edged.toml as frozen pydantic models: one class a table, one line a key.

Law: types, ranges, defaults and what a key means by itself or beside its neighbours. A new key is one line here, one in
`systemd/edged.toml` and one in `docs/config.md` (a test holds the three together). Every `description` says what is
allowed, in the words that a person reads when the value is wrong. No sentence repeats a value that may hold a secret.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic import PlainValidator as Plain

from edged.config import values
from edged.config.certificates import check_authority, check_certificate, check_key
from edged.config.password import CAMERA_CREDENTIAL, MQTT_CREDENTIAL, ROOTS, as_handed, read_password
from edged.core.types import Box, Fit

NAME = r"^[a-z0-9][a-z0-9_-]{0,31}$"
NAME_WORDS = "1 to 32 of a-z, 0-9, _ and -, the first a letter or digit"
MAX_RULES = 32
FULL_REGION = "full"
PORT, TLS_PORT = 1883, 8883
NETWORK_SCHEMES = ("rtsp:", "rtsps:")
Scheme = Literal["v4l2", "picamera2", "rtsp", "rtsps", "file"]


class Table(BaseModel):
    """What every table has in common: nothing unknown, nothing converted, nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


def _range(low: float, high: float, what: str = "a whole number") -> Any:
    return Field(ge=low, le=high, description=f"{what} from {low} to {high}")


def _file(holds: str) -> Any:
    return Field(description=f"the path of a file that holds {holds}")


Name = Annotated[str, Field(pattern=NAME, description=NAME_WORDS)]
Title = Annotated[
    str | None,
    Field(max_length=100, description="one line of text"),
    AfterValidator(lambda text: text and values.printable(text)),
]
Text = Annotated[str, AfterValidator(values.printable)]
Topic = Annotated[str, AfterValidator(values.topic)]
Mask = Annotated[Box, Plain(values.box)]
Score = Annotated[float, _range(0.01, 1, "a score")]
Delay = Annotated[float, _range(0, 86400, "seconds")]


class DeviceTable(Table):
    """[device]: who this is."""

    name: Annotated[Name, AfterValidator(values.free_for_a_device)] = Field(
        default_factory=values.host_name, validate_default=True
    )
    title: Title = None


class CameraTable(Table):
    """[camera]: where pictures come from. `source` has its path made absolute. The password is never held here."""

    source: Annotated[str, AfterValidator(values.source), Field(description=values.SOURCES)]
    width_px: Annotated[int, _range(16, 7680)] = 640
    height_px: Annotated[int, _range(16, 4320)] = 480
    fps: Annotated[float, Field(ge=0.01, le=120, description="frames a second from 0.01 to 120")] = 10.0
    rotate_deg: Annotated[
        Literal[0, 90, 180, 270], BeforeValidator(values.quarter_turn), Field(description="0, 90, 180 or 270")
    ] = 0
    username: Annotated[Text | None, Field(max_length=100, description="the login at the camera")] = None
    password_file: Annotated[str | None, _file("the password alone")] = None
    key_frames_only: Annotated[bool, Field(description="true or false")] = False
    privacy_masks: Annotated[
        tuple[Mask, ...], Field(max_length=32, description="at most 32 boxes [[left, top, right, bottom], ...]")
    ] = ()
    pace: Annotated[Literal["realtime", "max"], Field(description='"realtime" or "max"')] = "realtime"
    at_end: Annotated[Literal["loop", "stop"], Field(description='"loop" or "stop"')] = "loop"

    @property
    def scheme(self) -> Scheme:
        """The kind of camera."""
        return cast("Scheme", self.source.partition(":")[0])

    @property
    def path(self) -> Path:
        """The device, clip or folder, absolute."""
        return Path(self.source.partition(":")[2])

    @property
    def index(self) -> int:
        """Which of the CSI cameras."""
        return int(self.source.partition(":")[2])

    @field_validator("pace", "at_end")
    @classmethod
    def _file_only(cls, value: str, info: ValidationInfo) -> str:
        _check_belongs(("file:",), info)
        return value

    @field_validator("username", "key_frames_only")
    @classmethod
    def _network_only(cls, value: object, info: ValidationInfo) -> object:
        _check_belongs(NETWORK_SCHEMES, info)
        if isinstance(value, str) and ":" in value:
            raise ValueError("holds a colon, which no RTSP login can; allowed: a user name without one")
        return value

    @field_validator("password_file")
    @classmethod
    def _readable(cls, value: str, info: ValidationInfo) -> str:
        _check_belongs(NETWORK_SCHEMES, info)
        return _password_file(value, CAMERA_CREDENTIAL, info)


def _check_belongs(schemes: tuple[str, ...], info: ValidationInfo) -> None:
    """Refuses a key that another kind of camera has."""
    if not str(info.data.get("source", schemes[0])).startswith(schemes):
        raise ValueError(f"belongs to {' and '.join(schemes)} cameras only; take it out")


def _password_file(value: str, credential: str, info: ValidationInfo) -> str:
    if info.data.get("username", "") is None:
        raise ValueError("a password needs a username beside it")
    lent = info.context["lent"] if info.context and "lent" in info.context else ROOTS
    path = as_handed(Path(values.anchored(value, info)), credential, lent)
    read_password(path)
    return str(path)


class ModelTable(Table):
    """[model]: which model. `name` is a name in the store, or an absolute path."""

    name: Annotated[
        str, AfterValidator(values.model_name), Field(description="a name in the model store, or a path")
    ] = "efficientnet-lite0-int8"
    threads: Annotated[int | None, _range(1, 64)] = None
    trusted_keys: Annotated[
        tuple[Annotated[str, AfterValidator(values.public_key)], ...],
        Field(max_length=16, description='at most 16 public keys ["NAME:KEY", ...]'),
    ] = ()
    policy: Annotated[Literal["off", "warn", "require"], Field(description='"off", "warn" or "require"')] = "off"

    @field_validator("policy")
    @classmethod
    def _has_keys(cls, value: str, info: ValidationInfo) -> str:
        if value != "off" and info.data.get("trusted_keys", ("",)) == ():
            raise ValueError(f'"{value}" needs trusted_keys beside it: without one no signature could be good')
        return value


class MotionTable(Table):
    """[motion]: the gate in front of the classifier."""

    enabled: Annotated[bool, Field(description="true or false")] = True
    idle_fps: Annotated[float, Field(ge=0.01, le=120, description="frames a second from 0.01 to 120")] = 0.5


class RegionTable(Table):
    """[[region]]: a part of the picture that is classified by itself. `fit` None: the manifest's."""

    name: Name
    box: Annotated[Box, Plain(values.box), Field(description="[left, top, right, bottom]")]
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


class TlsTable(Table):
    """[mqtt.tls]: an encrypted connection; there is one as soon as the table is there. Paths are made absolute."""

    ca_file: Annotated[str | None, _file("the certificates of the authorities to trust")] = None
    cert_file: Annotated[str | None, _file("the certificate of this device")] = None
    key_file: Annotated[str | None, _file("the private key of this device")] = None
    server_name: Annotated[
        str | None,
        Field(description="the name in the broker's certificate"),
        AfterValidator(lambda name: name and values.host(name)),
    ] = None
    strict: Annotated[bool, Field(description="true or false")] = True

    @field_validator("ca_file", "cert_file", "key_file")
    @classmethod
    def _usable(cls, value: str, info: ValidationInfo) -> str:
        path = Path(values.anchored(value, info))
        if info.field_name == "ca_file":
            check_authority(path)
        elif info.field_name == "cert_file":
            check_certificate(path)
        else:
            certificate = info.data.get("cert_file")
            check_key(path, Path(certificate) if certificate else None)
        return str(path)


class MqttTable(Table):
    """[mqtt]: the broker. The password is never held here, see `Config.password`."""

    host: Annotated[str, AfterValidator(values.host), Field(description="a host name or an IP address")]
    port: Annotated[int, _range(1, 65535)] = PORT
    username: Annotated[Text | None, Field(max_length=256, description="the login at the broker")] = None
    password_file: Annotated[str | None, _file("the password alone")] = None
    topic_prefix: Annotated[
        Topic, Field(max_length=100, description="one or more MQTT topic levels, such as edged")
    ] = "edged"
    protocol: Annotated[Literal["5", "3.1.1"], Field(description='"5" or "3.1.1", with the quotes')] = "5"
    keepalive_s: Annotated[int, _range(5, 3600)] = 30
    commands: Annotated[bool, Field(description="true or false")] = True
    birth_topic: Annotated[Topic, Field(max_length=200, description="an MQTT topic, such as homeassistant/status")] = (
        "homeassistant/status"
    )
    discovery_prefix: Annotated[
        str,
        Field(max_length=100, description='one or more MQTT topic levels, such as homeassistant, or "" for none'),
        AfterValidator(values.topic_or_nothing),
    ] = "homeassistant"
    tls: TlsTable | None = None

    @field_validator("password_file")
    @classmethod
    def _readable(cls, value: str, info: ValidationInfo) -> str:
        return _password_file(value, MQTT_CREDENTIAL, info)


class OutboxTable(Table):
    """[outbox]: how many events are kept, and how long. `path` counts from <device>/ in the state folder."""

    path: Annotated[
        str, AfterValidator(values.outbox_path), Field(max_length=4096, description="a file name, or an absolute path")
    ] = "outbox.db"
    max_rows: Annotated[int, _range(1, 10_000_000)] = 50_000
    max_bytes: Annotated[int, _range(65_536, 1 << 36)] = 1 << 25
    max_age_s: Annotated[int, _range(60, 366 * 86400)] = 7 * 86400
    keep_delivered_s: Annotated[int, _range(0, 366 * 86400)] = 86400
    drain_per_s: Annotated[int, _range(1, 10_000)] = 20


class Document(Table):
    """The whole file. Tables that may be left out are put in, empty, before this is validated."""

    device: DeviceTable
    camera: CameraTable
    model: ModelTable
    motion: MotionTable
    region: Annotated[tuple[RegionTable, ...], Field(max_length=32, description="at most 32 [[region]] tables")] = ()
    rule: Annotated[
        tuple[RuleTable, ...], Field(min_length=1, max_length=MAX_RULES, description="1 to 32 [[rule]] tables")
    ]
    mqtt: MqttTable
    outbox: OutboxTable
