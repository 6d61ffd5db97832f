"""No event is lost between the device and the broker, whatever happens to what lies between them.

A seeded tenth of what `python -m benchmarks.reliability` runs whole; each test prints what it ran.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import threading
import time

import pytest

from benchmarks import reliability
from tests.conftest import EMULATED
from tests.daemon import Daemon, write_config
from tests.delivery import Account, Rig, Subscriber
from tests.drawn import story_clip
from tests.fakes import until
from tests.network import Network

FULL = bool(os.environ.get("EDGED_FULL"))
WHOLE, SEED = (10 if FULL else 1), 1

pytestmark = [
    pytest.mark.skipif(EMULATED, reason="waits for brokers and networks; nothing in it depends on the processor"),
    pytest.mark.timeout(1800 if FULL else 300),
]


def test_every_event_arrives_through_cuts_outages_and_freezes(tmp_path, mosquitto):
    found = reliability.network(10 * WHOLE, 1000 * WHOLE, SEED, mosquitto.port, tmp_path)
    print(f"{found.faults} of 100 faults, {found.decided} of 10000 events, {found.late} late, {found.repeats} repeats")
    assert found.decided == 1000 * WHOLE
    assert found.seqs == list(range(1, found.decided + 1)), "no hole"
    assert found.in_order
    assert found.one_id_each
    assert "broker_lost" in found.problems


def test_what_waited_without_a_broker_follows_and_is_bounded(tmp_path, mosquitto):
    speed = reliability.SPEED / 2
    found = reliability.offline(6000 * WHOLE, 5000 * WHOLE, 20, speed, mosquitto.port, tmp_path)
    print(
        f"{found.decided} of 60000 events, kept {found.kept}, {found.per_s:.1f} a second, file {found.file_bytes} bytes"
    )
    assert found.kept == 5000 * WHOLE
    assert found.dropped >= 1000 * WHOLE, "what does not fit is counted"
    assert found.arrived == found.decided - found.dropped
    assert found.first_seq > 1000 * WHOLE, "the oldest go"
    assert found.in_order
    # As many a second and no more; the first second's helping and a slow machine are no fault.
    assert 5.0 < found.per_s < 22.0
    assert found.file_bytes < 500 * found.kept + 5 * 2**20
    assert found.live > 0


def test_live_events_overtake_the_backlog_of_a_running_daemon(tmp_path, mosquitto):
    found = reliability.live(1000, 60.0 if FULL else 3.0, mosquitto.port, tmp_path)
    print(f"{found.live} live events, median delay {found.p50_ms:.1f} ms; {found.per_s:.1f} late ones a second")
    assert found.live > 5
    assert 0 < found.drained < 22 * found.seconds + 20


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_broker_that_restarts_loses_nothing(tmp_path, own_mosquitto, prefix, protocol):
    """It forgets its clients; what it had not answered is sent again."""
    broker = own_mosquitto()
    broker.start()
    acknowledged = 0
    with Rig(tmp_path / "box", broker.port, prefix, speed=30.0, protocol=protocol) as rig:
        for _ in range(3):
            rig.decide(20)
            rig.run(lambda enough=acknowledged + 10: rig.outbox.acknowledged > enough)
            rig.decide(20)
            broker.stop()
            rig.run(lambda: rig.problem("broker_lost") is not None)
            rig.decide(20)
            acknowledged = rig.outbox.acknowledged
            broker.start()
        rig.run(rig.is_empty)
        assert rig.outbox.acknowledged == rig.decided == 180


def test_what_the_acl_refuses_is_named_and_set_aside_and_the_rest_flows(tmp_path, own_mosquitto, prefix):
    acl = tmp_path / "acl"
    acl.write_text(f"topic readwrite {prefix}/#\ntopic deny {prefix}/test/event/dog\n")
    broker = own_mosquitto(f"acl_file {acl}")
    broker.start()
    with Subscriber(broker.port, f"{prefix}/test") as subscriber, Rig(tmp_path / "box", broker.port, prefix) as rig:
        rig.run(lambda: bool(subscriber.words))
        rig.decide(2, "dog")
        rig.decide(2, "cat")
        rig.run(rig.is_empty)
        until(lambda: subscriber.account.seqs == [3, 4])
        assert "Not authorized" in (rig.problem("event_refused") or "")
        assert rig.outbox.counts().set_aside == 2
        # Allowed again: the next one there ends the problem, and a replay brings what was set aside.
        acl.write_text(f"topic readwrite {prefix}/#\n")
        broker.reload()
        rig.decide(2, "dog")
        rig.run(lambda: rig.is_empty() and rig.problem("event_refused") is None)
        assert rig.outbox.replay(1) == (1, 6, 6)
        rig.run(lambda: len(subscriber.account.first["backlog"]) == 6)
        assert subscriber.account.seqs == [1, 2, 3, 4, 5, 6]


def test_what_is_too_large_for_the_broker_is_named_and_holds_nothing_up(tmp_path, own_mosquitto, prefix):
    broker = own_mosquitto("message_size_limit 300")
    broker.start()
    with Subscriber(broker.port, f"{prefix}/test") as subscriber, Rig(tmp_path / "box", broker.port, prefix) as rig:
        rig.run(lambda: bool(subscriber.words))
        rig.decide(4)
        rig.run(lambda: rig.outbox.counts().set_aside == 4)
        assert "packet too large" in (rig.problem("event_refused") or "")
        assert rig.problem("broker_lost") is None
        assert rig.is_empty()


def test_a_broker_that_knows_only_3_1_1_is_named_with_its_remedy(tmp_path, prefix):
    """Mosquitto 2.0 cannot be told to be one: what it would answer is all that matters."""
    with socket.create_server(("127.0.0.1", 0)) as old:

        def answer() -> None:
            while True:
                try:
                    client, _ = old.accept()
                except OSError:
                    return
                client.recv(4096)
                client.sendall(b"\x20\x02\x00\x01")  # CONNACK: unacceptable protocol version
                client.close()

        threading.Thread(target=answer, daemon=True).start()
        with Rig(tmp_path / "box", old.getsockname()[1], prefix, speed=30.0) as rig:
            rig.decide(2)
            rig.run(lambda: "3.1.1" in (rig.problem("broker_lost") or ""))
            assert rig.outbox.counts().rows == 2
        old.shutdown(socket.SHUT_RDWR)


def test_a_daemon_behind_a_network_that_is_cut_and_frozen(tmp_path, mosquitto, prefix):
    """The same as a process, by the machine's own clock: one cut and one freeze, each until nothing comes any more."""
    clip = story_clip(tmp_path / "visits.avi", [("circle", 3), ("background", 3)], fps=30)
    rules = [{"label": "circle", "delay_on_s": 0.0, "delay_off_s": 0.0}]
    with Network(mosquitto.port) as link, Subscriber(mosquitto.port, f"{prefix}/test") as subscriber:
        config = write_config(tmp_path / "e.toml", f"file:{clip}", link.port, prefix, rules, fps=30)
        with Daemon(config, tmp_path / "state") as daemon:
            account = subscriber.account
            for fault in (functools.partial(link.cut, stays_down=True), link.freeze):
                seen = account.messages
                until(lambda seen=seen: account.messages >= seen + 10, 60)
                fault()
                until_quiet(subscriber)
                link.mend()
            seen = account.messages
            until(lambda: account.messages >= seen + 10, 60)
            assert daemon.stop() == 0
            last = json.loads(subscriber.told["state/circle"][-1])["seq"] or account.seqs[-1]
            until(lambda: account.seqs[-1] >= last)
    assert account.seqs == list(range(1, account.seqs[-1] + 1))
    assert account.is_in_order()
    assert account.has_one_id_each()


