"""A session from the inside: what its client cannot tell from outside, or only after a long wait."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from livekit.protocol import models, rtc
from livekit.protocol import room as room_messages

from roombell.rooms.media.channels import LOSSY, RELIABLE
from roombell.rooms.media.forwarding import Source
from roombell.rooms.signalling.data import relay
from roombell.rooms.signalling.session import Session
from roombell.signing import VideoGrants
from support.signalling import Server, token

OFFER = (
    "v=0\r\no=- 1 1 IN IP4 0\r\ns=-\r\nt=0 0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijkl\r\n"
    "a=fingerprint:sha-256 AA:BB\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=msid:- voice\r\n"
    "a=rtpmap:111 opus/48000/2\r\na=sendonly\r\n"
)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with aiohttp.ClientSession() as client:
        made = Server(client)
        async with made.rooms:
            yield made
            made.drop_sockets()


def only_session(server: Server) -> Session:
    (one,) = server.rooms._sessions.by_sid.values()
    return one


async def test_who_came_back_in_time_is_not_put_out_later(server: Server) -> None:
    first = await server.open()
    sid = (await first.get("join")).participant.sid
    session = only_session(server)
    session._on_connected()
    session.lost(session._outbox)
    grace = session._grace
    assert grace is not None
    second = await server.open(reconnect="1", sid=sid)
    await second.get("reconnect")
    assert grace.cancelled()
    assert session._grace is None


async def test_a_track_that_the_server_mutes_is_heard_by_nobody_whatever_its_client_sends(server: Server) -> None:
    socket = await server.open()
    await socket.send(add_track=rtc.AddTrackRequest(cid="voice", type=models.AUDIO))
    track = (await socket.get("track_published")).track
    await socket.send(offer=rtc.SessionDescription(type="offer", sdp=OFFER))
    await socket.get("answer")
    (bound,) = only_session(server).publishing._bound.values()
    assert not bound.source.is_muted
    hub = server.rooms.hub
    hub.do(hub.tracks.mute_by_server, "lab", "alice", track.sid, muted=True)
    assert bound.source.is_muted
    assert (await socket.get("mute")).muted


async def test_a_message_that_is_sent_once_more_after_a_resume_arrives_once(server: Server) -> None:
    await (await server.open()).get("join")
    session = only_session(server)
    with server.rooms.hub.scripted("bot", room="lab") as bot:
        for sequence, payload in ((1, b"a"), (2, b"b"), (1, b"a"), (2, b"b"), (3, b"c")):
            packet = models.DataPacket(sequence=sequence, user=models.UserPacket(payload=payload))
            relay(server.rooms._sessions, session, RELIABLE, packet.SerializeToString())
        assert [one.user.payload for one in bot.data] == [b"a", b"b", b"c"]
        assert session.last_sequence == 3


async def test_data_of_somebody_who_may_send_none_goes_nowhere(server: Server) -> None:
    mute = VideoGrants(room_join=True, room="lab", can_publish_data=False)
    await (await server.open(access_token=token(grants=mute))).get("join")
    packet = models.DataPacket(user=models.UserPacket(payload=b"hello")).SerializeToString()
    with server.rooms.hub.scripted("bot", room="lab") as bot:
        for label in (RELIABLE, LOSSY):
            relay(server.rooms._sessions, only_session(server), label, packet)
        assert bot.data == ()


@pytest.mark.parametrize("path", ["/rtc", "/rtc/v1"])
async def test_who_may_not_subscribe_gets_nothing_until_it_may(server: Server, path: str) -> None:
    deaf = VideoGrants(room_join=True, room="lab", can_subscribe=False)
    socket = await server.open(path, access_token=token(grants=deaf))
    await socket.get("join")
    session, hub = only_session(server), server.rooms.hub
    with hub.scripted("bot", room="lab") as bot:
        sid = bot.publish("microphone", media=False)
        server.rooms._sessions.sources[sid] = Source("audio", lambda _: None, 1)
        hub.do(hub.tracks.media, bot.sid, sid)
        assert sid not in session.peer.subscriptions
        rights = models.ParticipantPermission(can_subscribe=True)
        update = room_messages.UpdateParticipantRequest(room="lab", identity="alice", permission=rights)
        hub.do(hub.participants.update, update)
        assert sid in session.peer.subscriptions
    assert sid not in session.peer.subscriptions
