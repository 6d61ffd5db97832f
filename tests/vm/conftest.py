"""The machine that all tests here share, and its camera.

scripts/test-vm alone runs these tests: it makes the machine's disks and says where they are. Without it they are not
collected, since a start takes half a minute and a first build downloads Debian.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.disks import checkout_disk
from tests.vm.machine import Machine
from tests.vm.vivid import Vivid, WatchedCamera

if "EDGED_VM_SYSTEM" not in os.environ:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with the checkout and what edged depends on; `python3` in it finds both."""
    system = Path(os.environ["EDGED_VM_SYSTEM"])
    checkout = checkout_disk(system, tmp_path_factory.mktemp("checkout"))
    disks = {"checkout": checkout, "wheels": Path(os.environ["EDGED_VM_WHEELS"])}
    with Machine(system, disks, tmp_path_factory.mktemp("machine")) as machine:
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
