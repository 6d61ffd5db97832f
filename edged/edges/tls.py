"""TLS to the broker: the context that a connection uses, and what goes wrong with it in words.

Law: makes and explains, opens nothing. No sentence names a host, a file or what a certificate holds, because sentences
are published; each fits into `wire.MAX_SENTENCE_BYTES`. No setting here switches verification off.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from pathlib import Path
from typing import Any

from edged.core.errors import ConfigError

_AGAIN = (ssl.SSLWantReadError, ssl.SSLWantWriteError)

# Verification codes of OpenSSL 3, x509_vfy.h.
_NOT_YET_VALID, _EXPIRED = 9, 10
_UNTRUSTED = frozenset({2, 7, 18, 19, 20, 21, 27, 79})
_OTHER_NAME = frozenset({62, 64})
_FORMAL = frozenset(range(80, 95))
"""What X509_V_FLAG_X509_STRICT adds: rules on extensions that home-made authorities tend to lack."""

_UNSET_CLOCK = (
    "the clock is not set yet, so the dates in the broker's certificate cannot be judged; waiting for the time"
)
_PLAIN = "the broker answers without TLS; set [mqtt] port to its TLS port, usually 8883, or take [mqtt.tls] out"
_NO_ANSWER = "the broker ends the connection before TLS is set up; is [mqtt] port its TLS port, usually 8883?"
_OLD = "the broker speaks only an old TLS, and at least TLS 1.2 is needed; bring the broker up to date"
_WANTS_OURS = "the broker wants a certificate from this device; set cert_file and key_file in [mqtt.tls]"
_REFUSES_OURS = "the broker refuses the certificate of this device; set cert_file to one that it trusts"
_NO_AGREEMENT = (
    "the broker ends the TLS handshake: it wants a certificate from this device (cert_file, key_file), or there is no "
    "cipher that both accept"
)

# Part of OpenSSL's name for an error -> the sentence. The first that matches; the names differ a little by version.
_REASONS = (
    ("ALERT_CERTIFICATE_REQUIRED", _WANTS_OURS),
    ("ALERT_HANDSHAKE_FAILURE", _NO_AGREEMENT),
    ("ALERT_UNKNOWN_CA", _REFUSES_OURS),
    ("ALERT_BAD_CERTIFICATE", _REFUSES_OURS),
    ("ALERT_UNSUPPORTED_CERTIFICATE", _REFUSES_OURS),
    ("ALERT_CERTIFICATE_", _REFUSES_OURS),
    ("ALERT_PROTOCOL_VERSION", _OLD),
    ("UNSUPPORTED_PROTOCOL", _OLD),
    ("NO_PROTOCOLS_AVAILABLE", _OLD),
    ("WRONG_VERSION_NUMBER", _PLAIN),
    ("RECORD_LAYER_FAILURE", _PLAIN),
    ("HTTP_REQUEST", _PLAIN),
)


class TlsContext(ssl.SSLContext):
    """A context for one broker.

    Attributes:
        server_name: what the certificate must be made out to, where that is not the host that is connected to.
        trouble: what ended the newest connection after its handshake; None where nothing did. In TLS 1.3 the broker
            says only then that it wants another certificate, and paho keeps that to itself.
    """

    server_name: str | None = None
    trouble: OSError | None = None

    def wrap_socket(
        self,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLSocket:
        """As `ssl.SSLContext.wrap_socket`, for `server_name` where it is set."""
        self.trouble = None
        return super().wrap_socket(
            sock,
            server_side,
            do_handshake_on_connect,
            suppress_ragged_eofs,
            self.server_name or _without_zone(server_hostname),
            session,
        )


class _Socket(ssl.SSLSocket):
    """A socket that leaves its last error with its context, and names a handshake that nobody answered."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except _AGAIN:
            raise
        except OSError as error:
            self.close()  # paho forgets a socket that it could not use
            if isinstance(error, ssl.SSLError):
                raise
            # A time-out, or a reset: nothing that speaks TLS.
            raise ssl.SSLEOFError(ssl.SSL_ERROR_EOF, _NO_ANSWER) from error

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except _AGAIN:
            raise
        except OSError as error:
            self._note(error)
            raise

    def send(self, data: Any, flags: int = 0) -> int:
        try:
            return super().send(data, flags)
        except _AGAIN:
            raise
        except OSError as error:
            self._note(error)
            # Where the broker has hung up already, the alert that says why still waits to be read.
            with contextlib.suppress(OSError):
                self.recv(1)
            raise

    def _note(self, error: OSError) -> None:
        if isinstance(self.context, TlsContext):
            self.context.trouble = error


