"""`edged forget`: what a device left on a real broker goes, and nothing of anybody else."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import paho.mqtt.publish
import pytest

from edged.config import load
from edged.core.errors import EdgedError
from edged.edges.mqtt_subscriber import Subscriber
from edged.watching import forget
from tests.conftest import EMULATED
from tests.daemon import edged, write_config
from tests.fakes import until

PROCESS = pytest.mark.skipif(EMULATED, reason="starts processes, each of which takes seconds under emulation")


def written(tmp_path: Path, port: int, prefix: str, *more: str) -> Path:
    path = write_config(tmp_path / "e.toml", "file:clip.mp4", port, prefix, [{"label": "circle"}])
    path.write_text("\n".join((path.read_text(encoding="utf-8"), *more, "")), encoding="utf-8")
    return path


def discovery(prefix: str) -> str:
    """A discovery prefix of the test's own: the brokers are shared."""
    return f'discovery_prefix = "ha-{prefix}"'


def leave(port: int, *topics: str, **login: Any) -> None:
    messages = [{"topic": topic, "payload": b"x", "qos": 1, "retain": True} for topic in topics]
    paho.mqtt.publish.multiple(messages, hostname="127.0.0.1", port=port, **login)


def retained(port: int, *filters: str) -> set[str]:
    """What is retained: everything that comes before an answer to what we say ourselves."""
    import threading

    found: set[str] = set()
    done = threading.Event()
    mark = f"{filters[0].split('/')[0]}/mark"

    def heard(topic: str, _payload: bytes, is_retained: bool) -> None:
        found.add(topic) if is_retained else done.set()

    listener = Subscriber("127.0.0.1", port, "5", [*filters, mark], heard)
    assert listener.start(60.0)
    try:
        listener.clear([mark], 60.0)
        assert done.wait(60.0)
    finally:
        listener.stop()
    return found


@PROCESS
def test_everything_of_this_device_goes_and_nothing_else(mosquitto, prefix, tmp_path):
    own = [f"{prefix}/test/{rest}" for rest in ("availability", "info", "state/gone", "state/circle", "a/b/c")]
    description = f"ha-{prefix}/device/edged_test/config"
    others = {f"{prefix}/test2/availability", f"{prefix}/tes/state/circle", f"ha-{prefix}/device/edged_test2/config"}
    leave(mosquitto.port, *own, description, *others)
    config = written(tmp_path, mosquitto.port, prefix, discovery(prefix))
    done = edged("forget", "--config", config, state=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "cleared 6 retained topics of test\n", "")
    assert retained(mosquitto.port, f"{prefix}/#", f"ha-{prefix}/#") == others
    again = edged("forget", "--config", config, state=tmp_path)
    assert (again.returncode, again.stdout) == (0, "cleared 0 retained topics of test\n")


@PROCESS
def test_no_broker_is_one_sentence_and_exit_code_1(tmp_path, prefix, own_mosquitto):
    config = written(tmp_path, own_mosquitto().port, prefix)
    done = edged("forget", "--config", config, state=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "edged forget: the broker cannot be reached: Connection refused\n"


def clear(tmp_path: Path, port: int, prefix: str, *more: str) -> tuple[int, list[str]]:
    said: list[str] = []
    return forget(load(written(tmp_path, port, prefix, *more)), said.append, last_word_s=0.2), said


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_running_daemon_is_told_of(mosquitto, prefix, tmp_path, protocol):
    paho.mqtt.publish.single(
        f"{prefix}/test/availability", "online", qos=1, retain=True, hostname=mosquitto.host, port=mosquitto.port
    )
    count, said = clear(tmp_path, mosquitto.port, prefix, discovery(prefix), f'protocol = "{protocol}"')
    assert count == 1
    assert len(said) == 1
    assert "the daemon is running" in said[0]
    assert "comes back" in said[0]


def test_more_than_a_broker_shows_at_once(own_mosquitto, prefix, tmp_path):
    """A mosquitto drops what is retained beyond max_queued_messages, so it takes more than one look."""
    broker = own_mosquitto("max_queued_messages 50", "max_inflight_messages 10")
    broker.start()
    leave(broker.port, *(f"{prefix}/test/state/r{number}" for number in range(150)))
    count, _ = clear(tmp_path, broker.port, prefix)
    assert count == 150
    assert retained(broker.port, f"{prefix}/#") == set()


def test_a_description_from_before_discovery_was_switched_off_goes_too(own_mosquitto, prefix, tmp_path):
    broker = own_mosquitto()
    broker.start()
    leave(broker.port, "homeassistant/device/edged_test/config", "homeassistant/device/edged_porch/config")
    assert clear(tmp_path, broker.port, prefix, 'discovery_prefix = ""')[0] == 1
    assert retained(broker.port, "homeassistant/#") == {"homeassistant/device/edged_porch/config"}


def test_a_login_that_may_not_clear_is_told(own_mosquitto, prefix, tmp_path):
    rules = tmp_path / "acl"
    rules.write_text(f"topic readwrite {prefix}/test/availability\ntopic read {prefix}/test/#\n")
    rules.chmod(0o600)
    broker = own_mosquitto(f"acl_file {rules}")
    broker.start()
    with pytest.raises(EdgedError, match=r"does not clear ha-test-\w+/device/edged_test/config \(Not authorized\)"):
        clear(tmp_path, broker.port, prefix, discovery(prefix))


def test_the_last_word_of_a_daemon_that_was_stopped_just_now_goes_too(mosquitto, prefix, tmp_path):
    """Its availability is still online then, and the broker says offline only after the will delay."""
    topic, said = f"{prefix}/test/availability", threading.Event()
    paho.mqtt.publish.single(topic, "online", qos=1, retain=True, hostname=mosquitto.host, port=mosquitto.port)

    def last_word() -> None:
        # As the broker does with the will, once what was there is cleared.
        until(lambda: topic not in retained(mosquitto.port, f"{prefix}/#"))
        paho.mqtt.publish.single(topic, "offline", qos=1, retain=True, hostname=mosquitto.host, port=mosquitto.port)
        said.set()

    threading.Thread(target=last_word, daemon=True).start()
    forget(load(written(tmp_path, mosquitto.port, prefix)), lambda _: None, last_word_s=20.0)
    assert said.is_set()
    assert retained(mosquitto.port, f"{prefix}/#") == set()
