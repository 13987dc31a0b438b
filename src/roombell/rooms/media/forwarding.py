"""From one who publishes to those who subscribe: packets go on as they came, under the subscriber's own numbers.

A source may begin anew under another SSRC, and a sink may pause. Sequence numbers and timestamps then go on where they
were: SRTP refuses what jumps back, and a decoder takes it for loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from aiortc.rtp import (
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRtpfbPacket,
    RtcpSenderInfo,
    RtcpSrPacket,
)

from roombell.rooms.media import rtp
from roombell.rooms.media.codecs import Codec

KEPT_PACKETS_MAX: Final = {"audio": 64, "video": 512}
"""How many packets a sink can send once more, by kind."""

SILENCE_S: Final = 1.0
"""After which another SSRC may take over a section."""

_KEYFRAME_INTERVAL_S: Final = 0.25
_GAP_MAX: Final = 64
_FIRST_SEQUENCE: Final = 1000
"""Not the lowest: a packet that overtook the first one is numbered below it."""


class Source:
    """The media of one published section.

    :param send_rtcp: takes feedback for the publisher.
    :param feedback_ssrc: the SSRC that our feedback is from.
    """

    def __init__(self, kind: str, send_rtcp: Callable[[bytes], None], feedback_ssrc: int) -> None:
        self.kind = kind
        self.ssrc: int | None = None
        self.is_muted = False
        """Whatever comes then goes nowhere."""
        self.on_first: Callable[[Codec], None] = lambda _: None
        """Called once after each ``begin``, with the codec of the first packet."""
        self._codecs: dict[int, Codec] = {}
        self._send_rtcp = send_rtcp
        self._feedback_ssrc = feedback_ssrc
        self._sinks: list[Sink] = []
        self._is_live = False
        self._heard_at_s = 0.0
        self._asked_at_s = -_KEYFRAME_INTERVAL_S
        self._reception = Reception()

    def begin(self) -> None:
        """Another track uses the section from here on: nobody gets it yet."""
        for sink in tuple(self._sinks):
            sink.disconnect()
        self.ssrc, self._is_live, self.is_muted, self._reception = None, False, False, Reception()

    def use_codecs(self, codecs: Iterable[Codec]) -> None:
        self._codecs = {codec.payload_type: codec for codec in codecs}

    def takes(self, payload_type: int) -> bool:
        return payload_type in self._codecs

    def adopt(self, ssrc: int, now_s: float) -> bool:
        """Whether ``ssrc`` is the section's, which a second one becomes only when the first has fallen silent."""
        if self.ssrc is None or (ssrc != self.ssrc and now_s - self._heard_at_s > SILENCE_S):
            self.ssrc, self._reception = ssrc, Reception()
        return ssrc == self.ssrc

    def receive(self, packet: rtp.Packet, now_s: float) -> None:
        """Takes a packet of the section's SSRC and passes it on."""
        codec = self._codecs.get(packet.payload_type)
        if codec is None:
            return
        self._heard_at_s = now_s
        missed = self._reception.take(packet.sequence)
        if missed and self.kind == "video":
            self._send_rtcp(bytes(_nack(self._feedback_ssrc, packet.ssrc, missed)))
        if not self._is_live:
            self._is_live = True
            self.on_first(codec)
        if not self.is_muted:
            for sink in self._sinks:
                sink.send(packet, codec, now_s)

    def report(self, info: RtcpSenderInfo) -> None:
        """Passes on what the publisher says of its clock, so that sound and picture can be played together."""
        for sink in self._sinks:
            sink.report(info)

    def reception(self) -> RtcpReceiverInfo | None:
        """What the publisher is to be told of how its media arrives."""
        return None if self.ssrc is None else self._reception.report(self.ssrc)

    def add(self, sink: Sink, now_s: float) -> None:
        self._sinks.append(sink)
        self.ask_for_keyframe(now_s)

    def remove(self, sink: Sink) -> None:
        """Nothing happens where it is gone already."""
        if sink in self._sinks:
            self._sinks.remove(sink)

    def ask_for_keyframe(self, now_s: float) -> None:
        """Asks the publisher for a picture that needs no other, at most four times a second."""
        if self.kind == "video" and self.ssrc is not None and now_s - self._asked_at_s >= _KEYFRAME_INTERVAL_S:
            self._asked_at_s = now_s
            self._send_rtcp(bytes(RtcpPsfbPacket(RTCP_PSFB_PLI, self._feedback_ssrc, self.ssrc)))