def context(
    ca_file: str | None, cert_file: str | None, key_file: str | None, strict: bool, server_name: str | None = None
) -> TlsContext:
    """A context that verifies the broker: TLS 1.2 or newer, a trusted authority, the right name.

    Args:
        ca_file: certificates of the authorities to trust, as PEM; None for the system's store.
        cert_file, key_file: what this device shows of itself; None for nothing.
        strict: False forgives an authority what RFC 5280 asks for formally, and nothing else. True is the same on
            every Python; by themselves only those from 3.13 on are strict.
        server_name: what the certificate is made out to; None for the host that is connected to.

    Raises:
        ConfigError: a file cannot be used, although it could when the configuration was read.
    """
    made = TlsContext(ssl.PROTOCOL_TLS_CLIENT)
    made.sslsocket_class = _Socket
    made.server_name = server_name
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    # As Python does by itself from 3.13 on: a certificate in ca_file is trusted also where it is no root.
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if strict:
        made.verify_flags |= ssl.VERIFY_X509_STRICT
    else:
        made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    try:
        if ca_file is None:
            made.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            made.load_verify_locations(cafile=ca_file)
        if cert_file is not None:
            # A passphrase is never asked for: a service would wait for it for ever.
            made.load_cert_chain(Path(cert_file), key_file, password="")
    except OSError as error:
        raise ConfigError(f"[mqtt.tls]: a file cannot be used ({in_words(error)}); `edged check` says which") from None
    return made


def explain(error: BaseException | None, clock_synced: bool) -> str:
    """Why there is no connection, as one sentence for a person; for errors without TLS, too.

    Args:
        error: what opening or reading the connection raised.
        clock_synced: whether a certificate's dates can be judged at all.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return _distrust(error, clock_synced)
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return _NO_ANSWER
    if isinstance(error, ssl.SSLError):
        reason = _reason(error)
        known = next((sentence for part, sentence in _REASONS if part in reason), None)
        return known or f"TLS to the broker fails ({in_words(error)})"
    return f"the broker cannot be reached: {in_words(error)}"


def in_words(error: BaseException | None) -> str:
    """The bare reason of an error, without a path and without where in a library's source it was found."""
    if isinstance(error, ssl.SSLError):
        return (_reason(error) or "no reason given").replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error or "") or type(error).__name__


def _reason(error: ssl.SSLError) -> str:
    # What Python raises by itself lacks the attribute.
    return getattr(error, "reason", None) or ""


def _distrust(error: ssl.SSLCertVerificationError, clock_synced: bool) -> str:
    code = getattr(error, "verify_code", None)  # an error that OpenSSL did not make has none
    if code in (_NOT_YET_VALID, _EXPIRED) and not clock_synced:
        return _UNSET_CLOCK
    if code == _EXPIRED:
        return "the certificate of the broker, or of its authority, has expired; have it made anew"
    if code == _NOT_YET_VALID:
        return "the broker's certificate is not valid yet; check the clock of the machine that made it"
    if code in _OTHER_NAME:
        return "the broker's certificate names another host; set [mqtt.tls] server_name to the name that it has"
    if code in _UNTRUSTED:
        return "the broker's certificate is from an authority that is not trusted here; set [mqtt.tls] ca_file to it"
    text = str(getattr(error, "verify_message", "no reason given"))[:60]
    if code in _FORMAL:
        return f"the broker's certificate breaks a formal rule ({text}); have it made anew, or set strict = false"
    return f"the broker's certificate is refused ({text})"


def _without_zone(host: str | bytes | None) -> str | bytes | None:
    """An address such as fe80::1%eth0 without its zone, a name without its last dot: as certificates have them."""
    return host.partition("%")[0].rstrip(".") if isinstance(host, str) else host
