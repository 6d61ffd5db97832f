"""What the package's scripts do on a system that runs: the service is started anew, or left as its owner left it.

The package itself is installed, upgraded and removed by tests/deb, in a root without systemd. Here its scripts run as
dpkg calls them, after the files of a version are in their place and before they go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.vm.appliance import CONFIGURATION, DEVICE, Appliance
from tests.vm.board import Board

CONFIGURE = "/var/lib/dpkg/info/edged.postinst configure 0.0.1"
REMOVE = "/var/lib/dpkg/info/edged.prerm remove"
SECOND = "edged@second.service"
SECOND_CONFIGURATION = CONFIGURATION.replace(f'"{DEVICE}"', '"second"').replace("/dev/video0", "/dev/video9")
"""It waits for a camera that nobody has: two would have the one camera by turns."""

Record = Callable[[str, str], None]


@pytest.fixture(scope="module")
def owned(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    """An appliance of its own: units are switched off and on."""
    with board.restored(tmp_path_factory.mktemp("owned")) as appliance:
        appliance.wait_until("running")
        yield appliance


def test_an_upgrade_starts_what_runs_anew_and_keeps_the_events(owned: Appliance, record: Record) -> None:
    owned.machine.write("/etc/edged/edged@second.toml", SECOND_CONFIGURATION)
    owned.run(f"systemctl enable --now {SECOND}")
    before = [owned.show("MainPID", unit) for unit in ("edged.service", SECOND)]
    store, after = owned.told("info")[-1]["log"], owned.mark("pipeline")
    owned.run(CONFIGURE)
    owned.wait_for_state("running", after)
    now = [owned.show("MainPID", unit) for unit in ("edged.service", SECOND)]
    assert "0" not in now
    assert not set(now) & set(before)
    assert owned.told("info")[-1]["log"] == store
    record("upgrade", "both instances run anew, with the events that were there")


def test_a_service_that_was_switched_off_stays_off(owned: Appliance) -> None:
    owned.run("systemctl disable --now --quiet edged.service")
    owned.run(CONFIGURE)
    assert owned.show("ActiveState") == "inactive"
    assert owned.show("UnitFileState") == "disabled"
    owned.run("systemctl enable --now --quiet edged.service")


def test_a_removal_stops_every_instance(owned: Appliance) -> None:
    owned.run(REMOVE)
    assert [owned.show("ActiveState", unit) for unit in ("edged.service", SECOND)] == ["inactive", "inactive"]
    assert owned.told("pipeline")[-1]["state"] == "stopping"
