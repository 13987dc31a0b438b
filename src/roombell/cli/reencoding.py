"""Finds out what was done to a body whose hash is not the one that was signed.

A proxy or a body parser changes a body in one of a few ways. Each is tried backwards; the one that leads to the signed
hash is what happened. Where none does, the body's looks are what is left to go by.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Final

_BOM: Final = b"\xef\xbb\xbf"
_GO_SPACED: Final = (", ", ":")
"""Go's protojson puts a space after commas in some builds and in others not."""


def what_was_done(body: bytes, signed_hash: str) -> str:
    """What changed the body, as the end of a sentence; empty if that cannot be told.

    :param signed_hash: the hash that the token carries: standard base64.
    """
    for done, original in _originals(body):
        if base64.b64encode(hashlib.sha256(original).digest()).decode() == signed_hash:
            return done
    return ""


def looks_reencoded(body: bytes) -> str:
    """Why a body looks as if it had been decoded and encoded again, as a sentence's end; empty if it does not."""
    if body.startswith(_BOM):
        return "it begins with a byte order mark"
    if body != body.strip():
        return "there is white space around it"
    value = _json(body)
    return _unlike_livekit(body, list(value)) if isinstance(value, dict) else ""


def _unlike_livekit(body: bytes, names: list[str]) -> str:
    if b"\n" in body:
        return "it is indented"
    if b'": ' in body:
        return "there is a space after each colon, as Python's json.dumps writes it and LiveKit does not"
    if len(names) > 1 and names == sorted(names):
        return "its keys are in alphabetical order, and LiveKit's begin with event"
    return ""


def _originals(body: bytes) -> Iterator[tuple[str, bytes]]:
    """What the body may have been, with what was done to it since."""
    yield "white space was put around it", body.strip()
    yield "a byte order mark was put before it", body.removeprefix(_BOM)
    yield "a line feed at its end was taken away", body + b"\n"
    yield "its line ends were changed", body.replace(b"\r\n", b"\n")
    yield "its line ends were changed", body.replace(b"\n", b"\r\n")
    value = _json(body)
    if value is None:
        return
    for separators in ((",", ":"), _GO_SPACED, (", ", ": ")):
        for ascii_only in (False, True):
            text = json.dumps(value, separators=separators, ensure_ascii=ascii_only)
            yield "its JSON was decoded and encoded again with other spacing or escapes", _bytes(text)


def _json(body: bytes) -> object:
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
