"""`edged doctor` on an appliance on which much is wrong at once: each trouble has its line, with what to do."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.vm.appliance import CONFIGURATION, Appliance

SECRET = "/etc/edged/broker-password"
LOGIN = f'host = "localhost"\nusername = "vm"\npassword_file = "{SECRET}"\n'

Record = Callable[[str, str], None]


def troubles(appliance: Appliance) -> dict[str, str]:
    """What the doctor calls a warning or a problem, by the name of its check; each says what to do."""
    told = json.loads(appliance.machine.attempt("edged doctor --json 2>/dev/null")[1])
    findings = [finding for finding in told["findings"] if finding["status"] in ("warning", "problem")]
    assert all(finding["advice"] for finding in findings), findings
    return {finding["check"]: finding["found"] for finding in findings}


def test_everything_that_is_wrong_has_its_line(own_appliance: Appliance, record: Record) -> None:
    own_appliance.machine.write("/etc/edged/edged@second.toml", CONFIGURATION.replace('"vm"', '"second"'))
    own_appliance.run("systemctl start edged@second.service")
    own_appliance.machine.write("/etc/edged/edged.toml", CONFIGURATION.replace('host = "localhost"\n', LOGIN))
    own_appliance.run(f"install -m 644 /dev/stdin {SECRET} <<<secret; systemctl stop broker.service")
    own_appliance.run("dd if=/dev/zero of=/var/lib/filler bs=1M 2>/dev/null || true; sync")
    own_appliance.vivid.unplug()
    found = troubles(own_appliance)
    for check in ("camera", "broker", "disk", "secrets", "instances"):
        assert check in found, found
    own_appliance.run("rm /var/lib/filler; sync; echo u >/proc/sysrq-trigger")
    own_appliance.run("until grep -q ' / ext4 ro' /proc/mounts; do sleep 0.2; done")
    found["read-only card"] = troubles(own_appliance)["disk"]
    words = "; ".join(
        f"{check}: “{found[check]}”" for check in ("broker", "camera", "disk", "read-only card", "secrets")
    )
    record("`edged doctor` with all of this wrong", words)
