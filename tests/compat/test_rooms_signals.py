"""What clients rarely ask for: the scenarios that they can have simulated, and tracks that are held back."""

from __future__ import annotations

import asyncio

import pytest
from livekit.protocol import rtc as signals
from livekit.rtc._proto.room_pb2 import SimulateScenarioKind as Scenario

from roombell.rooms.signalling.requests import Requests
from roombell.rooms.signalling.session import Session
from support.livekit_client import joined
from support.running_rooms import Running, running_rooms

server = running_rooms


def session_of(server: Running, identity: str) -> Session:
    return next(one for one in server.rooms._sessions.by_sid.values() if one.identity == identity)


def told(server: Running, identity: str) -> list[str]:
    return [one.event.type for one in server.events if one.event.participant_identity == identity]


@pytest.mark.parametrize("single", [True, False], ids=["v1", "v0"])
async def test_a_client_that_resumes_says_what_it_has_and_hears_on(server: Running, single: bool) -> None:
    async with joined(server, "alice", single=single) as alice, joined(server, "bob", single=single) as bob:
        await alice.speak(440)
        await bob.until_heard({"alice": 440})
        await bob.room.simulate_scenario(Scenario.SIMULATE_SIGNAL_RECONNECT)
        await bob.until_told("reconnected")
        bob.heard.clear()
        await bob.until_heard({"alice": 440})
        assert told(server, "bob") == ["participant_joined"]


async def test_a_server_that_leaves_puts_its_client_out(server: Running) -> None:
    async with joined(server, "alice") as alice:
        await alice.room.simulate_scenario(Scenario.SIMULATE_SERVER_LEAVE)
        await alice.until_told("disconnected")
    assert told(server, "alice") == ["participant_joined", "participant_left"]


async def test_a_track_that_a_client_does_not_show_is_held_back_until_it_does(server: Running) -> None:
    async with joined(server, "alice") as alice, joined(server, "bob") as bob:
        sid = await alice.show()
        await bob.until(lambda: bob.frames.get("alice", 0) >= 5, "pictures")
        session = session_of(server, "bob")
        requests, subscriptions = Requests(server.rooms.hub, session), session.peer.subscriptions
        sink = subscriptions._slot_of(sid).sink
        for disabled in (True, False):
            setting = signals.UpdateTrackSettings(track_sids=[sid], disabled=disabled)
            await requests.handle(signals.SignalRequest(track_setting=setting))
            sent = sink._packets
            if disabled:
                source = server.rooms._sessions.sources[sid]
                heard = source._heard_at_s
                async with asyncio.timeout(30):
                    while source._heard_at_s == heard:
                        await asyncio.to_thread(len, "")
                assert sink._packets == sent
        bob.frames.clear()
        await bob.until(lambda: bob.frames.get("alice", 0) >= 5, "pictures again")
        hidden = signals.SyncState(track_sids_disabled=[sid])
        await requests.handle(signals.SignalRequest(sync_state=hidden))
        assert sink.is_paused
