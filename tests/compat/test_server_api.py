"""LiveKit's own server SDKs call every method of the room server's API, over a socket."""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
from aiohttp import web
from livekit import api
from livekit.api.twirp_client import TwirpError
from livekit.protocol import egress, models
from livekit.protocol.room import PerformRpcRequest, PerformRpcResponse

from roombell.rooms import Happened, RoomSettings
from roombell.rooms.api import SERVICES, add_routes
from roombell.rooms.effects import DataSent, SubscriptionsChanged
from roombell.rooms.hub import Hub
from roombell.rooms.scripted import Scripted
from roombell.signing import KeyRing
from support.node import NODE_FOLDER, node

KEY, SECRET = "devkey", "a-secret-that-is-long-enough-for-pyjwt"
STORY_S_MAX = 60.0
OFFERED = {f"{service}/{method}" for service, methods in SERVICES.items() for method in methods}
NOT_IN_THE_SDK = {"livekit.RoomService/PerformRpc"}
QUICK = RoomSettings(egress_start_ms=1, egress_end_ms=1)


class Server(NamedTuple):
    url: str
    hub: Hub
    alice: Scripted
    bob: Scripted
    calls: dict[str, str]
    """The form of each call that came, by its path."""
    happened: list[Happened]


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    calls: dict[str, str] = {}
    happened: list[Happened] = []

    @web.middleware
    async def note(request: web.Request, handler: Callable[[web.Request], Awaitable[web.Response]]) -> web.Response:
        calls[request.path.removeprefix("/twirp/")] = request.content_type
        return await handler(request)

    app = web.Application(middlewares=[note])
    async with Hub(happened.append, settings=QUICK) as hub:
        add_routes(app, hub, KeyRing({KEY: SECRET}))
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            async with hub.scripted("alice", room="demo") as alice, hub.scripted("bob", room="demo") as bob:
                alice.publish("microphone")
                yield Server(url, hub, alice, bob, calls, happened)
        finally:
            await runner.cleanup()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as one:
        yield one


@pytest.fixture
async def lk(server: Server) -> AsyncIterator[api.LiveKitAPI]:
    async with api.LiveKitAPI(server.url, KEY, SECRET) as client:
        yield client


async def test_the_python_sdk_administrates_rooms_and_participants(server: Server, lk: api.LiveKitAPI) -> None:
    made = await lk.room.create_room(api.CreateRoomRequest(name="other", empty_timeout=77, metadata="m"))
    assert (made.name, made.empty_timeout, made.metadata) == ("other", 77, "m")
    assert {room.name for room in (await lk.room.list_rooms(api.ListRoomsRequest())).rooms} == {"demo", "other"}
    changed = await lk.room.update_room_metadata(api.UpdateRoomMetadataRequest(room="other", metadata="new"))
    assert changed.metadata == "new"
    listed = (await lk.room.list_participants(api.ListParticipantsRequest(room="demo"))).participants
    assert [one.identity for one in listed] == ["alice", "bob"]
    who = api.RoomParticipantIdentity(room="demo", identity="alice")
    assert (await lk.room.get_participant(who)).state == models.ParticipantInfo.ACTIVE
    mic = server.alice.tracks["microphone"]
    mute = api.MuteRoomTrackRequest(room="demo", identity="alice", track_sid=mic, muted=True)
    assert (await lk.room.mute_published_track(mute)).track.muted
    updated = await lk.room.update_participant(
        api.UpdateParticipantRequest(room="demo", identity="alice", name="A", attributes={"a": "1"})
    )
    assert (updated.name, dict(updated.attributes)) == ("A", {"a": "1"})
    await lk.room.update_subscriptions(
        api.UpdateSubscriptionsRequest(room="demo", identity="bob", track_sids=[mic], subscribe=True)
    )
    assert SubscriptionsChanged((mic,), subscribe=True) in server.bob.notices
    await lk.room.send_data(api.SendDataRequest(room="demo", data=b"hi", destination_identities=["bob"]))
    assert [one.user.payload for one in server.bob.data] == [b"hi"]
    with pytest.raises(TwirpError, match="unimplemented"):
        # As often as the SDK tries again, the answer is the same.
        await lk.room.forward_participant(
            api.ForwardParticipantRequest(room="demo", identity="bob", destination_room="other")
        )
    await lk.room.move_participant(api.MoveParticipantRequest(room="demo", identity="bob", destination_room="other"))
    assert server.bob.room == "other"
    await lk.room.remove_participant(api.RoomParticipantIdentity(room="other", identity="bob"))
    assert server.bob.sid == ""
    await lk.room.delete_room(api.DeleteRoomRequest(room="other"))
    assert [room.name for room in (await lk.room.list_rooms(api.ListRoomsRequest())).rooms] == ["demo"]


