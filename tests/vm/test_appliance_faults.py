"""Parts of the running daemon fail for good: the watchdog or a limit ends it, it comes back, and it says why."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.vm.appliance import Appliance
from tests.vm.hardware import INSIDE

PROGRAM = "/run/tests/faults.py"

Record = Callable[[str, str], None]


@pytest.fixture(scope="module")
def faulty(appliance: Appliance) -> Appliance:
    """The service with a composition root that can be made to fail; the unit is the image's, but for its program."""
    appliance.machine.write(PROGRAM, (INSIDE / "faults.py").read_text(encoding="utf-8"))
    appliance.drop_in(f"""
        [Service]
        ExecStart=
        ExecStart=/usr/bin/python3 {PROGRAM} /etc/edged/edged.toml
    """)
    after = appliance.mark("pipeline")
    appliance.run("systemctl restart edged.service")
    appliance.wait_for_state("running", after)
    return appliance


@pytest.mark.parametrize(
    ("fault", "row", "word"),
    [
        ("inference", "inference made to hang", "watchdog"),
        ("network", "network thread made to die, again and again", "network thread"),
        ("memory", "anonymous memory grown past the limit", "memory"),
    ],
)
def test_a_part_that_fails_is_restarted_and_the_reason_is_told(
    faulty: Appliance, record: Record, fault: str, row: str, word: str
) -> None:
    faulty.wait_until("running")
    restarts, told, states = int(faulty.show("NRestarts")), faulty.mark("info"), faulty.mark("pipeline")
    faulty.run(f"install -o edged -m 600 /dev/stdin /run/edged/fault <<<{fault}; date +%s.%N >/run/tests/began")

    def restarted(info: dict[str, dict[str, str] | None]) -> bool:
        last = info["last_exit"]
        return last is not None and word in last["reason"]

    info = faulty.wait_for("info", restarted, told)
    faulty.wait_for_state("running", states)
    down_s = faulty.clock_s() - float(faulty.run("cat /run/tests/began"))
    assert int(faulty.show("NRestarts")) > restarts
    record(row, f"restarted; running again {down_s:.0f} s later; `last_exit.reason`: “{info['last_exit']['reason']}”")
