"""The edges of one device, built from its Config. Part of the composition root."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import edged
from edged.config import CameraTable, Config, OutboxTable
from edged.core import commands, homeassistant, leftovers, wire
from edged.core.errors import ConfigError
from edged.core.gate import EveryRegion
from edged.core.motion import MotionGate
from edged.core.sight import Sight
from edged.core.trigger import Decider
from edged.core.types import Event, Message, ModelSpec, Region, Rule
from edged.duties.announcement import Announcement
from edged.duties.publisher import MqttPublisher
from edged.duties.sight import DiscerningCamera
from edged.edges import board, outbox_place, tls
from edged.edges.camera import CaptureCamera
from edged.edges.camera_file import FileSource
from edged.edges.camera_picamera2 import Picamera2Source
from edged.edges.camera_rtsp import RtspSource
from edged.edges.camera_v4l2 import V4l2Source
from edged.edges.mqtt import PahoBroker
from edged.edges.outbox_fallback import DurableOutbox
from edged.edges.outbox_place import StoreForeign
from edged.edges.outbox_schema import FORMAT
from edged.edges.pixels import least_scale
from edged.edges.state_folder import StateFolder
from edged.ports import Camera, Clock, Gate, Source

PLACE = "outbox.json"
"""In the device's folder: where outside of it the events are kept."""
STALL_S, FILE_STALL_S, KEY_STALL_S = 5.0, 30.0, 25.0


def camera(
    config: Config, regions: Sequence[Region], input_size: tuple[int, int], clock: Clock, stop: threading.Event
) -> CaptureCamera:
    """The camera, closed.

    Args:
        input_size: (width_px, height_px) that the model takes.
    """
    table = config.camera
    return CaptureCamera(
        source(config, clock, stop),
        clock,
        table.fps,
        rotate_deg=table.rotate_deg,
        masks=table.privacy_masks,
        least_scale=scale(config, regions, input_size),
        lockstep=table.pace == "max",
        stall_s=_stall_s(table),
    )


def scale(config: Config, regions: Sequence[Region], input_size: tuple[int, int]) -> Callable[[int, int], float]:
    """How far a picture of (width_px, height_px) may be shrunk before the model sees less, see `least_scale`."""
    return lambda width_px, height_px: least_scale(regions, input_size, (width_px, height_px), config.camera.rotate_deg)


def _stall_s(table: CameraTable) -> float:
    """So long without a picture is a lost camera."""
    if table.scheme == "file":
        return FILE_STALL_S  # it waits for the pace of its own clip, down to one frame in ten seconds
    return KEY_STALL_S if table.key_frames_only else STALL_S  # key frames are up to 20 s apart


def source(config: Config, clock: Clock, stop: threading.Event) -> Source:
    """What the camera is driven by, closed."""
    table = config.camera
    if table.scheme == "file":
        return FileSource(table.path, table.fps, table.pace, table.at_end, clock, stop)
    if table.scheme == "picamera2":
        return Picamera2Source(table.index, table.width_px, table.height_px, table.fps, clock)
    if table.scheme == "v4l2":
        return V4l2Source(table.path, table.width_px, table.height_px, table.fps, clock)
    return RtspSource(table.source, clock, table.username, config.camera_password, table.key_frames_only)


def discerning(config: Config, camera: CaptureCamera) -> Camera:
    """The camera, judged: whether what it shows can be trusted. A file may show what it likes."""
    if config.camera.scheme == "file":
        return camera
    return DiscerningCamera(camera, Sight(config.camera.privacy_masks), camera.reopen)


def gate(config: Config, regions: Sequence[Region], decider: Decider) -> Gate:
    """What stands in front of the classifier."""
    if not config.motion.enabled:
        return EveryRegion(regions)
    return MotionGate(regions, config.motion.idle_fps, decider.undecided)


def identity(spec: ModelSpec) -> str:
    """Of a model, as events carry it."""
    return f"{spec.name}@{spec.sha256[:8]}"


def outbox(
    config: Config,
    folder: StateFolder,
    clock: Clock,
    spec: ModelSpec,
    stored: Callable[[Sequence[Event]], None] | None = None,
) -> DurableOutbox:
    """The event queue, open.

    Args:
        stored: told of every event when it is kept.

    Raises:
        ConfigError: its file is from a newer edged, or none of edged's.
    """
    table = config.outbox
    path, is_own = _place(table, folder)
    try:
        outbox_place.examine(path, FORMAT, is_own=is_own)
        if not is_own:  # before it is made: a power cut in between leaves something that nobody could tell
            folder.write(PLACE, {"path": str(path)})
        return DurableOutbox(
            path,
            clock,
            board.boot_id(),
            identity(spec),
            max_rows=table.max_rows,
            max_bytes=table.max_bytes,
            max_age_s=table.max_age_s,
            keep_delivered_s=table.keep_delivered_s,
            stored=stored,
        )
    except StoreForeign as error:
        raise ConfigError(config.problem(("outbox", "path"), str(error))) from None


