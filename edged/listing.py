"""The cameras of this machine, by the names that a configuration takes.

Law: asks devices what they are and changes nothing, so that a camera that is in use can be listed, too. What is no
camera is left out: metadata nodes, codecs, and the receivers of CSI cameras, which go by another name.
"""

from __future__ import annotations

import errno
import fcntl
import grp
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edged.edges.camera_picamera2 import INSTALL, csi_cameras
from edged.edges.camera_v4l2_choice import is_readable
from edged.edges.camera_v4l2_device import Device, Format, Ioctl, examine, find_nodes

ROOT = Path("/")
USUAL_SIZE = (640, 480)
"""Asked for where a driver has sizes by range."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One camera.

    Attributes:
        source: the value for `[camera] source`.
        name: as the camera calls itself.
        formats: what it delivers; empty for a CSI camera, whose image processor makes every size.
    """

    source: str
    name: str
    driver: str
    formats: tuple[Format, ...] = ()

    def as_object(self) -> dict[str, Any]:
        """The same for JSON.

        Returns:
            `source`, `name`, `driver` and `formats`, a list of objects: `format` (four characters), `usable` (whether
            edged can read it), `sizes` (a list of `width_px`, `height_px`, `fps` from low to high, and `fps_is_range`,
            which says that `fps` are the two ends of a range), and `size_range`, null or `width_px` and `height_px`
            with [least, most, step] each.
        """
        formats = [_format_object(one) for one in self.formats]
        return {"source": self.source, "name": self.name, "driver": self.driver, "formats": formats}


@dataclass(frozen=True, slots=True)
class Listing:
    """What was found.

    Attributes:
        notes: sentences for a person: what could not be asked, and what to do.
    """

    cameras: tuple[Listed, ...]
    notes: tuple[str, ...]


def cameras(
    root: Path = ROOT, ioctl: Ioctl = fcntl.ioctl, csi: Callable[[], Sequence[tuple[int, str]]] = csi_cameras
) -> Listing:
    """Every camera, USB and CSI.

    Args:
        root: above /dev and /sys.
        csi: the index and the sensor's name of every CSI camera.
    """
    found, notes, denied = list[Listed](), list[str](), list[Path]()
    receivers = set[str]()
    for node in find_nodes(root):
        try:
            device = examine(node, *USUAL_SIZE, ioctl)
        except PermissionError:
            denied.append(node)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTTY):
                notes.append(f"{node}: cannot be asked what it is: {error.strerror}")
        else:
            if device.kind == "camera":
                found.append(_listed(node, device))
            elif device.kind == "receiver":
                receivers.add(device.driver)
    ribbon = [Listed(f"picamera2:{index}", model, "libcamera") for index, model in csi()]
    if receivers and not ribbon:
        notes.append(
            f"there is a receiver of CSI cameras ({', '.join(sorted(receivers))}), but picamera2 lists none: they go "
            f"by picamera2:INDEX, which needs {INSTALL}"
        )
    if denied:
        notes.append(_denied(root, denied))
    return Listing((*found, *ribbon), tuple(notes))


def _listed(node: Path, device: Device) -> Listed:
    return Listed(f"v4l2:{node}", device.card or device.driver, device.driver, device.formats)


def _denied(root: Path, nodes: Sequence[Path]) -> str:
    names, groups = list[str](), set[str]()
    for node in nodes:
        device = node.resolve()
        try:
            name = (root / "sys/class/video4linux" / device.name / "name").read_text(errors="replace").strip()
        except OSError:
            name = device.name
        names.append("".join(one if one.isprintable() else "?" for one in name))
        groups.add(_group(device))
    count = f"{len(nodes)} {'device' if len(nodes) == 1 else 'devices'}"
    return (
        f"no permission to open {count} ({', '.join(dict.fromkeys(names))}): let your user be in the group "
        f"{' and '.join(sorted(groups))} (sudo usermod -aG {','.join(sorted(groups))} NAME, then log in again)"
    )


def _group(device: Path) -> str:
    """The group that may open it; before udev has seen a device it is root's, and will be video's."""
    try:
        name = device.group()
    except (OSError, KeyError):
        return "video"
    return "video" if name == grp.getgrgid(0).gr_name else name


def _format_object(one: Format) -> dict[str, Any]:
    span = one.span
    return {
        "format": one.fourcc.strip(),
        "usable": is_readable(one.fourcc),
        "sizes": [
            {
                "width_px": size.width_px,
                "height_px": size.height_px,
                "fps": list(size.rates_hz),
                "fps_is_range": size.any_rate,
            }
            for size in one.sizes
        ],
        "size_range": span and {"width_px": list(span.width_px), "height_px": list(span.height_px)},
    }
