"""What an exception of the network means: the failure's kind, and a sentence for the person who is woken by it.

No sentence shows a URL's path or query, a header's value or bytes of the answer: any of them may hold a secret.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from typing import Final

import msgspec

from roombell.engine.model import FailureKind


class Trouble(msgspec.Struct, frozen=True):
    """Why there is no answer."""

    kind: FailureKind
    detail: str


class TroubleError(Exception):
    """Carries a ``Trouble`` out of nested calls; it never leaves the package."""

    def __init__(self, kind: FailureKind, detail: str) -> None:
        super().__init__(detail)
        self.trouble = Trouble(kind, detail)


_UNREACHABLE: Final = frozenset(
    (
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.EHOSTDOWN,
        errno.EADDRNOTAVAIL,
        errno.EACCES,
        errno.EPERM,
    )
)
_OURS: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))

# X509_V_ERR_* of OpenSSL's x509_vfy.h.
_CERTIFICATE: Final = {
    9: "its certificate is not valid yet (is this machine's clock right?)",
    10: "its certificate has expired",
    18: "its certificate is self-signed",
    19: "its certificate comes from a certificate authority that is not trusted here",
    20: "its certificate comes from a certificate authority that is not trusted here, or the server does not send the "
    "intermediate certificates",
    21: "its certificate cannot be verified: the server does not send the intermediate certificates",
    23: "its certificate was revoked",
    62: "its certificate is for another host name",
    64: "its certificate is for another address",
}

_HANDSHAKE: Final = {
    "WRONG_VERSION_NUMBER": "it does not speak TLS there; is it an http:// address?",
    "HTTP_REQUEST": "it does not speak TLS there; is it an http:// address?",
    "RECORD_LAYER_FAILURE": "it does not speak TLS there; is it an http:// address?",
    "UNSUPPORTED_PROTOCOL": "it offers only TLS versions that are no longer safe",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it refused our TLS version",
    "TLSV1_UNRECOGNIZED_NAME": "it does not know the host name",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it found no TLS settings in common with ours, or wants a client certificate",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a client certificate",
    "UNEXPECTED_EOF_WHILE_READING": "it closed the connection in the middle of TLS",
}


def dns_trouble(error: OSError, host: str) -> Trouble:
    """What a resolver's error means."""
    reason = {
        socket.EAI_NONAME: "there is no such name",
        socket.EAI_AGAIN: "the name server does not answer; this may pass",
        socket.EAI_FAIL: "the name server failed",
        socket.EAI_MEMORY: "this machine is out of memory",
    }.get(error.errno or 0, error.strerror or str(error))
    return Trouble(FailureKind.DNS, f"Cannot resolve {host}: {reason}.")


def tls_trouble(error: ssl.SSLError, origin: str) -> Trouble:
    """What an error of TLS means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        # OpenSSL's own sentence names the host that we asked for; it holds nothing of the peer's.
        reason = _CERTIFICATE.get(error.verify_code, f"its certificate is not accepted: {error.verify_message}")
    else:
        told = (error.reason or "").replace("_", " ").lower()
        reason = _HANDSHAKE.get(error.reason or "", f"the TLS handshake failed ({told or 'no reason given'})")
    return Trouble(FailureKind.TLS, f"No secure connection to {origin}: {reason}.")


def connect_trouble(error: OSError, origin: str, address: str, *, is_tls: bool) -> Trouble:
    """What an error while connecting means."""
    if isinstance(error, ssl.SSLError):
        return tls_trouble(error, origin)
    kind, told = FailureKind.RESET, f"{origin} broke the connection to {address}: {_words(error)}."
    if isinstance(error, ConnectionRefusedError):
        kind, told = FailureKind.REFUSED, f"{origin} refused the connection: nothing listens at {address}."
    elif is_tls and isinstance(error, ConnectionError):
        kind, told = (
            FailureKind.TLS,
            f"No secure connection to {origin}: it closed the connection during the TLS handshake.",
        )
    elif error.errno in _UNREACHABLE:
        kind, told = FailureKind.UNREACHABLE, f"{origin} cannot be reached at {address}: {_words(error)}."
    elif error.errno in _OURS:
        kind, told = FailureKind.CONFIGURATION, f"This machine cannot open another connection: {_words(error)}."
    elif isinstance(error, TimeoutError):
        kind, told = FailureKind.TIMEOUT_CONNECT, f"{origin} did not answer the connection to {address}."
    return Trouble(kind, told)


def lost_trouble(error: Exception | None, origin: str, *, answering: bool) -> Trouble:
    """What the end of a connection means while an answer is awaited.

    :param error: None where the other side closed in good form.
    :param answering: whether a part of the answer had come.
    """
    when = "in the middle of its answer's headers" if answering else "without an answer"
    if isinstance(error, ssl.SSLError):
        return tls_trouble(error, origin)
    if isinstance(error, OSError) and error.errno in _UNREACHABLE | {errno.ETIMEDOUT}:
        return Trouble(FailureKind.UNREACHABLE, f"The connection to {origin} was lost: {_words(error)}.")
    verb = "closed" if error is None else "reset"
    return Trouble(FailureKind.RESET, f"{origin} {verb} the connection {when}.")


def _words(error: OSError) -> str:
    # The loops put their own text into `strerror`; the system's is the same under each of them.
    return os.strerror(error.errno).lower() if error.errno else type(error).__name__
