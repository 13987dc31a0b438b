"""Signalling on a real socket, spoken by hand: refusals, pings, and clients that misbehave."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext

import aiohttp
import pytest
from livekit.protocol import models, rtc
from livekit.protocol import room as room_messages

from roombell.rooms.settings import RoomSettings
from roombell.rooms.signalling import outbox
from roombell.rooms.signalling.sessions import SignalSettings
from roombell.signing import KeyRing, VideoGrants
from support.signalling import RING, Server, Socket, token


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def server(client: aiohttp.ClientSession) -> AsyncIterator[Server]:
    made = Server(client)
    async with made.rooms:
        yield made
        made.drop_sockets()


STRANGER = KeyRing({"APIother": "x" * 40})
FORGER = KeyRing({"APItest": "y" * 40})


@pytest.mark.parametrize("path", ["/rtc/validate", "/rtc/v1/validate"])
@pytest.mark.parametrize(
    ("made", "status", "said"),
    [
        (token, 200, "success"),
        (lambda: "", 401, "permissions denied"),
        (lambda: "nonsense", 401, "invalid authorization token"),
        (lambda: token(ring=STRANGER), 401, "invalid API key: APIother"),
        (lambda: token(ring=FORGER), 401, "invalid token, error: go-jose/go-jose: error in cryptographic primitive"),
        (lambda: token(at=1_000_000), 401, "token is expired (exp)"),
        (lambda: token(at=time.time() + 3600), 401, "token not valid yet (nbf)"),
        (lambda: token(grants=VideoGrants(room="lab")), 401, "permissions denied"),
        (lambda: token(grants=VideoGrants(room_join=True)), 400, "no room name"),
        (lambda: token(""), 400, "identity cannot be empty"),
        (lambda: token("x" * 257), 400, "participant identity length exceeds limits: max length 256"),
        (lambda: token(grants=VideoGrants(room_join=True, room="r" * 257)), 400, "room name length exceeds limits"),
    ],
)
async def test_each_refusal_has_livekit_s_status_and_words(
    server: Server, path: str, made: Callable[[], str], status: int, said: str
) -> None:
    access_token = made()
    got = await server.ask(path, access_token=access_token)
    assert got[0] == status
    assert said in got[1]
    assert not access_token or access_token not in got[1]
    with pytest.raises(aiohttp.WSServerHandshakeError) if status != 200 else nullcontext():
        await (await server.open(path.removesuffix("/validate"), access_token=access_token)).raw.close()


async def test_a_header_without_bearer_is_refused_and_one_with_it_is_taken(
    server: Server, client: aiohttp.ClientSession
) -> None:
    for header, status in ((f"Bearer {token()}", 200), (token(), 401)):
        async with client.get(f"{server.rooms.url}/rtc/validate", headers={"Authorization": header}) as answer:
            assert answer.status == status
            assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_a_request_that_opens_no_socket_is_not_found(server: Server) -> None:
    assert (await server.ask("/rtc", access_token=token()))[0] == 404
    assert await server.ask("/") == (200, "OK")


def wrapped(data: bytes, compression: int = rtc.WrappedJoinRequest.NONE) -> str:
    message = rtc.WrappedJoinRequest(compression=compression, join_request=data)
    return base64.urlsafe_b64encode(message.SerializeToString()).decode()


@pytest.mark.parametrize(
    ("join_request", "said"),
    [
        ("***", "cannot base64 decode wrapped join request"),
        (base64.urlsafe_b64encode(b"\xff\xff").decode(), "cannot unmarshal wrapped join request"),
        (wrapped(b"\xff\xff"), "cannot unmarshal join request"),
        (wrapped(b"no gzip", rtc.WrappedJoinRequest.GZIP), "cannot read decompressed join request"),
        (
            wrapped(gzip.compress(b"\0" * 2_000_000), rtc.WrappedJoinRequest.GZIP),
            "cannot read decompressed join request",
        ),
    ],
)
async def test_a_join_request_that_cannot_be_read_is_refused(server: Server, join_request: str, said: str) -> None:
    assert await server.ask("/rtc/v1/validate", access_token=token(), join_request=join_request) == (400, said)


@pytest.mark.parametrize("compression", [rtc.WrappedJoinRequest.NONE, rtc.WrappedJoinRequest.GZIP])
async def test_a_join_request_may_be_packed(server: Server, compression: int) -> None:
    request = rtc.JoinRequest(client_info=models.ClientInfo(protocol=16)).SerializeToString()
    packed = gzip.compress(request) if compression else request
    socket = await server.open("/rtc/v1", join_request=wrapped(packed, compression))
    join = await socket.get("join")
    assert (join.participant.identity, join.room.name, join.subscriber_primary) == ("alice", "lab", False)
    assert (join.ping_interval, join.ping_timeout) == (5, 15)


async def test_attributes_in_the_query_need_the_right_to_them(server: Server) -> None:
    packed = base64.urlsafe_b64encode(json.dumps({"hand": "up", "gone": ""}).encode()).decode()
    assert await server.ask("/rtc/validate", access_token=token(), attributes=packed) == (401, "permissions denied")
    may = token(grants=VideoGrants(room_join=True, room="lab", can_update_own_metadata=True), attributes={"a": "b"})
    socket = await server.open(access_token=may, attributes=packed)
    assert dict((await socket.get("join")).participant.attributes) == {"a": "b", "hand": "up"}
    assert await server.ask("/rtc/validate", access_token=may, attributes="!!") == (400, "cannot decode attributes")


async def test_where_joins_make_no_room_it_must_be_there(client: aiohttp.ClientSession) -> None:
    server = Server(client, settings=RoomSettings(auto_create=False))
    async with server.rooms:
        assert await server.ask("/rtc/validate", access_token=token()) == (404, "requested room does not exist")
        server.rooms.hub.do(server.rooms.hub.rooms.create, room_messages.CreateRoomRequest(name="lab"))
        assert (await server.ask("/rtc/validate", access_token=token()))[0] == 200


async def test_a_full_room_says_so_and_closes(server: Server) -> None:
    server.rooms.hub.do(server.rooms.hub.rooms.create, room_messages.CreateRoomRequest(name="lab", max_participants=1))
    alice = await server.open()
    await alice.get("join")
    socket = await server.open(access_token=token("bob"))
    leave = await socket.get("leave")
    assert (leave.reason, leave.action) == (models.JOIN_FAILURE, rtc.LeaveRequest.DISCONNECT)
    await socket.closed()
    await alice.raw.close()


async def test_both_kinds_of_ping_are_answered(server: Server) -> None:
    socket = await server.open()
    await socket.get("join")
    await socket.send(ping=1)
    assert abs(await socket.get("pong") - time.time() * 1000) < 60_000
    await socket.send(ping_req=rtc.Ping(timestamp=77))
    assert (await socket.get("pong_resp")).last_ping_timestamp == 77


async def test_older_clients_are_offered_what_they_get_and_the_oldest_have_no_primary_for_it(server: Server) -> None:
    newer, oldest = await server.open(), await server.open(access_token=token("bob"), protocol="2")
    assert (await newer.get("join")).subscriber_primary is True
    assert "m=application" in (await newer.get("offer")).sdp
    assert (await oldest.get("join")).subscriber_primary is False


async def test_a_track_that_may_not_be_published_is_refused_in_words(server: Server) -> None:
    grants = VideoGrants(room_join=True, room="lab", can_publish_sources=("microphone",))
    socket = await server.open(access_token=token(grants=grants))
    await socket.send(add_track=rtc.AddTrackRequest(cid="c", type=models.VIDEO, source=models.CAMERA))
    refusal = await socket.get("request_response")
    assert (refusal.reason, refusal.add_track.cid) == (rtc.RequestResponse.NOT_ALLOWED, "c")
    await socket.send(add_track=rtc.AddTrackRequest(cid="m", type=models.AUDIO, source=models.MICROPHONE))
    published = await socket.get("track_published")
    assert (published.cid, published.track.source) == ("m", models.MICROPHONE)


async def test_metadata_is_answered_by_request(server: Server) -> None:
    socket = await server.open()
    await socket.send(update_metadata=rtc.UpdateParticipantMetadata(metadata="x", request_id=5))
    refusal = await socket.get("request_response")
    assert (refusal.request_id, refusal.reason) == (5, rtc.RequestResponse.NOT_ALLOWED)
    may = await server.open(
        access_token=token("bob", VideoGrants(room_join=True, room="lab", can_update_own_metadata=True))
    )
    await may.send(update_metadata=rtc.UpdateParticipantMetadata(metadata="x", request_id=6))
    granted = await may.get("request_response")
    assert (granted.request_id, granted.reason) == (6, rtc.RequestResponse.OK)
    assert "x" * 65_000 not in await told_too_much(may)


async def told_too_much(socket: Socket) -> str:
    await socket.send(update_metadata=rtc.UpdateParticipantMetadata(metadata="x" * 65_000, request_id=7))
    refusal = await socket.get("request_response")
    assert refusal.reason == rtc.RequestResponse.LIMIT_EXCEEDED
    return refusal.message


async def test_a_token_is_renewed_in_time_and_when_rights_change(client: aiohttp.ClientSession) -> None:
    server = Server(client, signal_settings=SignalSettings(token_interval_s=0.01))
    async with server.rooms:
        socket = await server.open()
        renewed = RING.verify_access(await socket.get("refresh_token"), now=time.time())
        assert (renewed.sub, renewed.video.room, renewed.video.can_publish) == ("alice", "lab", True)
        update = room_messages.UpdateParticipantRequest(
            room="lab", identity="alice", permission=models.ParticipantPermission(can_subscribe=True)
        )
        server.rooms.hub.do(server.rooms.hub.participants.update, update)
        while renewed.video.can_publish:
            renewed = RING.verify_access(await socket.get("refresh_token"), now=time.time())
        assert renewed.video.can_subscribe is True


@pytest.mark.parametrize("path", ["/rtc", "/rtc/v1"])
async def test_who_comes_back_to_nothing_is_told_to_join_anew(server: Server, path: str) -> None:
    request = rtc.JoinRequest(reconnect=True, participant_sid="PA_gone").SerializeToString()
    socket = await server.open(path, reconnect="1", sid="PA_gone", join_request=wrapped(request))
    leave = await socket.get("leave")
    assert (leave.reason, leave.action) == (models.STATE_MISMATCH, rtc.LeaveRequest.RECONNECT)
    await socket.closed()


async def test_nobody_takes_over_the_session_of_somebody_else(server: Server) -> None:
    alice = await server.open()
    sid = (await alice.get("join")).participant.sid
    mallory = await server.open(access_token=token("mallory"), reconnect="1", sid=sid)
    assert (await mallory.get("leave")).action == rtc.LeaveRequest.RECONNECT
    await alice.send(ping=1)
    await alice.get("pong")


@pytest.mark.parametrize("junk", [b"\xff\xff\xff", b"", "text"])
async def test_what_is_no_request_ends_nothing_but_that_socket(server: Server, junk: bytes | str) -> None:
    good = await server.open(access_token=token("bob"))
    bad = await server.open()
    await bad.get("join")
    await (bad.raw.send_str(junk) if isinstance(junk, str) else bad.raw.send_bytes(junk))
    if junk != b"":
        await bad.closed()
    await good.send(ping=1)
    await good.get("pong")


async def test_an_offer_that_cannot_be_used_has_its_client_begin_anew(server: Server) -> None:
    socket = await server.open()
    await socket.send(offer=rtc.SessionDescription(type="offer", sdp="v=0\r\nnonsense"))
    leave = await socket.get("leave")
    assert (leave.reason, leave.action) == (models.STATE_MISMATCH, rtc.LeaveRequest.RECONNECT)
    assert server.types()[-1] == "participant_connection_aborted"


async def test_a_client_without_a_word_is_taken_for_lost(client: aiohttp.ClientSession) -> None:
    server = Server(client, signal_settings=SignalSettings(ping_timeout_s=1))
    async with server.rooms:
        socket = await server.open()
        await socket.get("join")
        await socket.closed()
        async with asyncio.timeout(30):
            await server.rooms.hub.settled()
        assert server.types() == ["room_started", "participant_connection_aborted"]


async def test_a_client_that_does_not_read_is_cut_off_and_holds_up_nobody(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MESSAGES_MAX", 50)
    stalled, other = await server.open(), await server.open(access_token=token("bob"))
    await other.get("join")
    transport = stalled.raw._response.connection.transport
    transport.pause_reading()
    aborted = "participant_connection_aborted"
    async with asyncio.timeout(60):
        for number in range(5_000):
            server.rooms.hub.do(server.rooms.hub.rooms.update_metadata, "lab", f"{number:060000}")
            update = await other.get("room_update")
            assert update.room.metadata == f"{number:060000}"
            if aborted in server.types():
                break
    assert aborted in server.types()
    assert server.rooms.connected == 1


async def test_a_server_that_stops_tells_everybody_and_leaves_nothing_behind(client: aiohttp.ClientSession) -> None:
    server = Server(client)
    async with server.rooms:
        socket = await server.open()
        await socket.get("join")
        before = asyncio.all_tasks()
    leave = await socket.get("leave")
    assert leave.reason == models.SERVER_SHUTDOWN
    assert server.types() == ["room_started", "participant_connection_aborted", "room_finished"]
    assert {task for task in before if not task.done()} <= {asyncio.current_task()}
