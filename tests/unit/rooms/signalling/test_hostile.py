"""Clients that send what no client of LiveKit's sends: each is answered or put out, and nothing is logged as a fault."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import aiohttp
import pytest
from livekit.protocol import models, rtc
from livekit.protocol import room as room_messages

from roombell.rooms.media.sdp import SECTIONS_MAX
from roombell.rooms.signalling import outbox, session
from roombell.rooms.tracks import REQUEST_BYTES_MAX
from support.signalling import Server, token

HEAD = (
    "v=0\r\no=- 1 1 IN IP4 0\r\ns=-\r\nt=0 0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijkl\r\n"
    "a=fingerprint:sha-256 AA:BB\r\n"
)
MANY_DIGITS = "9" * 5_000


def section(mid: str = "0", more: str = "") -> str:
    return f"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:{mid}\r\na=rtpmap:111 opus/48000/2\r\na=sendrecv\r\n{more}"


def offer(*sections: str) -> rtc.SessionDescription:
    return rtc.SessionDescription(type="offer", sdp=HEAD + "".join(sections))


@pytest.fixture
async def server(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Server]:
    async with aiohttp.ClientSession() as client:
        made = Server(client)
        async with made.rooms:
            yield made
            made.drop_sockets()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    "request_",
    [
        rtc.AddTrackRequest(cid="c", type=99),
        rtc.AddTrackRequest(cid="c", name="x" * REQUEST_BYTES_MAX),
        rtc.AddTrackRequest(cid="c", layers=[models.VideoLayer(width=1)] * REQUEST_BYTES_MAX),
    ],
    ids=["type", "name", "layers"],
)
async def test_a_track_that_cannot_be_told_to_others_is_refused(server: Server, request_: rtc.AddTrackRequest) -> None:
    socket = await server.open()
    await socket.send(add_track=request_)
    assert (await socket.get("request_response")).reason == rtc.RequestResponse.LIMIT_EXCEEDED
    await socket.send(ping=1)
    await socket.get("pong")


async def test_a_participant_has_so_many_tracks_and_no_more(server: Server) -> None:
    socket = await server.open()
    for number in range(101):
        await socket.send(add_track=rtc.AddTrackRequest(cid=f"{number}"))
    refusal = await socket.get("request_response")
    assert (refusal.reason, refusal.add_track.cid) == (rtc.RequestResponse.LIMIT_EXCEEDED, "100")


@pytest.mark.parametrize(
    "text",
    [
        section(more=f"a=extmap:{MANY_DIGITS} urn:x\r\n"),
        section(more="a=extmap:1 \r\n"),
        section(more=f"a=ssrc:{MANY_DIGITS} cname:x\r\n"),
        section(more="a=candidate:1 1 udp 1 127.0.0.1 99999999 typ host\r\n"),
        section(more=f"a=candidate:1 1 udp 1 127.0.0.1 {MANY_DIGITS} typ host\r\n"),
        section().replace("111", MANY_DIGITS),
    ],
    ids=["extension", "no URI", "ssrc", "port", "digits", "payload type"],
)
async def test_an_offer_with_numbers_beyond_all_bounds_is_answered(server: Server, text: str) -> None:
    socket = await server.open()
    await socket.send(offer=offer(text))
    assert (await socket.get("answer")).sdp.startswith("v=0")


async def test_an_offer_with_a_port_beyond_all_bounds_has_its_client_begin_anew(server: Server) -> None:
    socket = await server.open()
    await socket.send(offer=offer(section().replace("audio 9", f"audio {MANY_DIGITS}")))
    assert (await socket.get("leave")).reason == models.STATE_MISMATCH


@pytest.mark.parametrize("path", ["/rtc", "/rtc/v1"])
async def test_sections_do_not_grow_from_offer_to_offer_without_end(server: Server, path: str) -> None:
    socket = await server.open(path)
    half = SECTIONS_MAX // 2
    for number in range(2):
        await socket.send(offer=offer(*(section(f"{number}-{mid}") for mid in range(half))))
        await socket.get("answer")
    await socket.send(offer=offer(section("one more")))
    assert (await socket.get("leave")).reason == models.STATE_MISMATCH


@pytest.mark.parametrize(
    "candidate",
    [
        "",
        "[" * 10_000,
        '{"candidate": 1}',
        '{"candidate": "candidate:a b c d e f g h"}',
        '{"candidate": "candidate:1 1 udp 1 127.0.0.1 0 typ host"}',
        '{"candidate": "candidate:1 1 udp 1 127.0.0.1 65536 typ host"}',
        '{"candidate": "candidate:1 1 udp 1 example.com 9 typ host"}',
        '{"candidate": "candidate:1 1 udp 1 ::1 9 typ host"}',
        '{"candidate": "candidate:1 1 tcp 1 127.0.0.1 9 typ host tcptype passive"}',
    ],
)
async def test_an_address_that_cannot_be_used_is_passed_over(server: Server, candidate: str) -> None:
    socket = await server.open()
    await socket.send(offer=offer(section()))
    await socket.send(trickle=rtc.TrickleRequest(candidateInit=candidate, target=rtc.PUBLISHER))
    await socket.send(ping=1)
    await socket.get("pong")
    (one,) = server.rooms._sessions.by_sid.values()
    assert one.peer._publisher.transport._newest.remote_candidates == []


async def test_a_flood_of_addresses_is_cut_short(server: Server) -> None:
    socket = await server.open()
    await socket.send(offer=offer(section()))
    for port in range(1, 201):
        init = f'{{"candidate": "candidate:1 1 udp 1 127.0.0.1 {port} typ host"}}'
        await socket.send(trickle=rtc.TrickleRequest(candidateInit=init, target=rtc.PUBLISHER))
    await socket.send(ping=1)
    await socket.get("pong")
    (one,) = server.rooms._sessions.by_sid.values()
    assert len(one.peer._publisher.transport._newest.remote_candidates) == 64


async def test_what_waits_for_a_client_is_bounded_in_bytes_too(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "BYTES_MAX", 1_000_000)
    stalled = await server.open()
    await stalled.get("join")
    stalled.raw._response.connection.transport.pause_reading()
    hub = server.rooms.hub
    for number in range(1_000):
        hub.do(hub.rooms.update_metadata, "lab", f"{number:060000}")
    async with asyncio.timeout(30):
        while server.rooms.connected:
            await hub.settled()
            await asyncio.to_thread(len, "")
    assert server.types() == ["room_started", "participant_connection_aborted"]


async def test_a_right_that_this_version_does_not_know_is_kept_and_told(server: Server) -> None:
    socket = await server.open()
    await socket.get("join")
    hub = server.rooms.hub
    rights = models.ParticipantPermission(can_publish=True, can_publish_sources=[99])
    hub.do(
        hub.participants.update,
        room_messages.UpdateParticipantRequest(room="lab", identity="alice", permission=rights),
    )
    assert await socket.get("refresh_token")


async def test_who_is_put_out_by_whoever_hears_of_the_join_is_told_to_leave() -> None:
    async with aiohttp.ClientSession() as client:
        server = Server(client)
        hub = server.rooms.hub
        hub._on_event = lambda happened: (
            hub.do(hub.rooms.delete, "lab") if happened.event.type == "room_started" else None
        )
        async with server.rooms:
            socket = await server.open()
            assert (await socket.get("leave")).reason == models.JOIN_FAILURE
            await socket.closed()
            assert server.rooms.connected == 0


async def test_a_participant_that_is_put_out_while_its_sockets_open_leaves_none_behind(server: Server) -> None:
    socket = await server.open()
    await socket.get("join")
    (one,) = server.rooms._sessions.by_sid.values()
    transport = one.peer._publisher.transport
    asked = asyncio.ensure_future(one.peer.take_offer(offer(section()).sdp))
    await asyncio.wait([asyncio.ensure_future(transport.close())])
    with pytest.raises(OSError, match="closed while it opened"):
        await asked
    assert transport.state == "closed"
    assert transport._newest._protocols == []


# Goodbyes that come before the connection is known here


async def saying_goodbye(server: Server) -> session.Session:
    """The session of a client that has said goodbye while its media connection comes up."""
    socket = await server.open("/rtc/v1")
    await socket.send(offer=offer(section()))
    await socket.get("answer")
    (one,) = server.rooms._sessions.by_sid.values()
    await socket.send(leave=rtc.LeaveRequest())
    await socket.send(ping=1)
    await socket.get("pong")
    await socket.raw.close()
    return one


async def test_who_was_connected_by_its_own_account_has_joined_and_left(server: Server) -> None:
    one = await saying_goodbye(server)
    assert server.types() == ["room_started"]
    one.peer._on_connected()
    assert server.types() == ["room_started", "participant_joined", "participant_left"]
    assert server.events[-1].event.message.participant.disconnect_reason == models.CLIENT_INITIATED


async def test_who_says_goodbye_and_never_is_connected_is_told_as_aborted(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_LAST_STEP_S", 0.05)
    await saying_goodbye(server)
    async with asyncio.timeout(30):
        while server.rooms.connected:
            await asyncio.to_thread(len, "")
    assert server.types() == ["room_started", "participant_connection_aborted"]


@pytest.mark.parametrize(
    ("scenario", "reason", "action"),
    [
        ("server_leave", models.SERVER_SHUTDOWN, rtc.LeaveRequest.DISCONNECT),
        ("node_failure", models.SERVER_SHUTDOWN, rtc.LeaveRequest.DISCONNECT),
        ("migration", models.STATE_MISMATCH, rtc.LeaveRequest.RECONNECT),
        ("leave_request_full_reconnect", models.STATE_MISMATCH, rtc.LeaveRequest.RECONNECT),
    ],
)
async def test_the_scenarios_that_clients_may_ask_for(server: Server, scenario: str, reason: int, action: int) -> None:
    socket = await server.open(access_token=token())
    await socket.send(simulate=rtc.SimulateScenario(**{scenario: True}))
    leave = await socket.get("leave")
    assert (leave.reason, leave.action) == (reason, action)
