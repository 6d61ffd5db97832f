"""The machines that tests here share: one for the camera edge alone, and the whole appliance.

scripts/test-vm alone runs these tests: it makes the machines' disks and says where they are. Without it they are not
collected, since a start takes half a minute and a first build downloads Debian.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.vm import results
from tests.vm.appliance import Appliance
from tests.vm.board import Board
from tests.vm.disks import checkout_disk
from tests.vm.hardware import Drive, Hardware
from tests.vm.machine import Machine
from tests.vm.vivid import Vivid, WatchedCamera

if "EDGED_VM_SYSTEM" not in os.environ:
    collect_ignore_glob = ["test_*.py"]
elif "EDGED_VM_IMAGE" not in os.environ:
    collect_ignore_glob = ["test_appliance_*.py"]


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with the checkout and what edged depends on; `python3` in it finds both."""
    system = Path(os.environ["EDGED_VM_SYSTEM"])
    checkout = checkout_disk(system, tmp_path_factory.mktemp("checkout"))
    drives = (
        Drive("root", system / "root.ext4", "forgotten"),
        Drive("checkout", checkout),
        Drive("wheels", Path(os.environ["EDGED_VM_WHEELS"])),
    )
    hardware = Hardware(system / "vmlinuz", system / "initrd", "root", drives)
    with Machine(hardware, tmp_path_factory.mktemp("machine")) as machine:
        machine.mount("checkout", "/checkout")
        machine.mount("wheels", "/usr/local/lib/python3.13/dist-packages")
        yield machine


@pytest.fixture(scope="session")
def watched(machine: Machine) -> WatchedCamera:
    """The program in the machine that looks through edged's camera; started once, since that takes seconds."""
    return WatchedCamera(machine)


@pytest.fixture
def vivid(machine: Machine) -> Vivid:
    """The kernel's test camera, in the state in which it is loaded."""
    vivid = Vivid(machine)
    vivid.reset()
    return vivid


@pytest.fixture
def camera(vivid: Vivid, watched: WatchedCamera) -> Iterator[WatchedCamera]:
    """No camera is open at the beginning, and none at the end."""
    try:
        yield watched
    finally:
        watched.close()


@pytest.fixture(scope="session")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    """The image that is tested, and the state that most tests go on from."""
    tools = Path(os.environ["EDGED_VM_SYSTEM"]) / "root.ext4"
    state = Path(os.environ["EDGED_VM_STATE"])
    return Board(Path(os.environ["EDGED_VM_IMAGE"]), tools, tmp_path_factory.mktemp("board"), state)


@pytest.fixture(scope="module")
def appliance(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    """One for the tests of a file, gone on from the saved state: it runs, and its scene is no event."""
    with board.restored(tmp_path_factory.mktemp("appliance")) as appliance:
        yield appliance


@pytest.fixture
def own_appliance(board: Board, tmp_path: Path) -> Iterator[Appliance]:
    """The same for one test alone, which may break it."""
    with board.restored(tmp_path) as appliance:
        yield appliance


@pytest.fixture
def record() -> Callable[[str, str], None]:
    """Keeps what a test measured, by the row of the table, for `benchmarks.appliance` to write down."""
    return results.record
