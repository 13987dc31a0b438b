"""Signed webhooks prepared before a run: made and signed by nobody while something is measured."""

from __future__ import annotations

import json
import time
from pathlib import Path

from roombell.signing import KeyRing
from roombell.testing.payloads import sample

API_KEY = "APIbench"
SECRET = "the benchmark's secret, 32 bytes or more"
ROOMS = 2000
BODY_BYTES = 840

_ROOM, _IDENTITY, _ID = "room-0000", "p00000000", "EV_000000000000"


def write_requests(path: Path, count: int, first: int = 0) -> int:
    """Writes ``count`` requests, distinct events of ``ROOMS`` rooms in turn, numbered from ``first`` on; returns the
    bytes of each, the same.
    """
    template, ring, now_s = _template(), KeyRing({API_KEY: SECRET}), time.time()
    sizes = set()
    with path.open("wb", buffering=1 << 20) as file:
        for number in range(first, first + count):
            body = template % (b"room-%04d" % (number % ROOMS), b"p%08d" % number, b"%012d" % number)
            request = (
                b"POST /webhook HTTP/1.1\r\nHost: roombell\r\nUser-Agent: LiveKit\r\n"
                b"Content-Type: application/webhook+json\r\nContent-Length: %d\r\nAuthorization: %b\r\n\r\n%b"
            ) % (len(body), ring.sign(body, api_key=API_KEY, now=now_s).encode(), body)
            sizes.add(len(request))
            file.write(request)
    assert len(sizes) == 1, "the loader reads records of one size"
    return sizes.pop()


def _template() -> bytes:
    """A realistic participant_joined of ``BODY_BYTES`` bytes with places for id, room and identity."""
    event = json.loads(sample("participant_joined", room=_ROOM, identity=_IDENTITY, id=_ID))
    event["participant"]["metadata"] = ""
    short = len(_encoded(event))
    assert short <= BODY_BYTES
    event["participant"]["metadata"] = "m" * (BODY_BYTES - short)
    event["id"], event["room"]["name"], event["participant"]["identity"] = "EV_@ID", "@ROOM", "@IDENTITY"
    raw = _encoded(event).replace(b"%", b"%%")
    for mark in (b'@ID"', b"@ROOM", b"@IDENTITY"):
        assert raw.count(mark) == 1
    room, identity, id_ = raw.index(b"@ROOM"), raw.index(b"@IDENTITY"), raw.index(b'@ID"')
    assert room < identity < id_
    return raw.replace(b"@ROOM", b"%b").replace(b"@IDENTITY", b"%b").replace(b'@ID"', b'%b"')


def _encoded(event: object) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()