def outbox_trouble(table: OutboxTable, folder: StateFolder) -> str | None:
    """Why the events cannot be kept where they shall be, as far as reading tells; None where they can."""
    path, is_own = _place(table, folder)
    try:
        outbox_place.examine(path, FORMAT, is_own=is_own)
    except StoreForeign as error:
        return str(error)
    return None


def _place(table: OutboxTable, folder: StateFolder) -> tuple[Path, bool]:
    """Where the events are kept, and whether that is edged's own place.

    The device's folder is. Another is where edged itself made the file or found one of its own, which it remembers.
    """
    path = folder.path / table.path
    is_inside = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder.path))
    return path, is_inside or folder.read(PLACE).get("path") == str(path)


def broker(config: Config, topics: wire.Topics, clock: Clock, signs: Sequence[str]) -> PahoBroker:
    """The connection, not yet begun.

    Args:
        signs: what else is to be subscribed to, see `core.leftovers.signs`.
    """
    mqtt = config.mqtt
    secure = mqtt.tls and tls.context(
        mqtt.tls.ca_file, mqtt.tls.cert_file, mqtt.tls.key_file, mqtt.tls.strict, mqtt.tls.server_name
    )
    filters = list(commands.filters(topics)) if mqtt.commands else []
    if mqtt.discovery_prefix:
        filters.append(mqtt.birth_topic)
    return PahoBroker(
        mqtt.host,
        mqtt.port,
        client_id=f"edged-{config.device.name}",
        protocol=mqtt.protocol,
        keepalive_s=mqtt.keepalive_s,
        will=wire.availability(topics, wire.OFFLINE),
        username=mqtt.username,
        password=config.password,
        clock=clock,
        tls=secure or None,
        filters=filters,
        large=[topics.info, *signs],
    )


class Announced:
    """What the broker was told by this configuration file, kept in the state root.

    By file and not by device: a device that was renamed must be found again.

    Attributes:
        topic: of the description for Home Assistant, "" where discovery is off.
        removed: components that were announced once and are no longer, oldest first.
        stale: what lies on the broker for nothing, by root; whoever clears it takes it out and calls `keep`.
    """

    def __init__(self, config: Config, topics: wire.Topics, rules: Sequence[Rule], root: StateFolder) -> None:
        mqtt, device = config.mqtt, config.device.name
        self._root, self._topics, self._rules = root, topics, [rule.name for rule in rules]
        self._name = f"announced-{hashlib.sha256(str(config.path.resolve()).encode()).hexdigest()[:12]}.json"
        kept = root.read(self._name)
        self._now: Mapping[str, homeassistant.Component] = {}
        self.removed: Mapping[str, homeassistant.Component] = {}
        self.topic = ""
        if mqtt.discovery_prefix:
            self.topic = homeassistant.removal(device, discovery_prefix=mqtt.discovery_prefix).topic
            self._now = homeassistant.components(device, topics, rules, commands=mqtt.commands)
            self.removed = homeassistant.gone(leftovers.announced(kept, topics), self._now)
        self.stale = leftovers.stale(kept, topics, self._rules, self.topic)
        self._remembered = self.removed
        self.keep()

    def keep(self) -> None:
        """Writes it down as it is now."""
        components = {**self._remembered, **self._now}
        self._root.write(self._name, leftovers.record(self._topics, self._rules, self.topic, components, self.stale))

    def bury(self) -> None:
        """What was removed was shown to Home Assistant once more: its names are enough from now on."""
        self._remembered = homeassistant.tombstones(self.removed)
        self.keep()


def announcement(
    config: Config,
    topics: wire.Topics,
    rules: Sequence[Rule],
    model: Callable[[], str],
    announced: Announced,
    publisher: MqttPublisher,
    clock: Clock,
) -> Announcement | None:
    """What Home Assistant is told, None where discovery is off.

    Args:
        model: what runs, for people.
    """
    if not announced.topic:
        return None

    def make(back: bool) -> Message:
        return homeassistant.discovery(
            config.device.name,
            config.device.title or config.device.name,
            topics,
            rules,
            edged.__version__,
            model(),
            discovery_prefix=config.mqtt.discovery_prefix,
            commands=config.mqtt.commands,
            gone=announced.removed,
            back=back,
        )

    return Announcement(
        make,
        publisher,
        clock,
        has_removed=any(len(component) > 1 for component in announced.removed.values()),
        remember=announced.bury,
        birth_topic=config.mqtt.birth_topic,
    )
