"""The image as it is flashed, with its own service, in front of a clip; its whole card is recorded.

The broker is a test's own, on a disk beside the card, and is started from outside at each start.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.daemon import write_config
from tests.drawn import story_clip
from tests.vm.appliance import equip, free_port, hardware
from tests.vm.card import Card, take_kernel
from tests.vm.disks import format_disk
from tests.vm.hardware import Drive, Network
from tests.vm.machine import Machine
from tests.vm.power import Installation

FPS = 10
PREFIX = "power"
SERVICE = """
    mkdir -p /run/scene
    for block in /sys/block/vd*; do
        [[ $(<"$block/serial") != scene ]] || mount -t ext4 -o ro "/dev/${block##*/}" /run/scene
    done
    install -m 644 /run/scene/visits.avi /srv/visits.avi
    install -D -m 644 /run/scene/edged.toml /etc/edged/edged.toml
    systemctl restart edged && exit
    journalctl -o cat --no-pager -u edged | tail -n 20; exit 1"""


def image_device(image: Path, tools: Path, folder: Path) -> Installation:
    """Two and a half visits a second come and go before its camera, each with two events.

    Args:
        image: as `image/build` made it.
        tools: the disk with the broker.
        folder: for the files of its other disks.
    """
    scene = folder / "scene"
    scene.mkdir()
    story_clip(scene / "visits.avi", [("circle", 2), ("background", 2)] * 25, fps=FPS)
    rules = [{"label": "circle", "delay_on_s": 0.0, "delay_off_s": 0.0}]
    write_config(scene / "edged.toml", "file:/srv/visits.avi", 1883, PREFIX, rules, fps=FPS)
    format_disk(scene, folder / "scene.ext4")
    card = Card(image)
    board = hardware(
        take_kernel(card, tools, folder), Drive("card", image, "kept"), tools, folder, network=Network(free_port())
    )
    board = replace(board, drives=(*board.drives, Drive("scene", folder / "scene.ext4")))
    place, topic = "/var/lib/edged/test", f"{PREFIX}/test"
    return Installation(board, image, card.root_offset_bytes, place, topic, _put_into_service, equip)


def _put_into_service(machine: Machine) -> None:
    equip(machine)
    machine.run(SERVICE)
