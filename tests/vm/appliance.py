"""The whole appliance in a virtual machine: the image with its service, vivid as its camera, a broker, and a listener.

Law: the image is what `image/build` made. A test may tell it what a person tells it (files on the FAT partition), what
an administrator may (drop-ins in /run), and nothing else; what tests need beside it comes from a disk of its own.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from paho.mqtt.publish import single

from tests.delivery import Subscriber
from tests.vm.hardware import INSIDE, Drive, Hardware, Network
from tests.vm.machine import Machine
from tests.vm.vivid import LOAD, Vivid

DEVICE = "vm"
MEMORY_MIB = 416
"""What a Raspberry Pi Zero 2 W leaves to Linux of its 512 MB."""
CONFIGURATION = f"""\
[device]
name = "{DEVICE}"

[camera]
source = "v4l2:/dev/video0"
width_px = 320
height_px = 180
fps = 5

[model]
name = "shapes-int8"
threads = 1

# What the moving colour bars look like to it, again and again, and the resting ones never.
[[rule]]
label = "square"
score_threshold = 0.1
release_threshold = 0.05
delay_on_s = 0.0
delay_off_s = 0.0

[mqtt]
host = "localhost"
"""
COUNTERS = 1
"""Of the control osd_text_mode."""
FAST_LEFT = 1
"""Of the control horizontal_movement."""
WORD_LIMIT_S = 240.0
"""For what comes by itself."""
TOOLS = "chroot /run/tools"


def hardware(kernel: tuple[Path, Path], card: Drive, tools: Path, folder: Path, **changes: Any) -> Hardware:
    """A board: the card, the disk with tools, and a network that leads to its broker alone.

    Args:
        kernel: kernel and initial RAM disk.
        folder: for a capture of the network.
        changes: other fields of `Hardware`.
    """
    values: dict[str, Any] = {
        "memory_mib": MEMORY_MIB,
        "network": Network(free_port(), folder / "network.pcap"),
        "words": LOAD,
        **changes,
    }
    return Hardware(*kernel, root="card:2", drives=(card, Drive("tools", tools)), **values)


class Appliance:
    """One running appliance, from `with` to its end, and what was heard of it.

    Attributes:
        heard: what its broker told; only what came after the appliance was entered.
    """

    heard: Subscriber

    def __init__(self, hardware: Hardware, folder: Path, root: str = f"edged/{DEVICE}") -> None:
        self.machine = Machine(hardware, folder)
        self.vivid = Vivid(self.machine, f"{TOOLS} v4l2-ctl")
        self._root = root

    def __enter__(self) -> Self:
        network = self.machine.hardware.network
        assert network is not None
        self.machine.__enter__()
        try:
            if self.machine.hardware.saved is None:
                equip(self.machine)
            self.heard = Subscriber(network.broker_port, self._root)
            self.heard.__enter__()
        except BaseException:
            self.machine.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.heard.__exit__()
        finally:
            self.machine.__exit__(kind, error, trace)

    def save(self, memory: Path) -> None:
        """Stops it for good and writes its running state; nobody's connection is part of it."""
        self.heard.__exit__()
        self.machine.save(memory)

    # -- what it says over MQTT ------------------------------------------------------------------------------------

    def told(self, topic: str) -> list[dict[str, Any]]:
        """Everything that was said on a topic below the device, oldest first."""
        return [json.loads(text) for text in list(self.heard.told.get(topic, ()))]

    def mark(self, topic: str) -> int:
        """How much was said on a topic so far."""
        return len(self.heard.told.get(topic, ()))

    def wait_for(
        self, topic: str, wanted: Callable[[dict[str, Any]], bool], after: int = 0, limit_s: float = WORD_LIMIT_S
    ) -> dict[str, Any]:
        """The first message of a topic, beyond so many, that is wanted."""
        found: list[dict[str, Any]] = []

        def came() -> bool:
            found[:] = [message for message in self.told(topic)[after:] if wanted(message)][:1]
            return bool(found)

        until(came, limit_s)
        return found[0]

    def wait_for_state(self, state: str, after: int = 0) -> dict[str, Any]:
        """The first `D/pipeline` of that state, beyond so many."""
        return self.wait_for("pipeline", lambda message: message["state"] == state, after)

    def wait_until(self, state: str) -> None:
        """Until the newest `D/pipeline` says so."""
        until(lambda: bool(self.told("pipeline")) and self.told("pipeline")[-1]["state"] == state)

    def wait_for_events(self, count: int) -> None:
        """Until so many more event messages came."""
        wanted = self.heard.account.messages + count
        until(lambda: self.heard.account.messages >= wanted)

    def ask(self, command: str, payload: str = "") -> None:
        """Sends a request to the daemon, as any client of its broker may."""
        network = self.machine.hardware.network
        assert network is not None
        single(f"{self._root}/request/{command}", payload, 1, hostname="127.0.0.1", port=network.broker_port)

    def still(self) -> None:
        """Colour bars at rest and a counter: never the very same picture for a minute, and never an event.

        Where movement stops, the bars stay; see `rest`.
        """
        self.vivid.reset()
        self.vivid.set("osd_text_mode", COUNTERS)

    def move(self) -> None:
        """Colour bars that run to the left: an event each time that they come by in the right place."""
        self.vivid.set("osd_text_mode", COUNTERS)  # a camera that was plugged in anew has its text back
        self.vivid.set("horizontal_movement", FAST_LEFT)

    def rest(self) -> None:
        """The camera shows a scene that is no event, from a stream that begins anew: movement begins at its start."""
        self.still()
        after = self.mark("pipeline")
        self.ask("pause", '{"seconds": 3600}')
        self.wait_for_state("paused", after)
        self.ask("resume")
        self.wait_for_state("running", after)

    # -- what it is told and asked inside ---------------------------------------------------------------------------

    def run(self, command: str) -> str:
        """A command of bash in it, as root: what it printed."""
        return self.machine.run(command)

    def clock_s(self) -> float:
        """Its wall clock."""
        return float(self.run("date +%s.%N"))

    def show(self, key: str, unit: str = "edged.service") -> str:
        """A property of a unit."""
        return self.run(f"systemctl show --value --property={key} {unit}")

    def journal(self, unit: str = "edged.service") -> list[str]:
        """What a unit said since the start of the machine, without times."""
        return self.run(f"journalctl --quiet --no-pager --output=cat --unit={unit} || true").splitlines()

    def drop_in(self, text: str, unit: str = "edged.service") -> None:
        """A drop-in that is gone with the machine's power; takes effect at the unit's next start."""
        self.machine.write(f"/run/systemd/system/{unit}.d/99-test.conf", text)
        self.run("systemctl daemon-reload")


def equip(machine: Machine) -> None:
    """Gives a machine that was just started what tests need and the image does not have; its broker listens."""
    machine.write("/run/tools.sh", (INSIDE / "tools.sh").read_text(encoding="utf-8"))
    machine.run("bash /run/tools.sh; until ss -tln | grep -q :1883; do sleep 0.2; done")


def until(condition: Callable[[], bool], limit_s: float = WORD_LIMIT_S) -> None:
    """Waits for something that the machine brings about, without taking much of the processor that it needs for that.

    Raises:
        AssertionError: it did not come.
    """
    never = threading.Event()
    end_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, f"not within {limit_s:g} s"
        never.wait(0.2)


def free_port() -> int:
    """A port of this machine's loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
