"""The edges of one device, built from its Config. Part of the composition root."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence

import edged
from edged.config import CameraTable, Config
from edged.core import commands, homeassistant, leftovers, wire
from edged.core.gate import EveryRegion
from edged.core.motion import MotionGate
from edged.core.sight import Sight
from edged.core.trigger import Decider
from edged.core.types import Message, ModelSpec, Region, Rule
from edged.duties.announcement import Announcement
from edged.duties.publisher import MqttPublisher
from edged.duties.sight import DiscerningCamera
from edged.edges import board, tls
from edged.edges.camera import CaptureCamera
from edged.edges.camera_file import FileSource
from edged.edges.camera_picamera2 import Picamera2Source
from edged.edges.camera_rtsp import RtspSource
from edged.edges.camera_v4l2 import V4l2Source
from edged.edges.mqtt import PahoBroker
from edged.edges.outbox_fallback import DurableOutbox
from edged.edges.pixels import least_scale
from edged.edges.state_folder import StateFolder
from edged.ports import Camera, Clock, Gate, Source

STALL_S, FILE_STALL_S, KEY_STALL_S = 5.0, 30.0, 25.0


def camera(
    config: Config, regions: Sequence[Region], input_size: tuple[int, int], clock: Clock, stop: threading.Event
) -> CaptureCamera:
    """The camera, closed.

    Args:
        input_size: (width_px, height_px) that the model takes.
    """
    table = config.camera
    rotate_deg = table.rotate_deg

    def scale(width_px: int, height_px: int) -> float:
        return least_scale(regions, input_size, (width_px, height_px), rotate_deg)

    return CaptureCamera(
        source(config, clock, stop),
        clock,
        table.fps,
        rotate_deg=rotate_deg,
        masks=table.privacy_masks,
        least_scale=scale,
        lockstep=table.pace == "max",
        stall_s=_stall_s(table),
    )


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


def outbox(config: Config, folder: StateFolder, clock: Clock, spec: ModelSpec) -> DurableOutbox:
    """The event queue, open.

    Raises:
        ConfigError: it is from a newer edged.
    """
    table = config.outbox
    return DurableOutbox(
        folder.path / table.path,
        clock,
        board.boot_id(),
        f"{spec.name}@{spec.sha256[:8]}",
        max_rows=table.max_rows,
        max_bytes=table.max_bytes,
        max_age_s=table.max_age_s,
        keep_delivered_s=table.keep_delivered_s,
    )


def broker(config: Config, topics: wire.Topics, clock: Clock) -> PahoBroker:
    """The connection, not yet begun."""
    mqtt = config.mqtt
    secure = mqtt.tls and tls.context(
        mqtt.tls.ca_file, mqtt.tls.cert_file, mqtt.tls.key_file, mqtt.tls.strict, mqtt.tls.server_name
    )
    filters = [topics.info]
    if mqtt.commands:
        filters += commands.filters(topics)
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
        password=config.password(),
        clock=clock,
        tls=secure or None,
        filters=filters,
    )


def announcement(
    config: Config,
    topics: wire.Topics,
    rules: Sequence[Rule],
    model: str,
    root: StateFolder,
    publisher: MqttPublisher,
    clock: Clock,
) -> Announcement | None:
    """What Home Assistant is told, None where discovery is off; also has cleared what earlier configurations left.

    Args:
        root: the state root. What was announced is remembered by configuration file and not by device: a device that
            was renamed must be found again.
    """
    mqtt, names = config.mqtt, [rule.name for rule in rules]
    name = f"announced-{hashlib.sha256(str(config.path.resolve()).encode()).hexdigest()[:12]}.json"
    kept, now, removed = root.read(name), {}, {}
    removal = homeassistant.removal(config.device.name, discovery_prefix=mqtt.discovery_prefix)
    topic = removal.topic if mqtt.discovery_prefix else ""
    if topic:
        now = homeassistant.components(config.device.name, topics, rules, commands=mqtt.commands)
        removed = homeassistant.gone(leftovers.announced(kept, topics), now)
    for stale in leftovers.stale(kept, topics, names, topic):
        publisher.retain(Message(stale, b"", 1, retain=True))

    def remember(old: Mapping[str, homeassistant.Component]) -> None:
        root.write(name, leftovers.record(topics, names, topic, {**old, **now}))

    remember(removed)

    def make(back: bool) -> Message:
        return homeassistant.discovery(
            config.device.name,
            config.device.title or config.device.name,
            topics,
            rules,
            edged.__version__,
            model,
            discovery_prefix=mqtt.discovery_prefix,
            commands=mqtt.commands,
            gone=removed,
            back=back,
        )

    if not topic:
        return None
    return Announcement(
        make,
        publisher,
        clock,
        has_removed=any(len(component) > 1 for component in removed.values()),
        remember=lambda: remember(homeassistant.tombstones(removed)),
        birth_topic=mqtt.birth_topic,
    )
