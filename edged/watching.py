"""What a person does with a broker: look at what devices say, and take away what one has left there.

Part of the composition root. Nothing of the daemon runs here: no camera, no model, no session and no will.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Mapping
from queue import Empty, Queue

from edged.config import Config
from edged.core import wire
from edged.core.errors import EdgedError
from edged.edges import tls
from edged.edges.clock import SystemClock
from edged.edges.mqtt import WILL_DELAY_S
from edged.edges.mqtt_subscriber import Subscriber

POLL_S = 0.2
BACKLOG = 10_000
"""Messages between the network and a reader that is slower; beyond it the broker waits."""

ANSWER_S = 15.0
ECHO_S = 0.5
ROUNDS = 5
LAST_WORD_S = WILL_DELAY_S + 2.0
"""A daemon that was stopped just now is online for the broker until the will delay is over, and offline then."""
DISCOVERY_PREFIX = "homeassistant"


def watch(
    config: Config,
    all_devices: bool,
    stop: threading.Event,
    on_message: Callable[[str, bytes, bool], None],
    on_state: Callable[[str | None], None],
) -> bool:
    """Shows what one device says, or every device below the prefix, until `stop` is set.

    Args:
        on_message: gets topic, payload and the retain flag; in the caller's thread, as `on_state`.
        on_state: gets None when it listens, and a sentence when it does not; only when that changes.

    Returns:
        Whether the broker ever let it listen.
    """
    waiting: Queue[Callable[[], None]] = Queue(BACKLOG)
    ever = threading.Event()

    def heard(topic: str, payload: bytes, retained: bool) -> None:
        waiting.put(functools.partial(on_message, topic, payload, retained))

    def changed(text: str | None) -> None:
        if text is None:
            ever.set()
        waiting.put(functools.partial(on_state, text))

    subscriber = viewer(config, [watched(config, all_devices)], heard, changed)
    subscriber.start(0.0)
    try:
        while not stop.is_set():
            with contextlib.suppress(Empty):
                waiting.get(timeout=POLL_S)()
    finally:
        subscriber.stop()
    return ever.is_set()


def watched(config: Config, all_devices: bool) -> str:
    """The filter of what `watch` shows."""
    return f"{config.mqtt.topic_prefix}/{'+' if all_devices else config.device.name}/#"


def forget(config: Config, say: Callable[[str], None], last_word_s: float = LAST_WORD_S) -> int:
    """Takes everything retained of the configured device off the broker, its description for Home Assistant included.

    Args:
        say: gets what a person should know besides.
        last_word_s: how long to wait for the broker's `offline` of a daemon that was online.

    Returns:
        How many topics held something and hold nothing now.

    Raises:
        EdgedError: the broker cannot be reached, or does not let this login read and clear the device's topics.
    """
    topics = wire.Topics(config.mqtt.topic_prefix, config.device.name)
    # A description that was left there before discovery was switched off is this device's, too.
    description = f"{config.mqtt.discovery_prefix or DISCOVERY_PREFIX}/device/edged_{config.device.name}/config"
    cleared: set[str] = set()
    for _ in range(ROUNDS):
        found, is_online = _clear_once(config, topics, description, say)
        if is_online:
            _await_last_word(config, topics, last_word_s)
        elif not found:
            return len(cleared)
        cleared |= found
    raise EdgedError(f"what is retained under {topics.root} comes back at once; stop the daemon, then try again")


def _clear_once(
    config: Config, topics: wire.Topics, description: str, say: Callable[[str], None]
) -> tuple[set[str], bool]:
    """Clears what is retained at this moment: the topics, and whether the device was online for the broker.

    A broker may show less than all of it at a time.
    """
    retained: dict[str, bytes] = {}
    complete, answered = threading.Event(), threading.Event()
    trouble: list[str] = []

    def heard(topic: str, payload: bytes, is_retained: bool) -> None:
        if is_retained and payload:
            retained[topic] = payload
        elif topic == topics.availability and not payload:
            complete.set()

    def changed(text: str | None) -> None:
        if text is not None:
            trouble.append(text)
        answered.set()

    subscriber = viewer(config, [f"{topics.root}/#", description], heard, changed)
    try:
        subscriber.start(0.0)
        answered.wait(ANSWER_S)
        if trouble or not answered.is_set():
            raise EdgedError(trouble[0] if trouble else "the broker does not answer; check [mqtt] host and port")
        _await_all(subscriber, topics, complete)
        is_online = retained.get(topics.availability) == wire.ONLINE
        if is_online:
            say(
                "the daemon is running or was until just now (its availability is online): of a running one, what is "
                "cleared comes back when it connects anew"
            )
        found = dict(retained)
        own = {topic for topic in found if topic == topics.root or topic.startswith(f"{topics.root}/")}
        others = {description} if config.mqtt.discovery_prefix or description in found else set()
        _expect(subscriber.clear(sorted(own | others), ANSWER_S))
    finally:
        subscriber.stop()
    return own | (others & found.keys()), is_online


def _await_last_word(config: Config, topics: wire.Topics, seconds: float) -> None:
    """Waits for the broker's `offline`, which it would leave retained where everything was cleared."""
    said = threading.Event()

    def heard(_topic: str, payload: bytes, _retained: bool) -> None:
        if payload == wire.OFFLINE:
            said.set()

    subscriber = viewer(config, [topics.availability], heard, lambda _: None)
    try:
        subscriber.start(ANSWER_S)
        said.wait(seconds)
    finally:
        subscriber.stop()


def _await_all(subscriber: Subscriber, topics: wire.Topics, complete: threading.Event) -> None:
    """MQTT has no word for "that was all that is retained". What we publish ourselves comes back behind it.

    Said again and again: a broker whose queue for us is full of retained messages drops what comes on top.
    """
    for _ in range(round(ANSWER_S / ECHO_S)):
        _expect(subscriber.clear([topics.availability], ANSWER_S))
        if complete.wait(ECHO_S):
            return
    raise EdgedError(
        f"what this login publishes on {topics.availability} does not come back to it; expected one that may read and "
        f"write {topics.root}/#"
    )


def _expect(refused: Mapping[str, str]) -> None:
    for topic, reason in refused.items():
        raise EdgedError(f"the broker does not clear {topic} ({reason}); expected a login that may publish there")


def viewer(
    config: Config,
    topics: list[str],
    on_message: Callable[[str, bytes, bool], None],
    on_state: Callable[[str | None], None],
) -> Subscriber:
    """A connection for a person, not yet begun; what the callbacks get says `watch`."""
    mqtt = config.mqtt
    context = None
    if mqtt.tls is not None:
        files = (mqtt.tls.ca_file, mqtt.tls.cert_file, mqtt.tls.key_file)
        context = tls.context(*files, mqtt.tls.strict, mqtt.tls.server_name)
    return Subscriber(
        mqtt.host,
        mqtt.port,
        mqtt.protocol,
        topics,
        on_message,
        username=mqtt.username,
        password=config.password(),
        tls=context,
        keepalive_s=mqtt.keepalive_s,
        on_state=on_state,
        is_clock_synced=SystemClock().is_synced,
    )
