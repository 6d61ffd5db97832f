"""What people get wrong, on a running appliance: said over MQTT where there is a broker, and in the journal once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.delivery import Subscriber
from tests.vm.appliance import CONFIGURATION, Appliance, until

AWAY_S = 45
SECRET = "/etc/edged/broker-password"

Record = Callable[[str, str], None]


def new_lines(appliance: Appliance, before: int, words: str, unit: str = "edged.service") -> list[str]:
    """The lines of a unit's journal, beyond so many, that have these words."""
    return [line for line in appliance.journal(unit)[before:] if words in line]


def test_a_broker_that_is_away_is_told_once_and_waited_for(appliance: Appliance, record: Record) -> None:
    appliance.wait_until("running")
    before, events = len(appliance.journal()), appliance.heard.account.messages
    appliance.run("systemctl stop broker.service")
    appliance.move()
    appliance.run(f"sleep {AWAY_S}")
    lost = new_lines(appliance, before, "WARNING edged.publisher")
    assert appliance.heard.account.messages == events
    appliance.run("systemctl start broker.service")
    appliance.wait_for_events(4)
    back = new_lines(appliance, before, "connected to the broker")
    assert 1 <= len(lost) == len(set(lost)) <= len(("it ended", "it cannot be reached"))
    assert len(back) == 1
    record("missing broker", f"in the journal in {AWAY_S} s: “{'”, “'.join(lost)}”; then events again")


@pytest.fixture
def second(appliance: Appliance) -> Iterator[Subscriber]:
    """Another instance of the service, which has the same camera in its configuration."""
    appliance.machine.write("/etc/edged/edged@second.toml", CONFIGURATION.replace('"vm"', '"second"'))
    network = appliance.machine.hardware.network
    assert network is not None
    with Subscriber(network.broker_port, "edged/second") as heard:
        appliance.run("systemctl start edged@second.service")
        yield heard
        appliance.run("systemctl stop edged@second.service; rm /etc/edged/edged@second.toml")


def test_a_second_instance_on_one_camera_is_told_and_the_first_goes_on(
    appliance: Appliance, second: Subscriber, record: Record
) -> None:
    appliance.wait_until("running")
    before = appliance.mark("pipeline")
    until(lambda: any("camera_lost" in text for text in second.told.get("pipeline", ())))
    appliance.run("sleep 20")
    lines = [line for line in appliance.journal("edged@second.service") if "another program" in line]
    assert len(lines) == 1
    assert appliance.mark("pipeline") == before
    record("two instances on one camera", f"the second, {len(lines)} line in 20 s: “{lines[0]}”; the first goes on")


@pytest.mark.parametrize(("mode", "result"), [("644", "running"), ("600", "refused")])
def test_a_password_with_wrong_permissions_is_told(
    appliance: Appliance, record: Record, mode: str, result: str
) -> None:
    login = f'host = "localhost"\nusername = "vm"\npassword_file = "{SECRET}"\n'
    appliance.machine.write("/etc/edged/edged.toml", CONFIGURATION.replace('host = "localhost"\n', login))
    appliance.run(f"install -m {mode} /dev/stdin {SECRET} <<<secret")
    before, told = len(appliance.journal()), appliance.mark("health")
    appliance.run("systemctl restart edged.service || true")
    lines = new_lines(appliance, before, SECRET)
    state = appliance.show("ActiveState")
    if result == "running":
        appliance.wait_for(
            "health", lambda health: "secret_exposed" in [one["code"] for one in health["problems"]], told
        )
    appliance.machine.write("/etc/edged/edged.toml", CONFIGURATION)
    appliance.run("systemctl restart edged.service")
    assert len(lines) == 1
    assert state == {"running": "active", "refused": "failed"}[result]
    also = "; over MQTT: `secret_exposed`" if result == "running" else ""
    record(f"password file with mode {mode}", f"{result}; in the journal: “{lines[0]}”{also}")
