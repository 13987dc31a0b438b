"""The codecs whose packets are forwarded. None is decoded, so that all that is needed is to know them again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

FORWARDED: Final[dict[str, frozenset[str]]] = {
    "audio": frozenset({"opus"}),
    "video": frozenset({"vp8", "h264", "vp9", "av1"}),
}
"""By kind. RED, RTX and FEC are not among them: what is lost is sent again as it was."""

_FEEDBACK: Final = frozenset({"nack", "nack pli", "ccm fir"})


class Codec(msgspec.Struct, frozen=True):
    """A codec as a session description tells of it."""

    payload_type: int
    name: str
    """In lower case: ``opus``, ``vp8``."""
    clock_rate: int
    channels: int = 1
    parameters: str = ""
    """The value of ``fmtp``."""
    feedback: tuple[str, ...] = ()

    @classmethod
    def from_rtpmap(cls, payload_type: int, rtpmap: str, parameters: str, feedback: tuple[str, ...]) -> Codec:
        """Reads ``opus/48000/2``; what is no number becomes 0, which matches nothing that is forwarded."""
        name, rate, channels = (*rtpmap.split("/"), "", "")[:3]
        return cls(payload_type, name.lower(), _number(rate), _number(channels) or 1, parameters, feedback)

    @property
    def rtpmap(self) -> str:
        tail = f"/{self.channels}" if self.channels > 1 else ""
        return f"{_SPELLINGS.get(self.name, self.name)}/{self.clock_rate}{tail}"

    def mime_type(self, kind: str) -> str:
        """As LiveKit writes it: ``audio/opus``, ``video/VP8``."""
        return f"{kind}/{_SPELLINGS.get(self.name, self.name)}"

    def matches(self, other: Codec) -> bool:
        """Whether a decoder for one decodes the other."""
        mine = (self.name, self.clock_rate, self.channels, self._format)
        return mine == (other.name, other.clock_rate, other.channels, other._format)

    @property
    def _format(self) -> tuple[str, ...]:
        """The parameters that make a format of its own, by the codec's RTP payload specification."""
        given = dict(_pairs(self.parameters))
        if self.name == "h264":  # RFC 6184: level is the third byte, and no other format
            return given.get("packetization-mode", "0"), given.get("profile-level-id", "42e01f")[:4].lower()
        if self.name == "vp9":
            return (given.get("profile-id", "0"),)
        return (given.get("profile", "0"),) if self.name == "av1" else ()


def forwarded(kind: str, codecs: Iterable[Codec]) -> tuple[Codec, ...]:
    """Those of ``codecs`` that are forwarded, each with the feedback that is understood here."""
    names = FORWARDED.get(kind, frozenset())
    return tuple(
        msgspec.structs.replace(codec, feedback=tuple(word for word in codec.feedback if word in _FEEDBACK))
        for codec in codecs
        if codec.name in names
    )


def offered(kind: str) -> tuple[Codec, ...]:
    """What is put into an offer of our own: all that is forwarded."""
    return _AUDIO if kind == "audio" else _VIDEO


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX else 0


def _pairs(parameters: str) -> Iterable[tuple[str, str]]:
    for part in parameters.split(";"):
        name, _, value = part.strip().partition("=")
        yield name, value


def _h264(payload_type: int, profile: str, mode: int) -> Codec:
    parameters = f"level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id={profile}"
    return Codec(payload_type, "h264", 90_000, parameters=parameters, feedback=_VIDEO_FEEDBACK)


MIME_TYPES: Final = ("audio/opus", "video/VP8", "video/H264", "video/VP9", "video/AV1")
"""What is forwarded, as LiveKit writes it."""

_DIGITS_MAX: Final = 9
_SPELLINGS: Final = {"vp8": "VP8", "vp9": "VP9", "h264": "H264", "av1": "AV1"}
_VIDEO_FEEDBACK: Final = ("nack", "nack pli", "ccm fir")
_AUDIO: Final = (Codec(111, "opus", 48_000, 2, "minptime=10;useinbandfec=1"),)
_VIDEO: Final = (
    Codec(96, "vp8", 90_000, feedback=_VIDEO_FEEDBACK),
    _h264(102, "42e01f", 1),
    _h264(103, "42e01f", 0),
    _h264(104, "42001f", 1),
    _h264(105, "42001f", 0),
    _h264(106, "4d001f", 1),
    _h264(107, "640032", 1),
    Codec(108, "vp9", 90_000, parameters="profile-id=0", feedback=_VIDEO_FEEDBACK),
    Codec(109, "vp9", 90_000, parameters="profile-id=2", feedback=_VIDEO_FEEDBACK),
    Codec(110, "av1", 90_000, feedback=_VIDEO_FEEDBACK),
)
