"""Every way in which TLS to a real mosquitto goes wrong, and the sentence that a person reads."""

from __future__ import annotations

import re
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edged.core.errors import ConfigError
from edged.core.types import Message
from edged.core.wire import MAX_SENTENCE_BYTES
from edged.edges import tls
from edged.edges.mqtt import PahoBroker
from edged.edges.mqtt_subscriber import Subscriber
from edged.ports import Connected
from tests.certificates import Authority, openssl
from tests.fakes import FakeClock, until
from tests.mosquitto import Mosquitto

LONG_AGO = ("20200101000000Z", "20210101000000Z")
SOME_DAY = ("20400101000000Z", "20410101000000Z")
LOOPBACK = "IP:127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "own")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "stranger")


@pytest.fixture
def broker(own_mosquitto: Callable[..., Mosquitto]) -> Callable[..., Mosquitto]:
    """Starts a broker with a certificate: broker(authority.sign(…), "require_certificate true", …)."""

    def start(pair: tuple[Path, Path], *lines: str) -> Mosquitto:
        made = own_mosquitto(f"certfile {pair[0]}", f"keyfile {pair[1]}", *lines)
        made.start()
        return made

    return start


def context(ca: Authority, pair: tuple[Path, Path] | None = None, **more: str | bool) -> tls.TlsContext:
    cert, key = (str(pair[0]), str(pair[1])) if pair else (None, None)
    values: dict[str, str | bool] = {"strict": True, **more}
    return tls.context(str(ca.file), cert, key, **values)  # type: ignore[arg-type]


def told(
    where: Mosquitto, tls_context: tls.TlsContext | None, *, host: str | None = None, clock_synced: bool = True
) -> str | None:
    """The first thing that a subscriber says: None for success, else its sentence."""
    said: list[str | None] = []
    subscriber = Subscriber(
        host or where.host,
        where.port,
        "5",
        ["a"],
        lambda *_: None,
        tls=tls_context,
        on_state=said.append,
        is_clock_synced=lambda: clock_synced,
    )
    subscriber.start(0.0)
    try:
        until(lambda: bool(said), 60.0)
    finally:
        subscriber.stop()
    sentence = said[0]
    assert sentence is None or (len(sentence.encode()) <= MAX_SENTENCE_BYTES and sentence.isprintable())
    # Sentences are published.
    assert sentence is None or not re.search(r"127\.0|localhost|/|_ssl\.c", sentence)
    return sentence


def test_a_broker_of_the_right_authority_and_name(broker, authority):
    where = broker(authority.sign("right", f"{LOOPBACK},DNS:broker.lan"))
    assert told(where, context(authority)) is None
    assert "names another host" in (told(where, context(authority), host="localhost") or "")
    assert told(where, context(authority, server_name="broker.lan"), host="localhost") is None
    assert "names another host" in (told(where, context(authority, server_name="192.0.2.1")) or "")


def test_a_broker_of_another_authority(broker, authority, stranger):
    where = broker(stranger.sign("other", LOOPBACK))
    assert "an authority that is not trusted here; set [mqtt.tls] ca_file" in (told(where, context(authority)) or "")
    in_store = tls.context(None, None, None, True)
    assert "an authority that is not trusted here" in (told(where, in_store) or "")


def test_a_certificate_may_be_trusted_by_itself(broker, authority):
    certificate, key = authority.sign("alone", LOOPBACK)
    where = broker((certificate, key))
    assert told(where, tls.context(str(certificate), None, None, True)) is None


def test_dates_are_told_apart_from_a_clock_that_is_not_set(broker, authority):
    expired = broker(authority.sign("expired", LOOPBACK, LONG_AGO))
    assert "has expired; have it made anew" in (told(expired, context(authority)) or "")
    young = broker(authority.sign("young", LOOPBACK, SOME_DAY))
    assert "is not valid yet" in (told(young, context(authority)) or "")
    for where in (expired, young):
        assert "the clock is not set yet" in (told(where, context(authority), clock_synced=False) or "")


def test_an_unset_clock_is_no_excuse_for_another_name(broker, authority):
    where = broker(authority.sign("named", "DNS:broker.lan"))
    assert "names another host" in (told(where, context(authority), clock_synced=False) or "")


def test_a_broker_that_wants_our_certificate(broker, authority, stranger):
    """Also in TLS 1.3, where it says so only after the handshake."""
    where = broker(authority.sign("asks", LOOPBACK), f"cafile {authority.file}", "require_certificate true")
    assert told(where, context(authority)) == (
        "the broker wants a certificate from this device; set cert_file and key_file in [mqtt.tls]"
    )
    old = context(authority)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert "it wants a certificate from this device" in (told(where, old) or "")
    assert "refuses the certificate of this device" in (told(where, context(authority, stranger.sign("us"))) or "")
    assert told(where, context(authority, authority.sign("us"))) is None


