from __future__ import annotations

from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import HeaderExtensionsMap, RtpPacket
from hypothesis import given
from hypothesis import strategies as st

from roombell.rooms.media import rtp

EXTENSIONS = HeaderExtensionsMap()
EXTENSIONS.configure(
    RTCRtpParameters(
        headerExtensions=[
            RTCRtpHeaderExtensionParameters(id=4, uri=rtp.MID_URI),
            RTCRtpHeaderExtensionParameters(id=10, uri=rtp.RID_URI),
        ]
    )
)
PACKETS = st.builds(
    lambda **fields: fields,
    payload_type=st.integers(0, 127),
    sequence=st.integers(0, 65535),
    timestamp=st.integers(0, 2**32 - 1),
    ssrc=st.integers(0, 2**32 - 1),
    marker=st.integers(0, 1),
    payload=st.binary(max_size=60),
    csrc=st.lists(st.integers(0, 2**32 - 1), max_size=3),
    mid=st.none() | st.text("abc0123", min_size=1, max_size=20),
    padding=st.integers(0, 20),
)


def serialized(fields: dict) -> bytes:
    packet = RtpPacket(
        payload_type=fields["payload_type"],
        marker=fields["marker"],
        sequence_number=fields["sequence"],
        timestamp=fields["timestamp"],
        ssrc=fields["ssrc"],
        payload=fields["payload"],
    )
    packet.csrc = fields["csrc"]
    packet.padding_size = fields["padding"]
    packet.extensions.mid = fields["mid"]
    return packet.serialize(EXTENSIONS)


@given(PACKETS)
def test_a_packet_is_read_as_aiortc_reads_it(fields: dict) -> None:
    packet = rtp.parse(serialized(fields))
    assert packet is not None
    assert (packet.payload_type, packet.sequence, packet.timestamp, packet.ssrc) == (
        fields["payload_type"],
        fields["sequence"],
        fields["timestamp"],
        fields["ssrc"],
    )
    assert packet.payload.startswith(fields["payload"])
    assert rtp.extensions(packet).get(4) == (fields["mid"].encode() if fields["mid"] else None)


@given(PACKETS, st.integers(0, 127), st.integers(0, 65535), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_packet_under_a_new_header_keeps_what_it_carries(
    fields: dict, payload_type: int, sequence: int, timestamp: int, ssrc: int
) -> None:
    packet = rtp.parse(serialized(fields))
    assert packet is not None
    read = RtpPacket.parse(
        rtp.build(packet, payload_type=payload_type, sequence=sequence, timestamp=timestamp, ssrc=ssrc)
    )
    assert (read.payload_type, read.sequence_number, read.timestamp, read.ssrc) == (
        payload_type,
        sequence,
        timestamp,
        ssrc,
    )
    assert (read.payload, read.marker, read.padding_size) == (fields["payload"], fields["marker"], fields["padding"])


@given(st.binary(max_size=80))
def test_bytes_that_are_no_packet_are_passed_over(data: bytes) -> None:
    packet = rtp.parse(data)
    if packet is not None:
        rtp.extensions(packet)


@given(st.integers(0, 65535), st.integers(-32768, 32767))
def test_distances_go_round(sequence: int, step: int) -> None:
    assert rtp.distance((sequence + step) & 0xFFFF, sequence) == step