def until_quiet(subscriber: Subscriber) -> None:
    """Waits until nothing has arrived for half a second."""
    seen, since_s = -1, 0.0

    def quiet() -> bool:
        nonlocal seen, since_s
        if subscriber.account.messages != seen:
            seen, since_s = subscriber.account.messages, time.monotonic()
        return time.monotonic() - since_s > 0.5

    until(quiet, 60)


def test_an_account_finds_what_is_wrong():
    """The bookkeeping itself: holes, a wrong order and a second id are seen."""

    def told(*pairs):
        account = Account()
        for kind, seq, id_ in pairs:
            account.take(kind, {"log": "l", "seq": seq, "id": id_, "time": "2026-01-01T00:00:00Z"}, 0.0)
        return account

    good = told(("event", 1, "a"), ("event", 3, "c"), ("backlog", 2, "b"), ("event", 1, "a"))
    assert (good.seqs, good.repeats) == ([1, 2, 3], 1)
    assert good.is_in_order()
    assert good.has_one_id_each()
    assert not told(("event", 2, "b"), ("event", 1, "a")).is_in_order()
    assert not told(("event", 1, "a"), ("backlog", 1, "b")).has_one_id_each()
    assert not told(("event", 1, "a"), ("event", 2, "a")).has_one_id_each()
