"""What the service's sandbox refuses, tried from within it; and what leaves the board, seen from outside of it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.vm.appliance import Appliance
from tests.vm.hardware import INSIDE
from tests.vm.pcap import destinations

PROGRAM = "/run/tests/probe.py"
UNIT = "edged@probe.service"
TRIAL = "edged@trial.service"
PROVEN = "/var/lib/edged/proven.json"
OUTSIDE, PRIVATE = "203.0.113.9", "10.0.2.2"
"""As inside/probe.py has them."""
NOT_WRITABLE = (
    "/", "/etc", "/usr", "/usr/lib/edged", "/var/lib", "/boot/firmware", "/home", "/root", "/run", "/run/lock", "/tmp",
    "/var/tmp", "/dev/shm", "/var/log", "/opt",
)  # fmt: skip
READ_ONLY = ("/", "/etc", "/usr", "/usr/lib/edged", "/var/lib", "/run", "/run/lock", "/var/log", "/opt")
"""Of those, where not the user but the sandbox is in the way, whoever the user is."""
EXECUTABLE_MEMORY = ("map writable and executable", "make a writable page executable", "map a memfd as a program")
FILES = ("run a file of the state folder", "run a file of the runtime folder")
CALLS = ("ptrace", "keyctl", "bpf", "set the clock", "packet socket")
DEVICES = ("open /dev/vda", "open /dev/mem")

Record = Callable[[str, str], None]
Found = dict[str, str]


@pytest.fixture(scope="module")
def found(appliance: Appliance) -> Found:
    """What the probe found, as an instance of the service with its own program in the very same unit."""
    appliance.machine.write(PROGRAM, (INSIDE / "probe.py").read_text(encoding="utf-8"))
    appliance.run("cp /etc/edged/edged.toml /etc/edged/edged@probe.toml")
    # A network that leads nowhere tells of no router. With one, the sandbox alone is in the way.
    appliance.run(f"ip route add default via {PRIVATE}")
    run_instead(appliance, UNIT, f"/usr/bin/python3 {PROGRAM}", "StandardOutput=file:/run/tests/found.json")
    assert appliance.show("Result", UNIT) == "success", appliance.journal(UNIT)
    found: Found = json.loads(appliance.run("cat /run/tests/found.json"))
    return found


def run_instead(appliance: Appliance, unit: str, command: str, line: str = "") -> None:
    """Runs a command where the unit would run the daemon, to its end."""
    appliance.drop_in(
        f"""
        [Service]
        Type=exec
        ExecStart=
        ExecStart={command}
        Restart=no
        {line}
        """,
        unit,
    )
    appliance.run(
        f"systemctl start {unit}; until [[ $(systemctl is-active {unit}) == @(inactive|failed) ]]; do sleep 0.5; done"
    )


def test_nothing_but_the_state_and_runtime_folders_can_be_written(found: Found, record: Record) -> None:
    allowed = {name for name, answer in found.items() if name.startswith("write ") and answer == "allowed"}
    refused = {name.removeprefix("write ") for name in found if name.startswith("write ")} - {
        name.removeprefix("write ") for name in allowed
    }
    assert allowed == {"write /var/lib/edged", f"write /run/{UNIT.removesuffix('.service')}"}
    assert refused == set(NOT_WRITABLE)
    assert {folder: found[f"write {folder}"] for folder in READ_ONLY} == dict.fromkeys(READ_ONLY, "EROFS")
    record("writes elsewhere", f"refused in {len(refused)} folders: {', '.join(sorted(refused))}")


def test_nothing_that_was_written_can_be_run(found: Found, record: Record) -> None:
    answers = {name: found[name] for name in (*EXECUTABLE_MEMORY, *FILES)}
    assert set(answers.values()) <= {"EPERM", "EACCES"}
    record("code of one's own", _listed(answers))


def test_other_processes_keys_and_devices_are_out_of_reach(found: Found, record: Record) -> None:
    answers = {name: found[name] for name in (*CALLS, *DEVICES, "read the password file")}
    assert set(answers.values()) <= {"EPERM", "EACCES", "EAFNOSUPPORT", "ENOENT", "ENXIO"}
    assert found["ptrace"] == found["keyctl"] == "EPERM"
    record("ptrace, keys, devices", _listed(answers))


def test_no_packet_leaves_for_an_address_outside_the_house(appliance: Appliance, found: Found, record: Record) -> None:
    network = appliance.machine.hardware.network
    assert network is not None
    assert network.capture is not None
    addresses = destinations(network.capture)
    assert found["udp inside"] == "allowed"
    assert addresses[PRIVATE] > 0  # the capture does see what is sent
    assert found["udp outside"] == "EPERM"
    assert found["tcp outside"] == "timeout"
    assert addresses[OUTSIDE] == 0
    record(
        "connection outside the allow-list",
        f"UDP {found['udp outside']}, TCP {found['tcp outside']}; of {sum(addresses.values())} packets that the board "
        f"sent, {addresses[OUTSIDE]} to it, {addresses[PRIVATE]} to a private address",
    )


def test_a_model_that_was_never_loaded_is_tried_in_a_process_of_its_own(appliance: Appliance, record: Record) -> None:
    appliance.run(f"""
        own=/var/lib/edged/models/own-int8
        install -d -o edged -g edged ${{own%/*}}
        cp -r "$(find /usr -type d -name shapes-int8 | head -n 1)" "$own"
        sed -i 's/^name = .*/name = "own-int8"/' "$own/model.toml"
        sed 's/^name = "shapes-int8"/name = "own-int8"/' /etc/edged/edged.toml >/etc/edged/edged@trial.toml
        rm -f {PROVEN}""")
    command = "/usr/bin/edged check --config /etc/edged/%N.toml"
    run_instead(appliance, TRIAL, command)
    assert appliance.show("Result", TRIAL) == "success", appliance.journal(TRIAL)
    assert len(json.loads(appliance.run(f"cat {PROVEN}"))) == 1
    # The start of the flatbuffer, with the hash that the manifest then has to have.
    appliance.run(f"""
        cd /var/lib/edged/models/own-int8
        before=$(sha256sum <model.tflite | cut -d ' ' -f 1)
        printf '\\377\\377\\377\\177' | dd of=model.tflite bs=1 conv=notrunc status=none
        sed -i "s/$before/$(sha256sum <model.tflite | cut -d ' ' -f 1)/" model.toml
        systemctl reset-failed {TRIAL} || true""")
    run_instead(appliance, TRIAL, command)
    assert appliance.show("ExecMainStatus", TRIAL) == "78", appliance.journal(TRIAL)
    assert any("own-int8/model.tflite: " in line for line in appliance.journal(TRIAL)[-5:]), appliance.journal(TRIAL)
    record(
        "model never loaded", "tried in a process of its own within the sandbox; a damaged one ends with exit code 78"
    )


def _listed(answers: Found) -> str:
    return "; ".join(f"{name}: {answer}" for name, answer in answers.items())
