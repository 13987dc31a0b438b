from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roombell.rooms.media.sdp import SDP_CHARS_MAX, SECTIONS_MAX, Description, SdpError, parse, render

OFFER = """v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1 2
a=ice-ufrag:up here
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 not-a-number
a=mid:0
a=sendonly
a=msid:stream-1 track-1
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:9/sendonly urn:example
a=ssrc:77 cname:x
a=ssrc:78 cname:x
m=video 0 UDP/TLS/RTP/SAVPF 96
a=mid:1
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
a=mid:2
a=ice-ufrag:own
""".replace("\n", "\r\n")


def test_a_description_is_read_and_rendered_without_loss() -> None:
    read = parse(OFFER)
    assert parse(render(read, session_id=1, version=2)) == read


def test_sections_tell_what_they_are() -> None:
    audio, video, data = parse(OFFER).sections
    assert (audio.mid, audio.kind, audio.track_id, audio.ssrc) == ("0", "audio", "track-1", 77)
    assert (audio.sends, audio.receives) == (True, False)
    assert [(codec.payload_type, codec.name, codec.channels) for codec in audio.codecs] == [
        (111, "opus", 2),
        (63, "red", 2),
    ]
    assert audio.extensions == ((4, "urn:ietf:params:rtp-hdrext:sdes:mid"), (9, "urn:example"))
    assert (video.is_rejected, video.sends, video.receives) == (True, False, False)
    assert (data.kind, data.formats) == ("application", ("webrtc-datachannel",))


def test_an_attribute_of_the_section_wins_over_that_of_the_description() -> None:
    read = parse(OFFER)
    assert [read.of(section, "ice-ufrag") for section in read.sections] == ["up here", "up here", "own"]
    assert read.bundle == ("0", "1", "2")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "does not begin"),
        ("m=audio 9 x 1\r\n", "does not begin"),
        ("v=0\r\nm=audio\r\n", "no kind, port"),
        ("v=0\r\nm=audio nine x 1\r\n", "no kind, port"),
        ("v=0\r\n" + "a=x\r\n" * SDP_CHARS_MAX, f"{SDP_CHARS_MAX} are read"),
        ("v=0\r\n" + "m=audio 9 x 1\r\n" * (SECTIONS_MAX + 1), f"{SECTIONS_MAX} are read"),
    ],
)
def test_what_is_no_description_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(SdpError, match=said):
        parse(text)


LINES = st.lists(
    st.one_of(
        st.sampled_from(OFFER.split("\r\n")),
        st.text(max_size=30),
        st.builds(
            "a={}:{}".format, st.sampled_from(["mid", "rtpmap", "ssrc", "msid", "extmap", "fmtp"]), st.text(max_size=20)
        ),
    ),
    max_size=30,
)


@given(LINES)
def test_whatever_a_client_sends_is_read_or_refused(lines: list[str]) -> None:
    try:
        read = parse("v=0\r\n" + "\r\n".join(lines))
    except SdpError:
        return
    assert isinstance(read, Description)
    for section in read.sections:
        assert (section.mid, section.codecs, section.extensions, section.ssrc, section.direction) is not None


@given(st.lists(st.sampled_from(OFFER.split("\r\n")) | st.text(max_size=40)), st.sampled_from(["111", "9" * 5_000]))
def test_whatever_comes_is_a_description_that_can_be_read_or_an_error(lines: list[str], digits: str) -> None:
    text = "\r\n".join(["v=0", *lines]).replace("111", digits)
    try:
        read = parse(text)
    except SdpError:
        return
    for section in read.sections:
        assert (section.codecs, section.extensions, section.ssrc) is not None


def test_a_format_that_is_repeated_is_one_codec() -> None:
    (section,) = parse("v=0\r\nm=audio 9 X " + "111 " * 1_000 + "\r\na=rtpmap:111 opus/48000/2\r\n").sections
    assert [codec.payload_type for codec in section.codecs] == [111]
