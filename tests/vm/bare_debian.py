"""The Debian that `tests/vm/build` unpacked, with edged from the checkout and a broker, to be put into service.

The daemon, the kernel and the file system are real; the service unit is a plain one.
"""

from __future__ import annotations

from pathlib import Path

from tests.daemon import write_config
from tests.drawn import story_clip
from tests.vm.appliance import free_port
from tests.vm.disks import checkout_disk, format_disk
from tests.vm.hardware import INSIDE, Drive, Hardware, Network
from tests.vm.machine import Machine
from tests.vm.power import Installation

FPS = 10
PREFIX = "power"
NETWORK = """
    modprobe virtio_net; udevadm settle
    for card in /sys/class/net/e*; do ip link set "${card##*/}" up; ip addr add 10.0.2.15/24 dev "${card##*/}"; done"""


def bare_debian(system: Path, wheels: Path, folder: Path) -> Installation:
    """Two and a half visits a second come and go before its camera, each with two events.

    Args:
        system, wheels: what `scripts/test-vm` made.
        folder: for the files of its other disks.
    """
    tree = folder / "device"
    tree.mkdir()
    clip = story_clip(tree / "visits.avi", [("circle", 2), ("background", 2)] * 25, fps=FPS)
    rules = [{"label": "circle", "delay_on_s": 0.0, "delay_off_s": 0.0}]
    write_config(tree / "edged.toml", f"file:{clip.name}", 1883, PREFIX, rules, fps=FPS)
    format_disk(tree, folder / "device.ext4")
    root = system / "root.ext4"
    drives = (
        Drive("root", root, "kept"),
        Drive("checkout", checkout_disk(system, folder)),
        Drive("wheels", wheels),
        Drive("device", folder / "device.ext4"),
    )
    hardware = Hardware(system / "vmlinuz", system / "initrd", "root", drives, network=Network(free_port()))
    return Installation(hardware, root, 0, "/var/lib/edged/test", f"{PREFIX}/test", _install, _reach)


def _reach(machine: Machine) -> None:
    machine.run(NETWORK)


def _install(machine: Machine) -> None:
    """From now on edged and the broker start by themselves at each start."""
    machine.run("""
        mkdir -p /etc/edged
        for disk in checkout:/checkout wheels:/usr/local/lib/python3.13/dist-packages device:/etc/edged; do
            echo "/dev/disk/by-id/virtio-${disk%%:*} ${disk##*:} ext4 ro 0 0" >>/etc/fstab
        done""")
    machine.write("/etc/mosquitto/conf.d/tests.conf", "listener 1883 0.0.0.0\nallow_anonymous true\n")
    machine.write("/etc/systemd/system/edged.service", (INSIDE / "edged.service").read_text(encoding="utf-8"))
    _reach(machine)
    machine.run("""
        systemctl daemon-reload && systemctl enable mosquitto edged && systemctl start mosquitto edged && exit
        journalctl -o cat --no-pager -u mosquitto -u edged | tail -n 20; exit 1""")
