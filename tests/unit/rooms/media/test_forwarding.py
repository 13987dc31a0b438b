from __future__ import annotations

from collections.abc import Iterable

import pytest
from aiortc.rtp import RtcpPacket, RtcpPsfbPacket, RtcpRtpfbPacket, RtcpSenderInfo, RtcpSrPacket
from hypothesis import example, given
from hypothesis import strategies as st

from roombell.rooms.media import rtp
from roombell.rooms.media.codecs import Codec
from roombell.rooms.media.forwarding import KEPT_PACKETS_MAX, SILENCE_S, Reception, Sink, Source

OPUS = Codec(111, "opus", 48_000, 2)
VP8 = Codec(96, "vp8", 90_000)


def packet(sequence: int, *, ssrc: int = 1, timestamp: int = 0, payload_type: int = 96) -> rtp.Packet:
    return rtp.Packet(payload_type, sequence & 0xFFFF, timestamp, ssrc, False, False, 0, b"", b"%d" % sequence)


class Wire:
    """A source and a sink, and what goes out at both ends."""

    def __init__(self, kind: str = "video", codec: Codec = VP8) -> None:
        self.sent: list[rtp.Packet] = []
        self.reports: list[RtcpSrPacket] = []
        self.feedback: list[RtcpPsfbPacket | RtcpRtpfbPacket] = []
        self.source = Source(kind, lambda data: self.feedback.extend(RtcpPacket.parse(data)), 99)
        self.source.use_codecs([codec])
        self.sink = self.new_sink(kind, codec)

    def new_sink(self, kind: str, codec: Codec) -> Sink:
        def take(data: bytes) -> None:
            sent = rtp.parse(data)
            assert sent is not None
            self.sent.append(sent)

        sink = Sink(kind, 4711, take, lambda data: self.reports.extend(RtcpPacket.parse(data)))
        sink.use_codecs([Codec(codec.payload_type + 1, codec.name, codec.clock_rate, codec.channels)])
        sink.connect(self.source, 0.0)
        return sink

    def publish(self, packets: Iterable[rtp.Packet], now_s: float = 0.0) -> None:
        for one in packets:
            if self.source.adopt(one.ssrc, now_s):
                self.source.receive(one, now_s)


def test_packets_go_out_under_the_subscriber_s_ssrc_and_payload_type() -> None:
    wire = Wire()
    wire.publish([packet(7)])
    assert [(one.ssrc, one.payload_type, one.payload) for one in wire.sent] == [(4711, 97, b"7")]


@given(st.integers(0, 65535), st.lists(st.integers(-20, 20), min_size=1, max_size=40))
@example(first=65517, steps=[20])
def test_gaps_and_disorder_arrive_as_they_came(first: int, steps: list[int]) -> None:
    wire = Wire()
    wire.publish([packet(first), *(packet(first + step) for step in steps)])
    out = [rtp.distance(one.sequence, wire.sent[0].sequence) for one in wire.sent]
    assert out == [0, *steps]


def test_another_ssrc_takes_over_after_a_silence_and_numbering_goes_on() -> None:
    wire = Wire("audio", OPUS)
    wire.publish([packet(60_000 + n, ssrc=1, timestamp=n * 960, payload_type=111) for n in range(3)], now_s=1.0)
    wire.publish([packet(5, ssrc=2, payload_type=111)], now_s=1.0 + SILENCE_S / 2)
    assert len(wire.sent) == 3
    wire.publish([packet(n, ssrc=2, timestamp=77 + n * 960, payload_type=111) for n in range(3)], now_s=4.0)
    sequences = [one.sequence for one in wire.sent]
    assert sequences == list(range(sequences[0], sequences[0] + 6))
    assert wire.sent[3].timestamp - wire.sent[2].timestamp == 3 * 48_000
    assert wire.sent[4].timestamp - wire.sent[3].timestamp == 960


