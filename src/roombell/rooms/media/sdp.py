"""Session descriptions (RFC 8866) as far as WebRTC uses them: lines to values and back.

What is read comes from clients, so that nothing here trusts it: a text that cannot be read is an ``SdpError``, and
attributes that nobody asks for are carried along unread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from roombell.rooms.media.codecs import Codec

SDP_CHARS_MAX: Final = 512_000
"""The longest description that is read; an offer of a client that has a hundred sections has about 300,000."""

SECTIONS_MAX: Final = 256

RTP_PROTOCOL: Final = "UDP/TLS/RTP/SAVPF"
SCTP_PROTOCOL: Final = "UDP/DTLS/SCTP"

_PAYLOAD_TYPE_MAX: Final = 127
_WORDS_MIN: Final = 4
_DIGITS_MAX: Final = len(f"{2**32}")
_DIRECTIONS: Final = ("sendrecv", "sendonly", "recvonly", "inactive")


class SdpError(ValueError):
    """A session description that cannot be used, and why."""


class Lines(msgspec.Struct, frozen=True):
    """The attributes of a description or a section: ``a=name:value``, in their order."""

    attributes: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str | None:
        """The value of the first ``name``; ``""`` where it has none."""
        return next(self.all(name), None)

    def all(self, name: str) -> Iterator[str]:
        """The values of every ``name``."""
        return (value for key, value in self.attributes if key == name)


class Section(Lines, frozen=True):
    """A media section: ``audio``, ``video`` or ``application``."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]

    @property
    def mid(self) -> str:
        return self.get("mid") or ""

    @property
    def is_rejected(self) -> bool:
        return self.port == 0 and self.get("bundle-only") is None

    @property
    def direction(self) -> str:
        """What its author does with media: ``sendrecv`` where nothing is said."""
        return next((name for name, _ in self.attributes if name in _DIRECTIONS), "sendrecv")

    @property
    def sends(self) -> bool:
        """Whether its author means to send media."""
        return not self.is_rejected and self.direction in ("sendrecv", "sendonly")

    @property
    def receives(self) -> bool:
        """Whether its author is ready to get media."""
        return not self.is_rejected and self.direction in ("sendrecv", "recvonly")

    @property
    def track_id(self) -> str:
        """What the client calls the track: the second word of ``msid``."""
        words = (self.get("msid") or "").split()
        return words[1] if len(words) > 1 else ""

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """The codecs, the preferred one first; those it says nothing of are left out."""
        parameters = dict(_by_payload_type(self.all("fmtp")))
        feedback: dict[str, list[str]] = {}
        for payload_type, kind in _by_payload_type(self.all("rtcp-fb")):
            feedback.setdefault(payload_type, []).append(kind)
        mapped = dict(_by_payload_type(self.all("rtpmap")))
        return tuple(
            Codec.from_rtpmap(number, mapped[form], parameters.get(form, ""), tuple(feedback.get(form, ())))
            for form in dict.fromkeys(self.formats)
            if form in mapped and (number := _number(form)) is not None and number <= _PAYLOAD_TYPE_MAX
        )

    @property
    def extensions(self) -> tuple[tuple[int, str], ...]:
        """The RTP header extensions: id and URI."""
        found = []
        for value in self.all("extmap"):
            head, _, rest = value.partition(" ")
            number = _number(head.partition("/")[0])
            if number is not None and rest.strip():
                found.append((number, rest.split()[0]))
        return tuple(found)

    @property
    def ssrc(self) -> int | None:
        """The first SSRC that is announced: that of the media itself, not of its repetition."""
        number = _number((self.get("ssrc") or "").partition(" ")[0])
        return number if number is not None and number < 2**32 else None


class Description(Lines, frozen=True):
    """A whole session description."""

    sections: tuple[Section, ...]

    def of(self, section: Section, name: str) -> str | None:
        """An attribute that may stand in the section or above all of them."""
        value = section.get(name)
        return self.get(name) if value is None else value

    @property
    def bundle(self) -> tuple[str, ...]:
        """The mids of the sections that share one transport."""
        for group in self.all("group"):
            words = group.split()
            if words and words[0] == "BUNDLE":
                return tuple(words[1:])
        return ()


def parse(text: str) -> Description:
    """Reads a description.

    :raises SdpError: it is none, or larger than anything that a client needs.
    """
    if len(text) > SDP_CHARS_MAX:
        raise SdpError(f"The session description has {len(text)} characters; {SDP_CHARS_MAX} are read.")
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.startswith("m="):
            blocks.append([])
        if line[1:2] == "=":
            blocks[-1].append(line)
    if not blocks[0] or not blocks[0][0].startswith("v="):
        raise SdpError("The session description does not begin with v=.")
    if len(blocks) > SECTIONS_MAX + 1:
        raise SdpError(f"The session description has {len(blocks) - 1} sections; {SECTIONS_MAX} are read.")
    return Description(_attributes(blocks[0]), tuple(_section(block) for block in blocks[1:]))


def render(description: Description, *, session_id: int, version: int) -> str:
    """The description as text. ``session_id`` and ``version`` make its origin line."""
    lines = ["v=0", f"o=- {session_id} {version} IN IP4 127.0.0.1", "s=-", "t=0 0"]
    lines += map(_attribute_line, description.attributes)
    for section in description.sections:
        formats = " ".join(section.formats)
        lines.append(f"m={section.kind} {section.port} {section.protocol} {formats}")
        lines.append("c=IN IP4 0.0.0.0")
        lines += map(_attribute_line, section.attributes)
    return "\r\n".join(lines) + "\r\n"


def _section(block: list[str]) -> Section:
    words = block[0][2:].split()
    port = _number(words[1].partition("/")[0]) if len(words) >= _WORDS_MIN else None
    if port is None:
        raise SdpError(f"The section {block[0][:80]!r} has no kind, port, protocol and format.")
    return Section(_attributes(block[1:]), words[0], port, words[2], tuple(words[3:]))


def _attributes(lines: list[str]) -> tuple[tuple[str, str], ...]:
    pairs = (line[2:].partition(":") for line in lines if line.startswith("a="))
    return tuple((name, value) for name, _, value in pairs)


def _number(text: str) -> int | None:
    """None where it is no number, or a longer one than there is in a description."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX else None


def _attribute_line(attribute: tuple[str, str]) -> str:
    name, value = attribute
    return f"a={name}:{value}" if value else f"a={name}"


def _by_payload_type(values: Iterator[str]) -> Iterator[tuple[str, str]]:
    for value in values:
        payload_type, _, rest = value.partition(" ")
        yield payload_type, rest
