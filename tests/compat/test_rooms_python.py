"""Rooms as the official Python client sees them, in both versions of the protocol, and the webhooks that follow."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
from livekit import api, rtc
from livekit.api import TokenVerifier, WebhookReceiver
from livekit.protocol import models

from roombell.rooms.signalling.sessions import SignalSettings
from roombell.rooms.threaded import LiveKitServer
from roombell.signing import VideoGrants
from support.livekit_client import Cable, joined

both_versions = pytest.mark.parametrize("single", [True, False], ids=["v1", "v0"])


@pytest.fixture
def server() -> Iterator[LiveKitServer]:
    with LiveKitServer(signal_settings=SignalSettings(resume_timeout_s=5.0)) as running:
        yield running


@pytest.fixture
async def sdk(server: LiveKitServer) -> AsyncIterator[api.LiveKitAPI]:
    async with api.LiveKitAPI(server.http_url, server.api_key, server.api_secret) as client:
        yield client


def told_of(server: LiveKitServer, identity: str) -> list[str]:
    return [webhook.type for webhook in server.webhooks.all if webhook.event.participant_identity == identity]


@both_versions
async def test_clients_hear_and_see_each_other_and_the_webhooks_tell_the_whole_story(
    server: LiveKitServer, single: bool
) -> None:
    async with joined(server, "alice", single=single) as alice, joined(server, "bob", single=single) as bob:
        voice, _ = await asyncio.gather(alice.speak(440), bob.speak(880))
        camera = await alice.show()
        await alice.until_heard({"bob": 880})
        await bob.until_heard({"alice": 440})
        await bob.until(lambda: bob.frames.get("alice", 0) >= 20, "20 pictures of alice")
        await alice.room.local_participant.unpublish_track(voice)
        await bob.until_told("track_unpublished")
        await server.webhooks.arrival("track_unpublished", identity="alice")
    await server.webhooks.arrival("participant_left", identity="alice")
    await server.webhooks.arrival("participant_left", identity="bob")

    receiver = WebhookReceiver(TokenVerifier(server.api_key, server.api_secret))
    messages = [receiver.receive(one.body.decode(), one.authorization) for one in server.webhooks.all]
    assert messages[0].event == "room_started"
    assert told_of(server, "alice") == [
        "participant_joined",
        "track_published",
        "track_published",
        "track_unpublished",
        "track_unpublished",
        "participant_left",
    ]
    assert told_of(server, "bob") == ["participant_joined", "track_published", "track_unpublished", "participant_left"]
    room = messages[0].room
    assert {message.room.sid for message in messages} == {room.sid}
    assert {message.room.name for message in messages} == {"lab"}
    joins = [message.participant for message in messages if message.event == "participant_joined"]
    assert {participant.state for participant in joins} == {models.ParticipantInfo.ACTIVE}
    left = [message.participant for message in messages if message.event == "participant_left"]
    assert {participant.disconnect_reason for participant in left} == {models.CLIENT_INITIATED}
    tracks = {message.track.sid: message.track for message in messages if message.event == "track_published"}
    assert (tracks[voice].mime_type, tracks[voice].source) == ("audio/opus", models.MICROPHONE)
    assert (tracks[camera].mime_type, tracks[camera].source) == ("video/VP8", models.CAMERA)
    assert (tracks[camera].width, tracks[camera].height) == (320, 180)


@both_versions
async def test_a_client_that_loses_its_socket_comes_back_and_nobody_has_left(
    server: LiveKitServer, single: bool
) -> None:
    async with AsyncExitStack() as stack:
        cable = await stack.enter_async_context(Cable(server.url))
        bob = await stack.enter_async_context(joined(server, "bob", single=single))
        alice = await stack.enter_async_context(joined(server, "alice", single=single, url=cable.url))
        await asyncio.gather(alice.speak(440), bob.speak(880))
        await bob.until_heard({"alice": 440})
        cable.cut()
        await alice.until_told("reconnected")
        alice.heard.clear()
        bob.heard.clear()
        await alice.until_heard({"bob": 880})
        await bob.until_heard({"alice": 440})
        assert told_of(server, "alice") == ["participant_joined", "track_published"]
        assert "participant_disconnected" not in bob.told
        await bob.room.local_participant.publish_data(b"still here", reliable=True)
        await alice.until(lambda: alice.data, "data after the resume")


@both_versions
async def test_a_client_whose_session_is_gone_joins_anew(server: LiveKitServer, single: bool) -> None:
    async with joined(server, "alice", single=single) as alice:
        await alice.speak(440)
        await server.webhooks.arrival("track_published", identity="alice")
        await alice.room.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_MIGRATION)
        await alice.until_told("reconnected")
        await server.webhooks.arrival("track_published", identity="alice", count=2)
        assert told_of(server, "alice")[2:6] == [
            "track_unpublished",
            "participant_left",
            "participant_joined",
            "track_published",
        ]
        left = server.webhooks.wait_for("participant_left", identity="alice").event.message.participant
        assert left.disconnect_reason == models.STATE_MISMATCH


@both_versions
async def test_the_server_mutes_and_removes(server: LiveKitServer, sdk: api.LiveKitAPI, single: bool) -> None:
    async with joined(server, "bob", single=single) as bob, joined(server, "alice", single=single) as alice:
        voice = await alice.speak(440)
        await bob.until_heard({"alice": 440})
        await sdk.room.mute_published_track(
            api.MuteRoomTrackRequest(room="lab", identity="alice", track_sid=voice, muted=True)
        )
        await bob.until_told("track_muted")
        await alice.until_told("track_muted")
        await sdk.room.remove_participant(api.RoomParticipantIdentity(room="lab", identity="alice"))
        await alice.until_told("disconnected")
        await bob.until_told("participant_disconnected")
        left = await server.webhooks.arrival("participant_left", identity="alice")
        assert left.event.message.participant.disconnect_reason == models.PARTICIPANT_REMOVED
        assert told_of(server, "alice")[-2:] == ["track_unpublished", "participant_left"]


@both_versions
async def test_data_reaches_everybody_or_those_it_is_for(
    server: LiveKitServer, sdk: api.LiveKitAPI, single: bool
) -> None:
    async with AsyncExitStack() as stack:
        alice, bob, carol = [
            await stack.enter_async_context(joined(server, name, single=single)) for name in ("alice", "bob", "carol")
        ]
        await alice.until(lambda: len(alice.room.remote_participants) == 2, "the others")
        await alice.room.local_participant.publish_data(b"for all", reliable=True)
        await alice.room.local_participant.publish_data(b"for bob", reliable=True, destination_identities=["bob"])
        await alice.room.local_participant.publish_data(b"maybe", reliable=False)
        await sdk.room.send_data(api.SendDataRequest(room="lab", data=b"from the server", kind=api.DataPacket.RELIABLE))
        await bob.until(lambda: len(bob.data) == 4, "four messages")
        await carol.until(lambda: len(carol.data) == 3, "three messages")
        assert sorted(bob.data) == [
            ("", b"from the server"),
            ("alice", b"for all"),
            ("alice", b"for bob"),
            ("alice", b"maybe"),
        ]
        assert ("alice", b"for bob") not in carol.data


@both_versions
async def test_what_participants_and_rooms_say_of_themselves_is_seen_by_all(
    server: LiveKitServer, sdk: api.LiveKitAPI, single: bool
) -> None:
    may = VideoGrants(can_update_own_metadata=True)
    async with joined(server, "alice", single=single, grants=may) as alice, joined(server, "bob", single=single) as bob:
        await alice.until(lambda: alice.room.remote_participants, "bob")
        await alice.room.local_participant.set_metadata("hello")
        await alice.room.local_participant.set_name("Alice")
        await alice.room.local_participant.set_attributes({"hand": "up"})
        seen = bob.room.remote_participants["alice"]
        await bob.until(lambda: (seen.metadata, seen.name, dict(seen.attributes)) == ("hello", "Alice", {"hand": "up"}))
        await bob.room.local_participant.set_metadata("not mine to set")
        await sdk.room.update_room_metadata(api.UpdateRoomMetadataRequest(room="lab", metadata="now"))
        await alice.until(lambda: alice.room.metadata == "now", "the room's metadata")
        assert alice.room.remote_participants["bob"].metadata == ""


@both_versions
async def test_rights_are_kept_to(server: LiveKitServer, single: bool) -> None:
    listener = VideoGrants(can_publish=False)
    speaker = VideoGrants(can_subscribe=False)
    async with AsyncExitStack() as stack:
        alice = await stack.enter_async_context(joined(server, "alice", single=single, grants=speaker))
        bob = await stack.enter_async_context(joined(server, "bob", single=single, grants=listener))
        ghost = VideoGrants(hidden=True)
        await stack.enter_async_context(joined(server, "ghost", single=single, grants=ghost))
        await alice.speak(440)
        await bob.until_heard({"alice": 440})
        assert set(bob.room.remote_participants) == {"alice"}
        assert alice.heard == {}
        assert told_of(server, "bob") == ["participant_joined"]
        assert told_of(server, "ghost") == ["participant_joined"]


@both_versions
async def test_a_subscriber_chooses_what_it_gets(server: LiveKitServer, single: bool) -> None:
    async with joined(server, "alice", single=single) as alice:
        voice = await alice.speak(440)
        async with joined(server, "bob", single=single, auto_subscribe=False) as bob:
            await bob.until(lambda: bob.room.remote_participants, "alice")
            publications = bob.room.remote_participants["alice"].track_publications
            await bob.until(lambda: voice in publications, "alice's track")
            publications[voice].set_subscribed(True)
            await bob.until_heard({"alice": 440})
            publications[voice].set_subscribed(False)
            await bob.until_told("track_unsubscribed")
            bob.heard.clear()
            publications[voice].set_subscribed(True)
            await bob.until_heard({"alice": 440})


@both_versions
async def test_a_publisher_chooses_who_gets_its_tracks(server: LiveKitServer, single: bool) -> None:
    may = VideoGrants(can_update_own_metadata=True)
    async with joined(server, "alice", single=single, grants=may) as alice, joined(server, "bob", single=single) as bob:
        me = alice.room.local_participant
        for_bob = rtc.ParticipantTrackPermission(participant_identity="bob", allow_all=True)
        me.set_track_subscription_permissions(allow_all_participants=False, participant_permissions=[for_bob])
        await alice.speak(440)
        await bob.until_heard({"alice": 440})
        async with joined(server, "carol", single=single) as carol:
            await me.set_metadata("said after the permission")
            await carol.until_told("participant_metadata_changed")
            assert "track_subscribed" not in carol.told
            me.set_track_subscription_permissions(allow_all_participants=True)
            await carol.until_heard({"alice": 440})


@both_versions
async def test_methods_of_a_participant_are_called_by_others(server: LiveKitServer, single: bool) -> None:
    async with joined(server, "alice", single=single) as alice, joined(server, "bob", single=single) as bob:

        @alice.room.local_participant.register_rpc_method("double")
        async def _double(call: rtc.RpcInvocationData) -> str:
            return call.payload * 2

        await bob.until(lambda: bob.room.remote_participants, "alice")
        answer = await bob.room.local_participant.perform_rpc(
            destination_identity="alice", method="double", payload="ab"
        )
        assert answer == "abab"


@both_versions
async def test_a_second_session_of_an_identity_puts_out_the_first(server: LiveKitServer, single: bool) -> None:
    async with joined(server, "alice", single=single) as first, joined(server, "alice", single=single):
        await first.until_told("disconnected")
        await server.webhooks.arrival("participant_joined", identity="alice", count=2)
        assert told_of(server, "alice") == ["participant_joined", "participant_left", "participant_joined"]
        left = server.webhooks.wait_for("participant_left", identity="alice").event.message.participant
        assert left.disconnect_reason == models.DUPLICATE_IDENTITY


async def test_participants_of_both_versions_meet_in_one_room(server: LiveKitServer) -> None:
    async with joined(server, "new", single=True) as new, joined(server, "old", single=False) as old:
        await asyncio.gather(new.speak(440), old.speak(880))
        await new.until_heard({"old": 880})
        await old.until_heard({"new": 440})


async def test_of_simulcast_one_layer_arrives(server: LiveKitServer) -> None:
    async with joined(server, "alice") as alice, joined(server, "bob") as bob:
        await alice.show(width=1280, height=720, simulcast=True)
        await bob.until(lambda: bob.frames.get("alice", 0) >= 20, "20 pictures")


async def test_a_participant_is_moved_with_its_tracks(server: LiveKitServer, sdk: api.LiveKitAPI) -> None:
    async with joined(server, "alice") as alice, joined(server, "bob", "hall") as bob:
        await alice.speak(440)
        await server.webhooks.arrival("track_published", identity="alice")
        move = api.MoveParticipantRequest(room="lab", identity="alice", destination_room="hall")
        await sdk.room.move_participant(move)
        await bob.until_heard({"alice": 440})
        await alice.until(lambda: alice.room.name == "hall", "the other room")
        assert set(alice.room.remote_participants) == {"bob"}


@both_versions
async def test_eight_participants_hear_each_other(server: LiveKitServer, single: bool) -> None:
    tones = {f"p{number}": 400.0 + 250 * number for number in range(8)}
    async with AsyncExitStack() as stack:
        clients = await asyncio.gather(
            *(stack.enter_async_context(joined(server, identity, single=single)) for identity in tones)
        )
        await asyncio.gather(*(client.speak(tones[client.identity]) for client in clients))
        for client in clients:
            await client.until_heard({who: hz for who, hz in tones.items() if who != client.identity})


KILLED = """
    import asyncio, sys
    from livekit import rtc
    async def main():
        room = rtc.Room()
        await room.connect(sys.argv[1], sys.argv[2])
        print("in", flush=True)
        await asyncio.Event().wait()
    asyncio.run(main())
"""


async def test_a_client_that_is_killed_has_left(server: LiveKitServer) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        textwrap.dedent(KILLED),
        server.url,
        server.token("mallory", "lab"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert await process.stdout.readline() == b"in\n"
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    left = await server.webhooks.arrival("participant_left", identity="mallory", timeout_s=60)
    assert left.event.message.participant.disconnect_reason == models.CONNECTION_TIMEOUT