def test_a_codec_that_the_subscriber_does_not_know_is_dropped() -> None:
    wire = Wire()
    wire.sink.use_codecs([OPUS])
    wire.publish([packet(1)])
    assert wire.sent == []


def test_what_is_missing_is_asked_for_once_and_can_be_sent_again() -> None:
    wire = Wire()
    wire.publish([packet(10), packet(14), packet(12)])
    (nack,) = [one for one in wire.feedback if isinstance(one, RtcpRtpfbPacket)]
    assert nack.lost == [11, 12, 13]
    wire.sink.resend([wire.sent[1].sequence, 9_999])
    assert wire.sent[-1] == wire.sent[1]


def test_sound_that_is_missing_is_not_asked_for() -> None:
    wire = Wire("audio", OPUS)
    wire.publish([packet(10, payload_type=111), packet(14, payload_type=111)])
    assert wire.feedback == []


def test_only_so_many_packets_are_kept() -> None:
    wire = Wire()
    wire.publish(packet(number) for number in range(KEPT_PACKETS_MAX["video"] + 1))
    first, second = wire.sent[0].sequence, wire.sent[1].sequence
    before = len(wire.sent)
    wire.sink.resend([first])
    assert len(wire.sent) == before
    wire.sink.resend([second])
    assert len(wire.sent) == before + 1


def test_keyframes_are_asked_for_at_most_four_times_a_second() -> None:
    wire = Wire()
    wire.publish([packet(1)])
    for now_s in (1.0, 1.1, 1.2, 1.3):
        wire.source.ask_for_keyframe(now_s)
    assert [type(one).__name__ for one in wire.feedback] == ["RtcpPsfbPacket"] * 2


def test_a_paused_sink_sends_nothing_and_goes_on_where_it_was() -> None:
    wire = Wire()
    wire.publish([packet(1)])
    wire.sink.pause(is_paused=True, now_s=1.0)
    wire.publish([packet(2), packet(3)])
    wire.sink.pause(is_paused=False, now_s=2.0)
    wire.publish([packet(4)], now_s=2.0)
    assert [one.payload for one in wire.sent] == [b"1", b"4"]
    assert wire.sent[1].sequence == wire.sent[0].sequence + 1
    assert any(isinstance(one, RtcpPsfbPacket) for one in wire.feedback)


def test_nothing_of_a_muted_source_goes_out() -> None:
    wire = Wire()
    wire.source.is_muted = True
    wire.publish([packet(1)])
    wire.source.is_muted = False
    wire.publish([packet(2)])
    assert [one.payload for one in wire.sent] == [b"2"]


def test_sender_reports_arrive_in_the_subscriber_s_numbers() -> None:
    wire = Wire()
    wire.publish([packet(1, timestamp=1000)])
    wire.source.report(RtcpSenderInfo(ntp_timestamp=5, rtp_timestamp=1090, packet_count=1, octet_count=1))
    (report,) = wire.reports
    assert report.ssrc == 4711
    assert report.sender_info.rtp_timestamp - wire.sent[0].timestamp == 90


def test_a_section_that_begins_anew_tells_of_its_first_packet_and_leaves_its_sinks() -> None:
    wire = Wire()
    told: list[str] = []
    wire.source.on_first = lambda codec: told.append(codec.name)
    wire.publish([packet(1), packet(2)])
    wire.source.begin()
    wire.publish([packet(3)])
    assert told == ["vp8", "vp8"]
    assert [one.payload for one in wire.sent] == [b"1", b"2"]
    assert wire.sink.source is None


@pytest.mark.parametrize(("lost", "fraction"), [(0, 0), (25, 64)])
def test_receiver_reports_tell_of_loss(lost: int, fraction: int) -> None:
    reception = Reception()
    assert reception.report(1) is None
    for sequence in range(100):
        if sequence == 0 or sequence > lost:
            reception.take(sequence)
    report = reception.report(1)
    assert report is not None
    assert (report.packets_lost, report.fraction_lost) == (lost, fraction)
    assert report.highest_sequence == 99