def test_strict_false_forgives_formal_faults_and_nothing_else(broker, authority, tmp_path):
    homemade = Authority(tmp_path / "homemade", formal=False)
    where = broker(homemade.sign("loose", LOOPBACK))
    sentence = told(where, context(homemade)) or ""
    assert "breaks a formal rule" in sentence
    assert "strict = false" in sentence
    lenient = context(homemade, strict=False)
    assert told(where, lenient) is None
    assert (lenient.verify_mode, lenient.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert "not trusted here" in (told(where, context(authority, strict=False)) or "")
    assert "names another host" in (told(where, lenient, host="localhost") or "")


def test_a_port_without_tls(mosquitto, authority):
    assert "is [mqtt] port its TLS port, usually 8883?" in (told(mosquitto, context(authority)) or "")


def test_a_port_with_tls_for_a_client_without(broker, authority):
    where = broker(authority.sign("shy", LOOPBACK))
    assert "[mqtt.tls] is needed" in (told(where, None) or "")


class OldServer:
    """TLS 1.1, which mosquitto cannot be limited to: openssl's own server."""

    host = "127.0.0.1"

    def __init__(self, pair: tuple[Path, Path]) -> None:
        openssl("version")
        options = ("-accept", "127.0.0.1:0", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
        self.process = subprocess.Popen(
            ["openssl", "s_server", *options, "-cert", str(pair[0]), "-key", str(pair[1])],
            stdin=subprocess.PIPE,  # it ends where there is none to read
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        listening = next(
            (found for line in self.process.stdout if (found := re.search(r"ACCEPT .*:(\d+)", line))), None
        )
        self.port = int(listening[1]) if listening else 0


@pytest.fixture
def old_server(authority: Authority) -> Iterator[OldServer]:
    server = OldServer(authority.sign("ancient", LOOPBACK))
    try:
        if not server.port:
            pytest.skip("this openssl has no TLS 1.1")
        yield server
    finally:
        server.process.kill()
        server.process.communicate()


def test_an_old_protocol_is_refused(old_server, authority):
    assert "at least TLS 1.2 is needed" in (told(old_server, context(authority)) or "")


def test_nothing_older_than_tls_1_2_and_no_unverified_broker():
    made = tls.context(None, None, None, True)
    assert made.minimum_version == ssl.TLSVersion.TLSv1_2
    assert (made.verify_mode, made.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_file_that_went_away_is_a_problem_of_the_configuration(tmp_path):
    with pytest.raises(ConfigError, match=r"\[mqtt\.tls\]: a file cannot be used \(No such file or directory\)"):
        tls.context(str(tmp_path / "none.pem"), None, None, True)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "the broker cannot be reached: Connection refused"),
        (TimeoutError("timed out"), "the broker cannot be reached: timed out"),
        (None, "the broker cannot be reached: NoneType"),
        (ssl.SSLError(1, "[SSL: NEWLY_INVENTED] (_ssl.c:1)"), "TLS to the broker fails (no reason given)"),
        (ssl.SSLCertVerificationError(1, "x"), "the broker's certificate is refused (no reason given)"),
    ],
)
def test_other_errors_have_a_sentence_too(error, sentence):
    assert tls.explain(error, clock_synced=True) == sentence


@pytest.mark.parametrize(("host", "name"), [("fe80::1%eth0", "fe80::1"), ("broker.lan.", "broker.lan"), (None, None)])
def test_a_name_is_asked_for_as_certificates_have_it(host, name):
    assert tls._without_zone(host) == name


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_connection_that_is_given_up_leaves_its_will(
    authority: Authority, broker, prefix: str, protocol: str
) -> None:
    where = broker(authority.sign("broker", LOOPBACK))
    will, clock, heard = Message(f"{prefix}/availability", b"offline", 1, True), FakeClock(), []
    ear = Subscriber(
        *(where.host, where.port, "5", [f"{prefix}/#"], lambda *how: heard.append(how[1])), tls=context(authority)
    )
    assert ear.start(60.0)
    device = PahoBroker(
        where.host, where.port, client_id=f"edged-{prefix}", protocol=protocol, keepalive_s=30, will=will,
        username=None, password=lambda: None, clock=clock, tls=context(authority), will_delay_s=1,
    )  # fmt: skip
    device.start()
    until(lambda: isinstance(device.poll(), Connected), 60.0)
    device.drop("the broker has not answered for 15 s", 1e6)
    try:
        until(lambda: heard == [b"offline"], 60.0)
    finally:
        ear.stop()
        device.stop(0)
