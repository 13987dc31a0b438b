"""What a client asks for when it opens its socket, in either version of the protocol.

Version 0 asks in the query's parameters, version 1 in one protobuf message; the sentences of refusals are those of
LiveKit's ``pkg/service/rtcservice.go``.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from typing import Final

import msgspec
from google.protobuf.message import DecodeError
from livekit.protocol import rtc

from roombell.rooms.signalling.access import AccessRefused

JOIN_BYTES_MAX: Final = 1_000_000
"""The largest join request, unpacked; Go's limit of headers is LiveKit's."""

SUBSCRIBER_PRIMARY_PROTOCOL: Final = 3
"""From this version of the protocol on, clients receive on a connection that is there from the start."""

_TRUE: Final = ("1", "true")


class JoinWish(msgspec.Struct, frozen=True, kw_only=True):
    """How a client wants to join, or to come back."""

    is_single: bool
    """One peer connection for both directions: version 1."""
    room: str = ""
    auto_subscribe: bool = True
    reconnect: bool = False
    participant_sid: str = ""
    """Who it was, where it comes back."""
    attributes: dict[str, str] = {}
    protocol: int = 0
    offer: rtc.SessionDescription | None = None
    add_tracks: tuple[rtc.AddTrackRequest, ...] = ()

    @property
    def is_subscriber_primary(self) -> bool:
        return not self.is_single and self.protocol >= SUBSCRIBER_PRIMARY_PROTOCOL


def read_v0(query: Mapping[str, str], *, strict: bool = False) -> JoinWish:
    """The wish in a query of ``/rtc``.

    :param strict: refuse attributes that cannot be read, as ``/rtc/validate`` does, instead of leaving them out.
    :raises AccessRefused: only if ``strict``.
    """
    return JoinWish(
        is_single=False,
        room=query.get("room", ""),
        auto_subscribe=query.get("auto_subscribe", "1") in _TRUE,
        reconnect=query.get("reconnect", "") in _TRUE,
        participant_sid=query.get("sid", ""),
        attributes=_attributes(query.get("attributes", ""), strict=strict),
        protocol=_number(query.get("protocol", "")),
    )


def read_v1(query: Mapping[str, str]) -> JoinWish:
    """The wish in a query of ``/rtc/v1``.

    :raises AccessRefused: its ``join_request`` cannot be read.
    """
    wrapped = query.get("join_request", "")
    request = _unwrapped(_unbase64(wrapped)) if wrapped else rtc.JoinRequest()
    settings = request.connection_settings
    return JoinWish(
        is_single=True,
        room=query.get("room", ""),
        auto_subscribe=settings.auto_subscribe if request.HasField("connection_settings") else True,
        reconnect=request.reconnect,
        participant_sid=request.participant_sid,
        attributes=dict(request.participant_attributes),
        protocol=request.client_info.protocol,
        offer=request.publisher_offer if request.publisher_offer.sdp else None,
        add_tracks=tuple(request.add_track_requests),
    )


def _unwrapped(data: bytes) -> rtc.JoinRequest:
    try:
        wrapped = rtc.WrappedJoinRequest.FromString(data)
    except DecodeError as error:
        raise AccessRefused(400, "cannot unmarshal wrapped join request") from error
    plain = wrapped.join_request
    if wrapped.compression == rtc.WrappedJoinRequest.GZIP:
        plain = _unzipped(plain)
    try:
        return rtc.JoinRequest.FromString(plain)
    except DecodeError as error:
        raise AccessRefused(400, "cannot unmarshal join request") from error


def _unzipped(data: bytes) -> bytes:
    unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        plain = unzip.decompress(data, JOIN_BYTES_MAX)
    except zlib.error as error:
        raise AccessRefused(400, "cannot read decompressed join request") from error
    if not unzip.eof:
        raise AccessRefused(400, "cannot read decompressed join request")
    return plain


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise AccessRefused(400, "cannot base64 decode wrapped join request") from error


def _attributes(text: str, *, strict: bool) -> dict[str, str]:
    try:
        return msgspec.json.decode(_unbase64(text), type=dict[str, str]) if text else {}
    except (AccessRefused, msgspec.MsgspecError) as error:
        if strict:
            raise AccessRefused(400, "cannot decode attributes") from error
        return {}


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < len(f"{2**31}") else 0