async def test_a_participant_answers_a_call_of_the_server(server: Server, lk: api.LiveKitAPI) -> None:
    server.alice.answer("greet", str.upper)
    request = PerformRpcRequest(room="demo", destination_identity="alice", method="greet", payload="hello")
    headers = lk.room._auth_header(api.VideoGrants(room_admin=True, room="demo"))  # the SDK has no method for it
    answer = await lk.room._client.request("RoomService", "PerformRpc", request, headers, PerformRpcResponse)
    assert answer.payload == "HELLO"
    assert any(isinstance(one, DataSent) for one in server.alice.notices)


def a_file(path: str = "a.mp4") -> api.EncodedFileOutput:
    return api.EncodedFileOutput(filepath=path)


async def test_the_python_sdk_steers_recordings(server: Server, lk: api.LiveKitAPI) -> None:
    mic = server.alice.tracks["microphone"]
    hook = models.WebhookConfig(url="http://127.0.0.1:9/hook", signing_key=KEY)
    composite = await lk.egress.start_room_composite_egress(
        api.RoomCompositeEgressRequest(room_name="demo", file_outputs=[a_file()], webhooks=[hook])
    )
    streaming = await lk.egress.start_web_egress(
        api.WebEgressRequest(
            url="https://example.com", stream_outputs=[api.StreamOutput(urls=["rtmp://a.example.com/live/key-1"])]
        )
    )
    await lk.egress.start_participant_egress(
        api.ParticipantEgressRequest(room_name="demo", identity="alice", file_outputs=[a_file("b.mp4")])
    )
    await lk.egress.start_track_composite_egress(
        api.TrackCompositeEgressRequest(room_name="demo", audio_track_id=mic, file_outputs=[a_file("c.mp4")])
    )
    await lk.egress.start_track_egress(
        api.TrackEgressRequest(room_name="demo", track_id=mic, file=api.DirectFileOutput(filepath="d"))
    )
    await lk.egress.start_egress(
        egress.StartEgressRequest(
            room_name="demo",
            template=egress.TemplateSource(layout="grid"),
            outputs=[egress.Output(file=egress.FileOutput(filepath="e.mp4"))],
        )
    )
    assert composite.status == egress.EGRESS_STARTING
    layout = api.UpdateLayoutRequest(egress_id=composite.egress_id, layout="speaker")
    assert (await lk.egress.update_layout(layout)).room_composite.layout == "speaker"
    async with asyncio.timeout(STORY_S_MAX):
        while not all(one.status for one in (await lk.egress.list_egress(api.ListEgressRequest(active=True))).items):
            pass  # each call takes time, and they start within a millisecond
    more = api.UpdateStreamRequest(egress_id=streaming.egress_id, add_output_urls=["rtmp://b.example.com/live/key-2"])
    assert len((await lk.egress.update_stream(more)).stream_results) == 2
    assert len((await lk.egress.list_egress(api.ListEgressRequest(room_name="demo"))).items) == 5
    stopped = await lk.egress.stop_egress(api.StopEgressRequest(egress_id=composite.egress_id))
    assert stopped.status == egress.EGRESS_ENDING
    assert {one.webhooks[0].signing_key for one in server.happened if one.webhooks} == {KEY}


