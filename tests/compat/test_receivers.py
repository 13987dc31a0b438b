"""Receivers and signers that nobody here wrote: LiveKit's own SDKs behind real HTTP servers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
from aiohttp import web
from google.protobuf import json_format
from livekit.api import AccessToken, TokenVerifier, WebhookReceiver
from livekit.protocol import agent, egress, ingress, models
from livekit.protocol.webhook import WebhookEvent as Message

from roombell import EventBuilder, Notifier, WebhookEvent, parse
from roombell.events import EVENT_TYPES
from roombell.testing.endpoint import ScriptedEndpoint
from roombell.testing.payloads import sample
from support.node import NODE_FOLDER, node
from support.service import API_KEY, SECRET, ServiceProcess, endpoint

REAL_PAYLOADS = sorted((Path(__file__).parents[1] / "data" / "real_payloads").glob("*.json"))
ROOM_OF_REAL_PAYLOAD = {
    "participant_joined_2026_anonymised": "<call id>",
    "room_started_2021_spaced_without_id": "mytestroom",
    "room_started_2023": "Demo Room",
    "track_unpublished_2026_cloud": "974b6e04-0617-4ae7-90f9-7202e5e998e9",
}
TURN_S_MAX = 30.0


class Peer(NamedTuple):
    """One SDK behind a server."""

    url: str
    messages: Callable[[], Awaitable[list[Message]]]
    """What it understood of what it accepted, in the order in which it came."""
    sign: Callable[[bytes], Awaitable[str]]
    """The token that it makes for a body."""


@asynccontextmanager
async def python_sdk() -> AsyncIterator[Peer]:
    receiver = WebhookReceiver(TokenVerifier(API_KEY, SECRET))
    messages: list[Message] = []

    async def receive(request: web.Request) -> web.Response:
        try:
            messages.append(receiver.receive((await request.read()).decode(), request.headers["Authorization"]))
        except Exception as error:  # noqa: BLE001 - the SDK raises plain exceptions
            return web.Response(status=401, text=str(error))
        return web.Response()

    async def told() -> list[Message]:
        return messages

    async def sign(body: bytes) -> str:
        sha256 = base64.b64encode(hashlib.sha256(body).digest()).decode()
        return AccessToken(API_KEY, SECRET).with_ttl(timedelta(minutes=5)).with_sha256(sha256).to_jwt()

    app = web.Application()
    app.router.add_post("/webhook", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield Peer(f"http://127.0.0.1:{runner.addresses[0][1]}/webhook", told, sign)
    finally:
        await runner.cleanup()


@asynccontextmanager
async def javascript_sdk() -> AsyncIterator[Peer]:
    process = await asyncio.create_subprocess_exec(
        node(), "peer.js", cwd=NODE_FOLDER,
        env=os.environ | {"LIVEKIT_API_KEY": API_KEY, "LIVEKIT_API_SECRET": SECRET},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    async with AsyncExitStack() as stack:
        stack.push_async_callback(process.wait)
        stack.callback(process.stdin.close)
        async with asyncio.timeout(TURN_S_MAX):
            url = f"http://127.0.0.1:{int(await process.stdout.readline())}"
        client = await stack.enter_async_context(aiohttp.ClientSession(raise_for_status=True))

        async def told() -> list[Message]:
            async with client.get(f"{url}/events") as answer:
                events = await answer.json(content_type=None)
            return [json_format.ParseDict(event, Message()) for event in events]

        async def sign(body: bytes) -> str:
            async with client.post(f"{url}/sign", data=body) as answer:
                return await answer.text()

        yield Peer(f"{url}/webhook", told, sign)


SDKS = pytest.mark.parametrize("sdk", [python_sdk, javascript_sdk])


def built_events() -> list[WebhookEvent]:
    """One event of every type as a producer in Python makes them, with what is awkward in JSON in its fields."""
    build = EventBuilder(time.time, secrets.token_bytes)
    room = models.Room(
        sid="RM_1", name='Größe "😀" \\ \u2028', creation_time=1_789_411_342, metadata="\x00\x1f</script>"
    )
    who = models.ParticipantInfo(sid="PA_1", identity="älice", name="Älice", attributes={"k": "v"}, joined_at=2**53 + 1)
    track = models.TrackInfo(sid="TR_1", type=models.TrackType.VIDEO, width=1280, layers=[models.VideoLayer(bitrate=9)])
    recording = egress.EgressInfo(
        egress_id="EG_1", room_name=room.name, room_id="RM_1", started_at=2**62, status=egress.EGRESS_ACTIVE,
        room_composite=egress.RoomCompositeEgressRequest(room_name=room.name, layout="grid"),
    )  # fmt: skip
    coming_in = ingress.IngressInfo(ingress_id="IN_1", room_name=room.name, stream_key="key", enable_transcoding=True)
    job = agent.Job(id="AJ_1", room=room, participant=who, agent_name="scribe")
    return [
        build.room_started(room),
        build.room_finished(room, reason=models.ROOM_END_API_DELETE),
        build.participant_joined(room, who),
        build.participant_left(room, who),
        build.participant_connection_aborted(room, who),
        build.track_published(room, who, track),
        build.track_unpublished(room, who, track),
        build.egress_started(recording),
        build.egress_updated(recording),
        build.egress_ended(recording),
        build.ingress_started(coming_in),
        build.ingress_ended(coming_in),
        build.agent_job_pending(job),
        build.agent_job_started(job),
        build.agent_job_ended(job),
    ]


@SDKS
async def test_every_event_type_is_accepted_and_decodes_to_the_same_message(sdk, tmp_path: Path) -> None:
    built = built_events()
    assert {event.type for event in built} == set(EVENT_TYPES)
    events = [parse(sample(event_type)) for event_type in EVENT_TYPES] + built
    async with sdk() as peer:
        store = f"sqlite:///{tmp_path}/roombell.db"
        async with Notifier(keys={API_KEY: SECRET}, urls=[peer.url], store=store) as notifier:
            await notifier.notify_many(events)
            await notifier.drain(timeout_s=TURN_S_MAX)
        understood = {message.id: message for message in await peer.messages()}
    assert understood == {event.id: event.message for event in events}
    for event in events:  # and the message is what the bytes say, by protobuf's own reading
        assert understood[event.id] == json_format.Parse(event.raw, Message(), ignore_unknown_fields=True)


@SDKS
async def test_what_the_sdk_signs_is_taken_and_passed_on_byte_for_byte(sdk, tmp_path: Path) -> None:
    bodies = [sample(event_type) for event_type in EVENT_TYPES]
    async with (
        sdk() as peer,
        ScriptedEndpoint() as receiver,
        ServiceProcess(tmp_path, [endpoint("receiver", receiver)]) as service,
        aiohttp.ClientSession() as client,
    ):
        for body in bodies:
            headers = {"Authorization": await peer.sign(body)}
            async with client.post(f"{service.url}/webhook", data=body, headers=headers) as answer:
                assert (answer.status, await answer.json()) == (200, {"id": parse(body).id, "duplicate": False})
        requests = await receiver.wait_for(len(bodies))
        assert sorted(request.body for request in requests) == sorted(bodies)
        assert await service.stop() == 0


async def test_recorded_payloads_are_taken_kept_byte_for_byte_and_keyed_by_their_room(tmp_path: Path) -> None:
    bodies = {path.stem: path.read_bytes() for path in REAL_PAYLOADS}
    assert {stem: parse(body).ordering_key for stem, body in bodies.items()} == ROOM_OF_REAL_PAYLOAD
    async with (
        python_sdk() as peer,
        ScriptedEndpoint() as receiver,
        ServiceProcess(tmp_path, [endpoint("scripted", receiver), endpoint("sdk", peer.url)]) as service,
        aiohttp.ClientSession() as client,
    ):
        for body in [*bodies.values(), *map(later_in_the_same_room, bodies.values())]:
            headers = {"Authorization": await peer.sign(body)}
            async with client.post(f"{service.url}/webhook", data=body, headers=headers) as answer:
                assert answer.status == 200
                assert (await answer.json())["id"] == parse(body).id != ""
        requests = await receiver.wait_for(2 * len(bodies))
        assert await service.stop() == 0
        assert len(await peer.messages()) == 2 * len(bodies)
    place = {request.body: (request.lane, request.sequence) for request in requests}
    for body in bodies.values():
        lane, sequence = place[body]
        assert sequence == 1
        assert place[later_in_the_same_room(body)] == (lane, 2)


def later_in_the_same_room(body: bytes) -> bytes:
    """Another event that has to come after the recorded one."""
    return sample("participant_left", room=json.loads(body)["room"]["name"])
