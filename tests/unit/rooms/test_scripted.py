"""Scripted participants: they make the events that real ones make."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from livekit.protocol import models
from livekit.protocol import room as messages

from roombell.errors import UsageError
from roombell.rooms import Refused
from roombell.rooms.effects import Left
from roombell.rooms.hub import Hub


@pytest.fixture
def seen() -> list[str]:
    return []


@pytest.fixture
def hub(seen: list[str]) -> Iterator[Hub]:
    return Hub(lambda one: seen.append(f"{one.event.type} {one.event.participant_identity}".strip()))


async def test_a_script_makes_the_events_of_a_call(hub: Hub, seen: list[str]) -> None:
    async with hub, hub.scripted("alice", room="demo") as alice:
        alice.publish("microphone")
        with hub.scripted("bob", room="demo") as bob:
            bob.publish("camera")
            bob.unpublish("camera")
        alice.mute()
        assert alice.info.tracks[0].muted
    assert seen == [
        "room_started",
        "participant_joined alice",
        "track_published alice",
        "participant_joined bob",
        "track_published bob",
        "track_unpublished bob",
        "participant_left bob",
        "track_unpublished alice",
        "participant_left alice",
        "room_finished",
    ]


async def test_it_drops_comes_again_and_is_put_out(hub: Hub, seen: list[str]) -> None:
    async with hub:
        alice = hub.scripted("alice", room="demo")
        alice.join()
        alice.drop()
        alice.drop()
        alice.join()
        alice.join()
        hub.do(hub.participants.remove, "demo", "alice")
        assert alice.sid == ""
        assert isinstance(alice.notices[-1], Left)
        alice.leave()
        alice.arrive()
        alice.leave()
    assert [one for one in seen if "alice" in one] == [
        "participant_joined alice",
        "participant_left alice",
        "participant_joined alice",
        "participant_left alice",
        "participant_joined alice",
        "participant_left alice",
        "participant_connection_aborted alice",
    ]


async def test_it_follows_a_move(hub: Hub) -> None:
    async with hub, hub.scripted("alice", room="one") as alice:
        alice.publish()
        hub.do(hub.participants.move, "one", "alice", "two")
        assert alice.room == "two"
        alice.unpublish()
        assert not alice.info.tracks


async def test_a_call_by_the_server_is_answered(hub: Hub) -> None:
    async with hub, hub.scripted("alice", room="demo") as alice:
        alice.answer("greet", str.upper)

        def request(method: str) -> messages.PerformRpcRequest:
            return messages.PerformRpcRequest(
                room="demo", destination_identity="alice", method=method, payload="hello", response_timeout_ms=50
            )

        assert await hub.perform_rpc(request("greet")) == "HELLO"
        with pytest.raises(Refused, match="1400: Method not supported"):
            await hub.perform_rpc(request("other"))


async def test_calls_that_nobody_answers_end_in_time_and_with_the_participant(hub: Hub) -> None:
    async with hub:
        alice = hub.scripted("alice", room="demo")
        alice.join()
        hub.detach(alice.sid, alice)
        request = messages.PerformRpcRequest(
            room="demo", destination_identity="alice", method="greet", response_timeout_ms=10
        )
        with pytest.raises(Refused, match="no answer to greet within 10 ms"):
            await hub.perform_rpc(request)
        leaving = _Leaving(hub)
        hub.attach(alice.sid, leaving)
        leaving.sid = alice.sid
        request.response_timeout_ms = 60_000
        with pytest.raises(Refused, match="left before it answered"):
            await hub.perform_rpc(request)
        with pytest.raises(Refused, match="participant does not exist"):
            await hub.perform_rpc(request)


class _Leaving:
    """A session that leaves when it is told anything."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.sid = ""

    def tell(self, _: object) -> None:
        self._hub.do(self._hub.participants.leave, self.sid)


async def test_mistakes_in_a_script_name_what_there_is(hub: Hub) -> None:
    async with hub, hub.scripted("alice", room="demo") as alice:
        alice.publish("microphone")
        with pytest.raises(UsageError, match=r"no source 'mic'; there is: microphone, camera"):
            alice.publish("mic")
        with pytest.raises(UsageError, match="publishes no track 'camera'; it does: microphone"):
            alice.mute("camera")
        with pytest.raises(Refused, match="permissions denied"):
            alice.update(name="A")


async def test_a_track_without_media_is_not_published(hub: Hub, seen: list[str]) -> None:
    rights = models.ParticipantPermission(can_publish=True, can_update_metadata=True)
    async with hub, hub.scripted("alice", room="demo", permission=rights) as alice:
        alice.publish("microphone", media=False)
        assert "track_published alice" not in seen
        alice.update(name="A", metadata="m", attributes={"a": "1"})
        assert alice.info.name == "A"
        hub.do(hub.rooms.send_data, messages.SendDataRequest(room="demo", data=b"hi"))
        assert alice.data[0].user.payload == b"hi"


async def test_scripted_participants_send_each_other_data_and_call_each_other(hub: Hub) -> None:
    async with (
        hub,
        hub.scripted("alice", room="demo") as alice,
        hub.scripted("bob", room="demo") as bob,
        hub.scripted("carol", room="demo") as carol,
    ):
        alice.send(b"for all", topic="chat")
        alice.send(b"for bob", to=["bob"], lossy=True)
        assert [(one.participant_identity, one.user.payload, one.user.topic) for one in bob.data] == [
            ("alice", b"for all", "chat"),
            ("alice", b"for bob", ""),
        ]
        assert [one.kind for one in bob.data] == [models.DataPacket.RELIABLE, models.DataPacket.LOSSY]
        assert [one.user.participant_sid for one in carol.data] == [alice.sid]
        assert alice.data == ()


async def test_who_may_send_no_data_is_refused(hub: Hub) -> None:
    rights = models.ParticipantPermission(can_subscribe=True)
    async with hub, hub.scripted("alice", room="demo", permission=rights) as alice:
        with pytest.raises(Refused, match="permissions denied"):
            alice.send(b"hello")