async def test_the_python_sdk_steers_ingresses_and_dispatches(server: Server, lk: api.LiveKitAPI) -> None:
    made = await lk.ingress.create_ingress(
        api.CreateIngressRequest(name="cam", room_name="demo", participant_identity="cam")
    )
    assert made.stream_key
    update = api.UpdateIngressRequest(ingress_id=made.ingress_id, name="new")
    assert (await lk.ingress.update_ingress(update)).name == "new"
    assert [one.name for one in (await lk.ingress.list_ingress(api.ListIngressRequest())).items] == ["new"]
    await lk.ingress.delete_ingress(api.DeleteIngressRequest(ingress_id=made.ingress_id))
    bot = await lk.agent_dispatch.create_dispatch(api.CreateAgentDispatchRequest(agent_name="bot", room="demo"))
    assert await lk.agent_dispatch.list_dispatch("demo") == [bot]
    assert await lk.agent_dispatch.get_dispatch(bot.id, "demo") == bot
    assert (await lk.agent_dispatch.delete_dispatch(bot.id, "demo")).state.deleted_at
    assert await lk.agent_dispatch.list_dispatch("demo") == []


def test_the_python_sdk_has_been_asked_for_everything_that_is_offered() -> None:
    """The calls above, counted: whoever adds a method adds its call."""
    text = Path(__file__).read_text(encoding="utf-8")
    spelled = {method: "".join(f"_{c.lower()}" if c.isupper() else c for c in method)[1:] for _, method in pairs()}
    missing = {method for method, name in spelled.items() if f".{name}(" not in text and f'"{method}"' not in text}
    assert missing == set()


def pairs() -> list[tuple[str, str]]:
    return [(service, method) for service, methods in SERVICES.items() for method in methods]


