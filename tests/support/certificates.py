"""Certificates as files, from an authority of the tests' own."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization


class Certificates:
    """PEM files in ``folder``."""

    def __init__(self, folder: Path, authority: trustme.CA | None = None) -> None:
        self.folder = folder
        self.authority = authority or trustme.CA()
        self.ca = self._write("ca.pem", self.authority.cert_pem.bytes())

    def client(self, name: str = "roombell") -> tuple[str, str]:
        """A certificate's file and its key's."""
        issued = self.authority.issue_cert(f"{name}.invalid")
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        return self._write(f"{name}.pem", chain), self._write(f"{name}.key", issued.private_key_pem.bytes())

    def encrypted(self, key: str) -> str:
        """A file with the same key under a passphrase."""
        loaded = serialization.load_pem_private_key(Path(key).read_bytes(), None)
        form = serialization.PrivateFormat.PKCS8
        sealed = loaded.private_bytes(serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(b"pass"))
        return self._write("encrypted.key", sealed)

    def file(self, name: str, *paths: str) -> str:
        """One file with what is in several."""
        return self._write(name, b"".join(Path(path).read_bytes() for path in paths))

    def server(self, *names: str, wants_client: bool = False) -> ssl.SSLContext:
        """What a server needs whose certificate is for ``names``; it may insist on a client's of the same authority."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert(*(names or ("localhost", "127.0.0.1"))).configure_cert(context)
        if wants_client:
            context.verify_mode = ssl.CERT_REQUIRED
            self.authority.configure_trust(context)
        return context

    def _write(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.write_bytes(content)
        return str(path)
