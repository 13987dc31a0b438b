"""TLS towards an endpoint: whom to trust, who we say we are, and the oldest version that is good enough.

Files are read when the service starts and when it is reloaded, never while an attempt is made: what is wrong with them
is told to whoever changed them. An endpoint whose files hold what they held before keeps its connections.
"""

from __future__ import annotations

import functools
import hashlib
import ssl
from pathlib import Path
from typing import Final

import msgspec

from roombell.errors import UsageError

FILE_BYTES_MAX: Final = 4 << 20
"""The largest PEM file that is taken; a bundle of all public authorities has a quarter of a megabyte."""

TLS_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class TlsSettings(msgspec.Struct, frozen=True):
    """How to speak TLS with an endpoint. Files are PEM, relative to the working directory."""

    ca: str = ""
    """Authorities to trust in place of the system's."""
    cert: str = ""
    """Our certificate, and those that lead to its authority, where the endpoint wants one (mutual TLS)."""
    key: str = ""
    """The certificate's private key, without passphrase; empty where it stands in ``cert``."""
    min_version: str = "1.2"
    """``1.2`` or ``1.3``."""


class TlsFileError(UsageError):
    """A file that TLS needs cannot be used.

    :param setting: which of ``ca``, ``cert``, ``key`` or ``min_version`` is to be mended.
    """

    code = "tls_file"

    def __init__(self, setting: str, message: str) -> None:
        self.setting = setting
        super().__init__(message)


class ClientTls:
    """TLS ready for use. Two are equal when they were made from the same settings and the same bytes in the files."""

    __slots__ = ("context", "fingerprint")

    def __init__(self, context: ssl.SSLContext, fingerprint: bytes) -> None:
        self.context = context
        self.fingerprint = fingerprint

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClientTls) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return "<ClientTls>"


def read_tls(settings: TlsSettings) -> ClientTls:
    """TLS as ``settings`` say, with the host's name checked. Reads the files.

    :raises TlsFileError: a file is missing, unreadable or not what it should be; the message names it and the mend.
    """
    if settings.min_version not in TLS_VERSIONS:
        raise TlsFileError("min_version", f"min_version is {settings.min_version!a}; it is 1.2 or 1.3.")
    if settings.key and not settings.cert:
        raise TlsFileError("key", "there is a key without cert: name the certificate's file too.")
    digest = hashlib.sha256(settings.min_version.encode())
    for name, path in (("ca", settings.ca), ("cert", settings.cert), ("key", settings.key)):
        content = _read(name, path) if path else b""
        digest.update(hashlib.sha256(content).digest())
    return _ready(settings, digest.digest())


@functools.lru_cache(maxsize=256)
def _ready(settings: TlsSettings, fingerprint: bytes) -> ClientTls:
    # Shared by endpoints with equal settings: loading the authorities takes tens of milliseconds and a megabyte.
    context = _trusting(settings.ca)
    context.minimum_version = TLS_VERSIONS[settings.min_version]
    context.set_alpn_protocols(["http/1.1"])
    if settings.cert:
        _identify(context, settings.cert, settings.key)
    return ClientTls(context, fingerprint)


def _trusting(ca: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca or None)
    except ssl.SSLError:
        raise TlsFileError("ca", f"{ca} holds no certificate of an authority: it must be PEM.") from None
    except OSError as error:
        raise _unreadable("ca", ca, error) from None


def _identify(context: ssl.SSLContext, cert: str, key: str) -> None:
    holder = key or cert
    try:
        context.load_cert_chain(cert, key or None, password=_no_passphrase)
    except _EncryptedError:
        told = f"the private key in {holder} has a passphrase: decrypt it with openssl pkey -in {holder} -out FILE."
        raise TlsFileError("key" if key else "cert", told) from None
    except ssl.SSLError as error:
        raise _identity_error(error, cert, key) from None
    except OSError as error:
        raise _unreadable("cert", cert, error) from None


def _identity_error(error: ssl.SSLError, cert: str, key: str) -> TlsFileError:
    """What is wrong with a pair of files; OpenSSL does not say which of the two it was reading."""
    if error.reason == "KEY_VALUES_MISMATCH":
        return TlsFileError("key", f"the private key in {key or cert} does not belong to the certificate in {cert}.")
    if b"-----BEGIN CERTIFICATE-----" not in Path(cert).read_bytes():
        return TlsFileError("cert", f"{cert} holds no certificate: it must be PEM.")
    if b"PRIVATE KEY-----" not in Path(key or cert).read_bytes():
        mend = "it must be PEM" if key else "name its file as key"
        return TlsFileError("key" if key else "cert", f"{key or cert} holds no private key: {mend}.")
    reason = (error.reason or "no reason given").replace("_", " ").lower()
    return TlsFileError("cert", f"the certificate in {cert} and its key cannot be used: {reason}.")


class _EncryptedError(Exception):
    """OpenSSL asked for a passphrase. Without this it would ask on the terminal."""


def _no_passphrase() -> str:
    raise _EncryptedError


def _read(name: str, path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise _unreadable(name, path, error) from None
    except ValueError:
        raise TlsFileError(name, f"{path!a} is no path of a file.") from None
    if len(content) > FILE_BYTES_MAX:
        raise TlsFileError(name, f"{path} is larger than {FILE_BYTES_MAX} bytes: is it the right file?")
    return content


def _unreadable(name: str, path: str, error: OSError) -> TlsFileError:
    return TlsFileError(name, f"{path} cannot be read: {error.strerror}.")