async def test_the_javascript_sdk_calls_everything_that_is_offered(server: Server) -> None:
    environment = {
        "LIVEKIT_URL": server.url,
        "LIVEKIT_API_KEY": KEY,
        "LIVEKIT_API_SECRET": SECRET,
        "TRACK_SID": server.alice.tracks["microphone"],
    }
    process = await asyncio.create_subprocess_exec(
        node(), "server_api.js", cwd=NODE_FOLDER, env=os.environ | environment, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(STORY_S_MAX):
        output, _ = await process.communicate()
    told = json.loads(output)
    assert set(server.calls) == OFFERED - NOT_IN_THE_SDK
    assert set(server.calls.values()) == {"application/json"}
    errors = {name: (one["error"], one["status"]) for name, one in told.items() if one and "error" in one}
    assert errors == {
        "forwardParticipant": ("unimplemented", 501),
        "unknownRoom": ("not_found", 404),
        "wrongSecret": ("unauthenticated", 401),
    }
    assert (told["createRoom"]["emptyTimeout"], told["createRoom"]["metadata"]) == (77, "m")
    assert [one["identity"] for one in told["listParticipants"]] == ["alice", "bob"]
    assert told["mutePublishedTrack"]["muted"]
    assert told["updateParticipant"]["attributes"] == {"a": "1"}
    assert told["updateLayout"]["roomComposite"]["layout"] == "speaker"
    assert len(told["updateStream"]["streamResults"]) == 2
    assert len(told["listEgress"]) == 5
    assert told["stopEgress"]["status"] in ("EGRESS_ENDING", "EGRESS_ABORTED")
    assert told["listIngress"][0]["name"] == "new"
    assert told["getDispatch"]["agentName"] == "bot"
    assert [one.user.topic for one in server.bob.data] == ["t"]


async def test_every_method_refuses_a_token_without_its_right_and_a_call_without_a_token(server: Server) -> None:
    useless = (
        api.AccessToken(KEY, SECRET)
        .with_identity("x")
        .with_grants(api.VideoGrants(room_join=True, room="demo"))
        .to_jwt()
    )
    async with aiohttp.ClientSession() as client:
        for path in sorted(OFFERED):
            for headers, message in (
                ({"Authorization": f"Bearer {useless}"}, "permissions denied"),
                ({"Authorization": useless}, "invalid authorization header. Must start with Bearer "),
                ({}, "invalid token: "),
            ):
                async with client.post(f"{server.url}/twirp/{path}", json={"room": "demo"}, headers=headers) as answer:
                    body = await answer.json()
                assert (answer.status, body["code"]) == (401, "unauthenticated")
                assert body["msg"].startswith(message)
                assert useless not in body["msg"]


async def test_an_administrator_of_one_room_has_no_say_in_another(server: Server) -> None:
    token = api.AccessToken(KEY, SECRET).with_grants(api.VideoGrants(room_admin=True, room="demo")).to_jwt()
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as client:
        url = f"{server.url}/twirp/livekit.RoomService/ListParticipants"
        for room, status in (("demo", 200), ("other", 401)):
            async with client.post(url, json={"room": room}) as answer:
                assert answer.status == status


@pytest.mark.parametrize(
    ("path", "form", "body", "status", "code"),
    [
        ("livekit.RoomService/Nothing", "application/json", b"{}", 404, "bad_route"),
        ("livekit.Nothing/ListRooms", "application/json", b"{}", 404, "bad_route"),
        ("livekit.RoomService/ListRooms", "text/plain", b"{}", 404, "bad_route"),
        ("livekit.RoomService/ListRooms", "application/json", b"{", 400, "malformed"),
        ("livekit.RoomService/ListRooms", "application/json", b'{"names":1}', 400, "malformed"),
        ("livekit.RoomService/ListRooms", "application/json", b"\xff", 400, "malformed"),
        ("livekit.RoomService/ListRooms", "application/protobuf", b"\xff", 400, "malformed"),
        ("livekit.RoomService/ListRooms", "application/json", b" " * 2_000_000, 400,
         "invalid_argument"),
    ],
)  # fmt: skip
async def test_what_is_no_call_gets_twirps_answer(server: Server, path, form, body, status, code) -> None:
    token = api.AccessToken(KEY, SECRET).with_grants(api.VideoGrants(room_list=True)).to_jwt()
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as client,
        client.post(f"{server.url}/twirp/{path}", data=io.BytesIO(body), headers={"Content-Type": form}) as answer,
    ):
        assert (answer.status, (await answer.json())["code"]) == (status, code)


async def test_a_get_is_no_call(server: Server) -> None:
    async with aiohttp.ClientSession() as client, client.get(f"{server.url}/twirp/livekit.Egress/ListEgress") as answer:
        assert (answer.status, (await answer.json())["code"]) == (404, "bad_route")


async def test_json_comes_in_either_spelling_and_goes_out_as_twirp_has_it(server: Server) -> None:
    token = api.AccessToken(KEY, SECRET).with_grants(api.VideoGrants(room_create=True)).to_jwt()
    url = f"{server.url}/twirp/livekit.RoomService/CreateRoom"
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as client:
        for name, field in (("one", "emptyTimeout"), ("two", "empty_timeout")):
            async with client.post(url, json={"name": name, field: 5, "newer_than_us": 1}) as answer:
                told = await answer.json()
            assert (told["empty_timeout"], told["num_participants"]) == (5, 0)


async def test_a_webhook_that_nobody_could_sign_is_refused(lk: api.LiveKitAPI) -> None:
    for hook, said in (
        (models.WebhookConfig(url="http://127.0.0.1/", signing_key="other"), "'other' is the name of no API key"),
        (models.WebhookConfig(url="ftp://127.0.0.1/"), "must begin with http"),
    ):
        request = api.RoomCompositeEgressRequest(room_name="demo", file_outputs=[a_file()], webhooks=[hook])
        with pytest.raises(TwirpError, match=said):
            await lk.egress.start_room_composite_egress(request)
