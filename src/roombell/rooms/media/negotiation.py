"""What is said in offers and answers (RFC 9429): one transport for everything, media only towards who asked for it.

Retransmission (RTX) and redundancy (RED, FEC) are never agreed on: what a subscriber misses is sent once more as it
was, on its own stream. Simulcast is not agreed on either, so that a browser sends one layer; the header extensions that
name layers are, since Chromium cannot take back a track whose answer lacked them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from roombell.rooms.media.codecs import Codec, forwarded, offered
from roombell.rooms.media.rtp import MID_URI, REPAIRED_RID_URI, RID_URI
from roombell.rooms.media.sdp import RTP_PROTOCOL, SCTP_PROTOCOL, Description, SdpError, Section

MESSAGE_BYTES_MAX: Final = 65_536
"""The largest message of a data channel that is taken."""

SCTP_PORT: Final = 5000

_EXTENSIONS: Final = frozenset({MID_URI, RID_URI, REPAIRED_RID_URI})
_MID_EXTENSION_ID: Final = 1


class LocalEnd(msgspec.Struct, frozen=True):
    """Our end of a transport, as a description tells of it."""

    ufrag: str
    password: str
    fingerprint: str
    """Algorithm and digest: ``sha-256 AB:CD:…``."""
    candidates: tuple[str, ...]


class RemoteEnd(msgspec.Struct, frozen=True):
    """The other end of a transport."""

    ufrag: str
    password: str
    fingerprints: tuple[tuple[str, str], ...]
    setup: str
    """Who begins the DTLS handshake: ``active``, ``passive``, or ``actpass`` for either."""
    candidates: tuple[str, ...]


class Stream(msgspec.Struct, frozen=True):
    """What is sent in a section. The client learns whose it is from ``stream_id``, which LiveKit's clients read as
    ``PA_…|TR_…``.
    """

    ssrc: int
    cname: str
    stream_id: str
    track_id: str


class Planned(msgspec.Struct, frozen=True):
    """A section of an offer of ours; ``stream`` is None while nothing is sent in it."""

    mid: str
    kind: str
    stream: Stream | None


def remote_end(description: Description) -> RemoteEnd:
    """The transport that a description is about.

    :raises SdpError: something without which no connection can be made is missing.
    """
    section = next((section for section in description.sections if not section.is_rejected), None)
    if section is None:
        raise SdpError("The session description has no section that is in use.")
    ufrag, password = description.of(section, "ice-ufrag"), description.of(section, "ice-pwd")
    if not ufrag or not password:
        raise SdpError("The session description has no ice-ufrag and ice-pwd.")
    prints = (*section.all("fingerprint"), *description.all("fingerprint"))
    halves = (value.strip().partition(" ") for value in prints)
    fingerprints = tuple((algorithm.lower(), digest) for algorithm, _, digest in halves if digest)
    if not fingerprints:
        raise SdpError("The session description has no fingerprint.")
    candidates = tuple(value for section in description.sections for value in section.all("candidate"))
    return RemoteEnd(ufrag, password, fingerprints, description.of(section, "setup") or "actpass", candidates)


def answer(offer: Description, end: LocalEnd, streams: Mapping[str, Stream], *, setup: str) -> Description:
    """The answer to a client's offer: takes all media that can be forwarded, and sends ``streams``, by mid."""
    sections = tuple(_answered(section, end, streams.get(section.mid), setup) for section in offer.sections)
    return _bundled(sections)


def offer(end: LocalEnd, planned: Sequence[Planned], *, data_mid: str) -> Description:
    """An offer that sends what is planned, and has a section for data channels."""
    data = Section(
        (("mid", data_mid), *_transport(end, "actpass"), *_SCTP), "application", 9, SCTP_PROTOCOL, _SCTP_FORM
    )
    return _bundled((data, *(_offered(section, end) for section in planned)))


def _bundled(sections: tuple[Section, ...]) -> Description:
    mids = " ".join(section.mid for section in sections if section.port != 0)
    return Description((("group", f"BUNDLE {mids}"), ("msid-semantic", " WMS *")), sections)


def _answered(section: Section, end: LocalEnd, stream: Stream | None, setup: str) -> Section:
    if section.is_rejected:
        return _rejected(section)
    head = (("mid", section.mid), *_transport(end, setup))
    if section.kind == "application":
        return Section((*head, *_SCTP), section.kind, 9, section.protocol, section.formats)
    codecs = forwarded(section.kind, section.codecs)
    if not codecs:
        return _rejected(section)
    sends, takes = stream is not None and section.receives, section.sends
    known = tuple((f"{number}", uri) for number, uri in section.extensions if uri in _EXTENSIONS)
    attributes = (*head, (_direction(sends=sends, takes=takes), ""), *_media(codecs, known))
    if sends and stream is not None:
        attributes += _announced(stream)
    return _rtp(section.kind, codecs, attributes)


def _rejected(section: Section) -> Section:
    attributes = (("mid", section.mid), ("inactive", ""))
    return Section(attributes, section.kind, 0, section.protocol, section.formats)


def _offered(planned: Planned, end: LocalEnd) -> Section:
    codecs = offered(planned.kind)
    direction = _direction(sends=planned.stream is not None, takes=False)
    head = (("mid", planned.mid), *_transport(end, "actpass"), (direction, ""))
    attributes = (*head, *_media(codecs, ((f"{_MID_EXTENSION_ID}", MID_URI),)))
    if planned.stream is not None:
        attributes += _announced(planned.stream)
    return _rtp(planned.kind, codecs, attributes)


def _rtp(kind: str, codecs: Sequence[Codec], attributes: tuple[tuple[str, str], ...]) -> Section:
    return Section(attributes, kind, 9, RTP_PROTOCOL, tuple(f"{codec.payload_type}" for codec in codecs))


def _direction(*, sends: bool, takes: bool) -> str:
    if sends:
        return "sendrecv" if takes else "sendonly"
    return "recvonly" if takes else "inactive"


def _transport(end: LocalEnd, setup: str) -> tuple[tuple[str, str], ...]:
    return (
        ("ice-ufrag", end.ufrag),
        ("ice-pwd", end.password),
        ("fingerprint", end.fingerprint),
        ("setup", setup),
        *(("candidate", candidate) for candidate in end.candidates),
        ("end-of-candidates", ""),
    )


def _media(codecs: Sequence[Codec], extensions: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    lines: list[tuple[str, str]] = [("rtcp-mux", ""), ("rtcp-rsize", "")]
    lines += [("extmap", f"{number} {uri}") for number, uri in extensions]
    for codec in codecs:
        lines.append(("rtpmap", f"{codec.payload_type} {codec.rtpmap}"))
        lines += [("rtcp-fb", f"{codec.payload_type} {feedback}") for feedback in codec.feedback]
        if codec.parameters:
            lines.append(("fmtp", f"{codec.payload_type} {codec.parameters}"))
    return tuple(lines)


def _announced(stream: Stream) -> tuple[tuple[str, str], ...]:
    return (
        ("msid", f"{stream.stream_id} {stream.track_id}"),
        ("ssrc", f"{stream.ssrc} cname:{stream.cname}"),
        ("ssrc", f"{stream.ssrc} msid:{stream.stream_id} {stream.track_id}"),
    )


_SCTP: Final = (("sctp-port", f"{SCTP_PORT}"), ("max-message-size", f"{MESSAGE_BYTES_MAX}"))
_SCTP_FORM: Final = ("webrtc-datachannel",)
