"""A transport with the media that goes through it: which packet is whose, and the feedback of both sides."""

from __future__ import annotations

import asyncio
import secrets
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from aiortc import RTCCertificate
from aiortc.rtcdatachannel import RTCDataChannel
from aiortc.rtp import (
    RTCP_PSFB_FIR,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSrPacket,
)

from roombell.rooms.media import rtp
from roombell.rooms.media.forwarding import Sink, Source
from roombell.rooms.media.sdp import SECTIONS_MAX, Description, SdpError, Section
from roombell.rooms.media.transport import Transport

REPORT_INTERVAL_S: Final = 1.0
"""Between two receiver reports to a publisher, which sets its bit rate by them."""

_SSRCS_MAX: Final = 1024
_REPORTS_MAX: Final = 31
"""In one RTCP packet (RFC 3550, section 6.4.2)."""


class Link:
    """One transport of a participant, with its sources and sinks.

    :param on_state: called with ``connected`` and ``failed``.
    :param on_channel: called with each data channel that the client opens.
    """

    def __init__(
        self,
        certificate: RTCCertificate,
        addresses: Sequence[str],
        *,
        is_controlling: bool,
        on_state: Callable[[str], None],
        on_channel: Callable[[RTCDataChannel], None],
    ) -> None:
        self.transport = Transport(
            certificate,
            addresses,
            is_controlling=is_controlling,
            on_rtp=self._on_rtp,
            on_rtcp=self._on_rtcp,
            on_state=on_state,
            on_channel=on_channel,
        )
        self.sources: dict[str, Source] = {}
        """By mid."""
        self._sinks: dict[int, Sink] = {}
        self._source_by_ssrc: dict[int, Source] = {}
        self._mid_extension = 0
        self._ssrc = _draw_ssrc()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def source(self, mid: str, kind: str) -> Source:
        """The source of a section, made where there is none.

        :raises SdpError: there have been too many sections.
        """
        if mid not in self.sources:
            if len(self.sources) >= SECTIONS_MAX:
                raise SdpError(f"The client has sent in {SECTIONS_MAX} sections, and begins another.")
            self.sources[mid] = Source(kind, self.transport.send_rtcp, self._ssrc)
            if self._timer is None:
                self._timer = self._loop.call_later(REPORT_INTERVAL_S, self._report)
        return self.sources[mid]

    def new_sink(self, kind: str) -> Sink:
        sink = Sink(kind, _draw_ssrc(), self.transport.send_rtp, self.transport.send_rtcp)
        self._sinks[sink.ssrc] = sink
        return sink

    def drop_sink(self, sink: Sink) -> None:
        """Feedback for it is nobody's from now on."""
        self._sinks.pop(sink.ssrc, None)

    def route(self, description: Description) -> None:
        """Takes from an offer which SSRC is whose. The rest is learned from the packets."""
        self._source_by_ssrc.clear()
        for section in description.sections:
            source = self.sources.get(section.mid)
            if source is not None and section.ssrc is not None:
                self._source_by_ssrc[section.ssrc] = source
            self._mid_extension = _mid_extension(section) or self._mid_extension

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for sink in self._sinks.values():
            sink.disconnect()
        await self.transport.close()

    def _on_rtp(self, data: bytes) -> None:
        packet = rtp.parse(data)
        if packet is None:
            return
        now_s = self._loop.time()
        source = self._source_by_ssrc.get(packet.ssrc) or self._learn(packet)
        if source is not None and source.adopt(packet.ssrc, now_s):
            source.receive(packet, now_s)

    def _learn(self, packet: rtp.Packet) -> Source | None:
        """Whose an unknown SSRC is: the section that the packet names, or the only one that has its payload type."""
        named = rtp.extensions(packet).get(self._mid_extension) if self._mid_extension else None
        if named is not None:
            source = self.sources.get(named.decode("ascii", "replace"))
        else:
            fitting = [source for source in self.sources.values() if source.takes(packet.payload_type)]
            source = fitting[0] if len(fitting) == 1 else None
        if source is not None and len(self._source_by_ssrc) < _SSRCS_MAX:
            self._source_by_ssrc[packet.ssrc] = source
        return source

    def _on_rtcp(self, data: bytes) -> None:
        try:
            packets = RtcpPacket.parse(data)
        except (ValueError, struct.error):
            return  # of a kind that is not understood, or none at all
        for packet in packets:
            if isinstance(packet, RtcpSrPacket):
                source = self._source_by_ssrc.get(packet.ssrc)
                if source is not None and source.ssrc == packet.ssrc:
                    source.report(packet.sender_info)
            elif isinstance(packet, RtcpPsfbPacket) and packet.fmt in (RTCP_PSFB_PLI, RTCP_PSFB_FIR):
                self._ask_for_keyframes(packet)
            elif isinstance(packet, RtcpRtpfbPacket) and packet.fmt == RTCP_RTPFB_NACK:
                sink = self._sinks.get(packet.media_ssrc)
                if sink is not None:
                    sink.resend(packet.lost)

    def _ask_for_keyframes(self, packet: RtcpPsfbPacket) -> None:
        for ssrc in _wanted(packet):
            sink = self._sinks.get(ssrc)
            if sink is not None and sink.source is not None:
                sink.source.ask_for_keyframe(self._loop.time())

    def _report(self) -> None:
        reports = [report for source in self.sources.values() if (report := source.reception()) is not None]
        if reports:
            self.transport.send_rtcp(bytes(RtcpRrPacket(self._ssrc, reports[:_REPORTS_MAX])))
        self._timer = self._loop.call_later(REPORT_INTERVAL_S, self._report)


def _wanted(packet: RtcpPsfbPacket) -> Iterator[int]:
    """Whose picture is asked for: a PLI names one source, a FIR lists them (RFC 5104, section 4.3.1)."""
    if packet.fmt == RTCP_PSFB_PLI:
        yield packet.media_ssrc
    else:
        yield from (struct.unpack_from("!L", packet.fci, at)[0] for at in range(0, len(packet.fci) - 7, 8))


def _mid_extension(section: Section) -> int:
    return next((number for number, uri in section.extensions if uri == rtp.MID_URI), 0)


def _draw_ssrc() -> int:
    return secrets.randbelow(2**32 - 1) + 1
