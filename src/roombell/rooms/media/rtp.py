"""RTP packets (RFC 3550) as bytes: read as far as forwarding needs it, and given a new header.

Media is forwarded by the thousand packets a second, so that a packet is never taken apart: its twelve fixed bytes are
replaced, and its payload stays one slice.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

HEADER_BYTES: Final = 12
MID_URI: Final = "urn:ietf:params:rtp-hdrext:sdes:mid"
RID_URI: Final = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID_URI: Final = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"

_HEADER: Final = struct.Struct("!BBHLL")
_VERSION: Final = 2
_STOP: Final = 15
"""The id that ends all reading of one-byte extensions."""
_ONE_BYTE: Final = 0xBEDE
_TWO_BYTES: Final = 0x1000


class Packet(msgspec.Struct, frozen=True, gc=False):
    """An RTP packet. ``payload`` includes padding, where ``is_padded`` says that there is some."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    is_marked: bool
    is_padded: bool
    extension_profile: int
    extension: bytes
    payload: bytes


def parse(data: bytes) -> Packet | None:
    """Reads a packet; None where it is none."""
    if len(data) < HEADER_BYTES:
        return None
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != _VERSION:
        return None
    start = HEADER_BYTES + 4 * (first & 0x0F)
    profile, extension = 0, b""
    if first & 0x10:
        if len(data) < start + 4:
            return None
        profile, words = struct.unpack_from("!HH", data, start)
        extension = data[start + 4 : start + 4 + 4 * words]
        start += 4 + 4 * words
    if start > len(data):
        return None
    marked, padded = bool(second & 0x80), bool(first & 0x20)
    return Packet(second & 0x7F, sequence, timestamp, ssrc, marked, padded, profile, extension, data[start:])


def build(packet: Packet, *, payload_type: int, sequence: int, timestamp: int, ssrc: int) -> bytes:
    """The packet's bytes under a new header, without extensions and contributing sources."""
    first = 0xA0 if packet.is_padded else 0x80
    second = payload_type | (0x80 if packet.is_marked else 0)
    return _HEADER.pack(first, second, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + packet.payload


def extensions(packet: Packet) -> dict[int, bytes]:
    """The header extensions by id (RFC 8285); what is cut off in the middle ends the reading."""
    if packet.extension_profile == _ONE_BYTE:
        return _one_byte(packet.extension)
    return _two_bytes(packet.extension) if packet.extension_profile & 0xFFF0 == _TWO_BYTES else {}


def _one_byte(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        number, size = data[at] >> 4, (data[at] & 0x0F) + 1
        if number == 0:
            at += 1
            continue
        if number == _STOP or at + 1 + size > len(data):
            break
        found[number] = data[at + 1 : at + 1 + size]
        at += 1 + size
    return found


def _two_bytes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at + 1 < len(data):
        if data[at] == 0:
            at += 1
            continue
        size = data[at + 1]
        if at + 2 + size > len(data):
            break
        found[data[at]] = data[at + 2 : at + 2 + size]
        at += 2 + size
    return found


def distance(later: int, earlier: int) -> int:
    """How far sequence number ``later`` is after ``earlier``, -32768 to 32767: they go round."""
    return ((later - earlier + 0x8000) & 0xFFFF) - 0x8000
