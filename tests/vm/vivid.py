"""The two ends of a camera in the machine: the kernel's test driver, and edged's camera edge that looks at it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from tests.vm.machine import Machine, MachineError

CAMERA = "/dev/video0"
OUTPUT = "/dev/video1"
"""A V4L2 device that takes pictures and gives none."""
OPTIONS = {"n_devs": "2", "node_types": "0x1,0x100", "num_inputs": "1", "input_types": "0"}
LOAD = " ".join(["modules_load=vivid", *(f"vivid.{name}={value}" for name, value in OPTIONS.items())])
"""Words for the kernel that have systemd load it at the start of the machine."""
LOOK_LIMIT_S = 240.0

Look = dict[str, Any]


class Vivid:
    """vivid with one webcam, `CAMERA`, and one video output, `OUTPUT`.

    Args:
        tool: how v4l2-ctl is called in the machine.
    """

    def __init__(self, machine: Machine, tool: str = "v4l2-ctl") -> None:
        self._machine = machine
        self._tool = tool

    def reset(self) -> None:
        """Loads it if it is not there, and takes back what a test has set.

        Like a USB camera it then stamps a picture with the start of its exposure.
        """
        self._machine.run(f"""
            modprobe vivid {" ".join(f"{name}={value}" for name, value in OPTIONS.items())}
            [[ -e /sys/bus/platform/drivers/vivid/vivid.0 ]] || echo vivid.0 >/sys/bus/platform/drivers/vivid/bind
            udevadm settle
            {self._tool} -d {CAMERA} -c percentage_of_dropped_buffers=0 -c timestamp_source=1 \\
                -c test_pattern=0 -c osd_text_mode=0 -c brightness=128 -c horizontal_movement=3""")

    def set(self, control: str, value: int = 1) -> None:
        """Sets a control; those that inject an error are pressed by setting them to 1."""
        self._machine.run(f"{self._tool} -d {CAMERA} -c {control}={value}")

    def unplug(self) -> None:
        """The device vanishes, also under a program that has it open."""
        self._machine.run(f"echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind; udevadm settle; [[ ! -e {CAMERA} ]]")

    def plug(self) -> None:
        self._machine.run("echo vivid.0 >/sys/bus/platform/drivers/vivid/bind; udevadm settle")

    def unload(self) -> None:
        self._machine.run(f"modprobe -r vivid; udevadm settle; [[ ! -e {CAMERA} ]]")

    @contextlib.contextmanager
    def used_by_another_program(self) -> Iterator[None]:
        """Inside, v4l2-ctl streams from it."""
        self._machine.run(f"""
            {self._tool} -d {CAMERA} --stream-mmap --stream-count=0 --stream-to=/dev/null >/run/other.log 2>&1 &
            echo $! >/run/other.pid
            until [[ -s /run/other.log ]]; do kill -0 $! || exit 1; sleep 0.2; done
            sleep 0.2; kill -0 $!""")
        try:
            yield
        finally:
            self._machine.run('kill "$(</run/other.pid)"')

    def settings(self) -> str:
        """What the driver says it delivers: format, size and rate."""
        return self._machine.run(f"{self._tool} -d {CAMERA} --get-fmt-video --get-parm")


class WatchedCamera:
    """edged's `CaptureCamera` on a `V4l2Source` in the machine, see inside/camera.py."""

    def __init__(self, machine: Machine) -> None:
        self._program = machine.start("cd /checkout && python3 -m tests.vm.inside.camera")

    def open(
        self,
        path: str = CAMERA,
        width_px: int = 320,
        height_px: int = 180,
        fps: float = 10.0,
        longest_wait_s: float = 5.0,
        judged: bool = False,
    ) -> None:
        """Begins to look; what was looked at before ends. `judged`: whether it can be trusted is looked at, too."""
        options = {"path": path, "width_px": width_px, "height_px": height_px, "fps": fps}
        self._ask("open", **options, longest_wait_s=longest_wait_s, judged=judged)

    def close(self) -> None:
        self._ask("close")

    def mark(self) -> int:
        """The number of the latest look."""
        return int(self._ask("mark"))

    def wait_for(self, kind: str, after: int = 0) -> Look:
        """The first look of a kind after a number: "frame" or "blind".

        Raises:
            MachineError: none came.
        """
        look: Look | None = self._ask("wait", kind=kind, after=after, within_s=LOOK_LIMIT_S)
        if look is None:
            raise MachineError(f"no {kind} came, but {self.seen(after)[-3:]}")
        return look

    def frames(self, count: int, after: int = 0) -> list[Look]:
        """The next frames, with nothing else between them."""
        for _ in range(count):
            after = self.wait_for("frame", after)["number"]
        return [look for look in self.seen(0) if look["number"] <= after][-count:]

    def seen(self, after: int = 0) -> list[Look]:
        """All looks after a number."""
        looks: list[Look] = self._ask("seen", after=after)
        return looks

    def held(self) -> dict[str, Any]:
        """Open files, open video devices and threads of the program."""
        held: dict[str, Any] = self._ask("held")
        return held

    def _ask(self, do: str, **arguments: Any) -> Any:
        return self._program.ask(do=do, **arguments)["answer"]