class Reception:
    """What has come of one SSRC: for receiver reports, and to notice what is missing."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._highest = 0
        """Goes on past 65,535."""
        self._received = 0
        self._told = (0, 0)
        self._lsr = 0

    def take(self, sequence: int) -> range:
        """Counts a packet in; gives the numbers just before it that are missing, few enough to be worth asking for."""
        self._received += 1
        if self._first is None:
            self._first = self._highest = sequence
            return range(0)
        step = rtp.distance(sequence, self._highest & 0xFFFF)
        if step <= 0:
            return range(0)
        before, self._highest = self._highest, self._highest + step
        return range(before + 1, self._highest) if step <= _GAP_MAX else range(0)

    def report(self, ssrc: int) -> RtcpReceiverInfo | None:
        if self._first is None:
            return None
        expected = self._highest - self._first + 1
        lost = max(0, expected - self._received)
        asked, got = expected - self._told[0], self._received - self._told[1]
        self._told = (expected, self._received)
        fraction = min(255, max(0, asked - got) * 256 // asked) if asked > 0 else 0
        return RtcpReceiverInfo(ssrc, fraction, min(lost, 0x7FFFFF), self._highest & 0xFFFFFFFF, 0, 0, 0)


class Sink:
    """One track on its way to one subscriber.

    :param send_rtp: takes a packet.
    :param send_rtcp: takes a report.
    """

    def __init__(
        self, kind: str, ssrc: int, send_rtp: Callable[[bytes], None], send_rtcp: Callable[[bytes], None]
    ) -> None:
        self.kind = kind
        self.ssrc = ssrc
        self.source: Source | None = None
        self.is_paused = False
        self._codecs: Sequence[Codec] = ()
        self._payload_types: dict[int, int | None] = {}
        self._send_rtp = send_rtp
        self._send_rtcp = send_rtcp
        self._from: int | None = None
        self._sequence_offset = self._timestamp_offset = 0
        self._last_sequence, self._last_timestamp, self._last_at_s = _FIRST_SEQUENCE - 1, 0, 0.0
        self._kept: dict[int, bytes] = {}
        self._packets = self._bytes = 0

    def use_codecs(self, codecs: Sequence[Codec]) -> None:
        """What the subscriber can take."""
        self._codecs = codecs
        self._payload_types.clear()

    def connect(self, source: Source, now_s: float) -> None:
        """Sends what comes from ``source``, in place of what it sent before."""
        self.disconnect()
        self.source = source
        source.add(self, now_s)

    def disconnect(self) -> None:
        """Sends nothing any more."""
        if self.source is not None:
            self.source.remove(self)
        self.source = self._from = None
        self._payload_types.clear()

    def pause(self, *, is_paused: bool, now_s: float) -> None:
        """Holds back what comes while the subscriber does not show it."""
        if self.is_paused and not is_paused and self.source is not None:
            self._from = None
            self.source.ask_for_keyframe(now_s)
        self.is_paused = is_paused

    def send(self, packet: rtp.Packet, codec: Codec, now_s: float) -> None:
        """Sends a packet of the source's; one in a codec that the subscriber does not know is dropped."""
        if self.is_paused:
            return
        payload_type = self._payload_type(codec)
        if payload_type is None:
            return
        if packet.ssrc != self._from:
            self._follow(packet, codec, now_s)
        sequence = (packet.sequence + self._sequence_offset) & 0xFFFF
        timestamp = (packet.timestamp + self._timestamp_offset) & 0xFFFFFFFF
        data = rtp.build(packet, payload_type=payload_type, sequence=sequence, timestamp=timestamp, ssrc=self.ssrc)
        if rtp.distance(sequence, self._last_sequence) > 0:
            self._last_sequence, self._last_timestamp, self._last_at_s = sequence, timestamp, now_s
        self._keep(sequence, data)
        self._packets += 1
        self._bytes += len(packet.payload)
        self._send_rtp(data)

    def resend(self, sequences: Iterable[int]) -> None:
        """Sends once more what the subscriber missed, as far as it is still there."""
        for sequence in sequences:
            data = self._kept.get(sequence)
            if data is not None:
                self._send_rtp(data)

    def report(self, info: RtcpSenderInfo) -> None:
        """Passes on a sender report, in the subscriber's numbers."""
        if self._from is None or self.is_paused:
            return
        timestamp = (info.rtp_timestamp + self._timestamp_offset) & 0xFFFFFFFF
        counts = self._packets & 0xFFFFFFFF, self._bytes & 0xFFFFFFFF
        self._send_rtcp(bytes(RtcpSrPacket(self.ssrc, RtcpSenderInfo(info.ntp_timestamp, timestamp, *counts))))

    def _payload_type(self, codec: Codec) -> int | None:
        """The subscriber's number for the codec."""
        known = self._payload_types
        if codec.payload_type not in known:
            numbers = (mine.payload_type for mine in self._codecs if mine.matches(codec))
            known[codec.payload_type] = next(numbers, None)
        return known[codec.payload_type]

    def _follow(self, packet: rtp.Packet, codec: Codec, now_s: float) -> None:
        """Goes on with the numbers after what was sent last, as much later as it is by the clock."""
        elapsed = max(1, int((now_s - self._last_at_s) * codec.clock_rate)) if self._packets else 0
        self._from = packet.ssrc
        self._sequence_offset = self._last_sequence + 1 - packet.sequence
        self._timestamp_offset = self._last_timestamp + elapsed - packet.timestamp if self._packets else 0

    def _keep(self, sequence: int, data: bytes) -> None:
        kept = self._kept
        kept[sequence] = data
        if len(kept) > KEPT_PACKETS_MAX[self.kind]:
            del kept[next(iter(kept))]


def _nack(from_ssrc: int, ssrc: int, missed: range) -> RtcpRtpfbPacket:
    # In rising order also where the numbers go round: aiortc cannot pack others.
    return RtcpRtpfbPacket(RTCP_RTPFB_NACK, from_ssrc, ssrc, sorted(sequence & 0xFFFF for sequence in missed))
