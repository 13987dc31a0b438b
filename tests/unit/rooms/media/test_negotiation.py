from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roombell.rooms.media.codecs import Codec, forwarded, offered
from roombell.rooms.media.negotiation import LocalEnd, Planned, Stream, answer, offer, remote_end
from roombell.rooms.media.sdp import Description, SdpError, Section, parse, render

END = LocalEnd("ours", "password", "sha-256 AA:BB", ("1 1 udp 1 127.0.0.1 5 typ host",))
STREAM = Stream(4711, "cname", "PA_x|TR_y", "TR_y")
RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"


def video(mid: str, direction: str, *more: tuple[str, str], formats: str = "96 97 98 99 45") -> Section:
    attributes = (
        ("mid", mid),
        (direction, ""),
        ("rtpmap", "96 VP8/90000"),
        ("rtcp-fb", "96 nack"),
        ("rtcp-fb", "96 goog-remb"),
        ("rtpmap", "97 rtx/90000"),
        ("fmtp", "97 apt=96"),
        ("rtpmap", "98 H264/90000"),
        ("fmtp", "98 packetization-mode=1;profile-level-id=42e01f"),
        ("rtpmap", "99 ulpfec/90000"),
        ("rtpmap", "45 AV1/90000"),
        ("extmap", f"10 {RID}"),
        ("extmap", "11 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"),
        *more,
    )
    return Section(attributes, "video", 9, "UDP/TLS/RTP/SAVPF", tuple(formats.split()))


def offering(*sections: Section) -> Description:
    return Description(
        (("ice-ufrag", "u"), ("ice-pwd", "p"), ("fingerprint", "sha-256 CC"), ("setup", "actpass")), sections
    )


@pytest.mark.parametrize(
    ("theirs", "sends", "ours"),
    [
        ("sendonly", False, "recvonly"),
        ("sendonly", True, "recvonly"),
        ("recvonly", True, "sendonly"),
        ("recvonly", False, "inactive"),
        ("sendrecv", True, "sendrecv"),
        ("sendrecv", False, "recvonly"),
        ("inactive", True, "inactive"),
    ],
)
def test_the_answer_s_direction_follows_from_the_offer_s(theirs: str, sends: bool, ours: str) -> None:
    (section,) = answer(offering(video("0", theirs)), END, {"0": STREAM} if sends else {}, setup="active").sections
    assert section.direction == ours
    assert (section.ssrc == STREAM.ssrc) is (ours in ("sendonly", "sendrecv"))


def test_only_what_can_be_forwarded_is_agreed_on() -> None:
    layers = (("rid", "q send"), ("rid", "h send"), ("simulcast", "send q;h"))
    (section,) = answer(offering(video("0", "sendonly", *layers)), END, {}, setup="active").sections
    assert [codec.name for codec in section.codecs] == ["vp8", "h264", "av1"]
    assert section.codecs[0].feedback == ("nack",)
    assert (section.get("simulcast"), section.get("rid")) == (None, None)
    assert section.extensions == ((10, RID),)


def test_a_section_without_a_known_codec_is_rejected_and_the_others_are_not() -> None:
    described = answer(
        offering(video("0", "sendonly", formats="97 99"), video("1", "sendonly")), END, {}, setup="active"
    )
    assert [section.is_rejected for section in described.sections] == [True, False]
    assert described.bundle == ("1",)


@given(
    st.lists(st.tuples(st.sampled_from(["sendonly", "recvonly", "sendrecv", "inactive"]), st.booleans()), max_size=12)
)
def test_an_answer_has_the_offer_s_sections_in_their_order(wishes: list[tuple[str, bool]]) -> None:
    sections = [video(f"{number}", direction) for number, (direction, _) in enumerate(wishes)]
    streams = {f"{number}": STREAM for number, (_, sends) in enumerate(wishes) if sends}
    answered = parse(render(answer(offering(*sections), END, streams, setup="active"), session_id=1, version=1))
    assert [(one.kind, one.mid) for one in answered.sections] == [(one.kind, one.mid) for one in sections]
    for theirs, ours in zip(sections, answered.sections, strict=True):
        assert not ours.sends or theirs.receives
        assert not ours.receives or theirs.sends


def test_an_offer_of_ours_has_data_first_and_then_what_is_planned() -> None:
    planned = (Planned("1", "audio", STREAM), Planned("2", "video", None))
    data, audio, empty = parse(render(offer(END, planned, data_mid="0"), session_id=1, version=1)).sections
    assert (data.kind, data.mid) == ("application", "0")
    assert (audio.direction, audio.get("msid")) == ("sendonly", "PA_x|TR_y TR_y")
    assert empty.direction == "inactive"
    assert all(codec.name in ("opus", "vp8", "h264", "vp9", "av1") for codec in (*audio.codecs, *empty.codecs))


@pytest.mark.parametrize("missing", ["ice-ufrag", "ice-pwd", "fingerprint"])
def test_a_transport_that_lacks_something_is_refused(missing: str) -> None:
    whole = offering(video("0", "sendonly"))
    lacking = Description(tuple(one for one in whole.attributes if one[0] != missing), whole.sections)
    assert remote_end(whole).ufrag == "u"
    with pytest.raises(SdpError, match=missing):
        remote_end(lacking)


def test_codecs_are_known_again_by_what_makes_their_format() -> None:
    def h264(parameters: str) -> Codec:
        return Codec(100, "h264", 90_000, parameters=parameters)

    base = h264("packetization-mode=1;profile-level-id=42e01f")
    assert base.matches(h264("profile-level-id=42E034;packetization-mode=1"))
    assert not base.matches(h264("packetization-mode=0;profile-level-id=42e01f"))
    assert not base.matches(h264("packetization-mode=1;profile-level-id=640032"))
    assert not Codec(1, "opus", 48_000, 2).matches(Codec(1, "opus", 48_000, 1))
    assert Codec(1, "vp9", 90_000).matches(Codec(2, "vp9", 90_000, parameters="profile-id=0"))
    for kind in ("audio", "video"):
        assert forwarded(kind, offered(kind)) == offered(kind)
