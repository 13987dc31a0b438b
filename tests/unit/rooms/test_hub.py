"""The hub: what follows from a command is passed on in order, in real and in virtual time."""

from __future__ import annotations

import asyncio
import logging
import random

import pytest
from livekit.protocol import room as messages

from roombell.rooms import Happened, Joining, Notice, RoomSettings
from roombell.rooms.effects import Left, Moved, ParticipantsChanged
from roombell.rooms.hub import Hub, OnEvent
from roombell.testing import virtual_time


class Listener:
    """A session that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Notice] = []

    def tell(self, notice: Notice) -> None:
        self.told.append(notice)


def virtual_hub(on_event: OnEvent, settings: RoomSettings | None = None) -> Hub:
    clock = virtual_time.VirtualClock()
    return Hub(on_event, settings=settings, clock=clock, token_bytes=random.Random(1).randbytes)


def enter(hub: Hub, identity: str = "alice", room: str = "demo") -> str:
    sid = hub.do(hub.participants.join, Joining(room=room, identity=identity)).participant.sid
    hub.do(hub.participants.welcome, sid)
    hub.do(hub.participants.connect, sid)
    return sid


def test_timers_run_by_themselves_in_virtual_time() -> None:
    seen: list[tuple[str, int]] = []

    async def main() -> None:
        async with virtual_hub(lambda one: seen.append((one.event.type, one.event.created_at))) as hub:
            hub.do(hub.rooms.create, messages.CreateRoomRequest(name="demo"))
            await asyncio.sleep(3600)

    virtual_time.run(main())
    begun_at = virtual_time.EPOCH_MS // 1000
    assert seen == [("room_started", begun_at), ("room_finished", begun_at + 300)]


def test_a_coroutine_callback_gets_the_events_one_after_another() -> None:
    seen: list[str] = []

    async def slow(one: Happened) -> None:
        seen.append(f"begin {one.event.type}")
        await asyncio.sleep(10)
        seen.append(f"end {one.event.type}")

    async def main() -> None:
        async with virtual_hub(slow) as hub:
            enter(hub)
            assert seen == []
            await hub.settled()

    virtual_time.run(main())
    assert seen[:4] == ["begin room_started", "end room_started", "begin participant_joined", "end participant_joined"]


async def test_a_stop_ends_every_room_and_passes_on_its_last_events() -> None:
    seen: list[str] = []

    async def keep(one: Happened) -> None:
        seen.append(one.event.type)

    hub = Hub(keep)
    hub.start()
    enter(hub)
    await hub.stop()
    await hub.stop()
    assert seen == ["room_started", "participant_joined", "participant_left", "room_finished"]


async def test_a_callback_that_raises_is_logged_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    def faulty(one: Happened) -> None:
        seen.append(one.event.type)
        raise RuntimeError("callback")

    async def faulty_later(one: Happened) -> None:
        faulty(one)

    for callback in (faulty, faulty_later):
        seen.clear()
        async with Hub(callback) as hub:
            enter(hub)
            await hub.settled()
        assert seen == ["room_started", "participant_joined", "participant_left", "room_finished"]
    assert caplog.text.count("RuntimeError: callback") == 8


async def test_a_callback_that_hangs_does_not_hold_up_a_stop(caplog: pytest.LogCaptureFixture) -> None:
    async def hang(_: Happened) -> None:
        await asyncio.Event().wait()

    hub = Hub(hang)
    hub.start()
    enter(hub)
    with caplog.at_level(logging.ERROR):
        await hub.stop(grace_s=0.01)
    assert "Lost" in caplog.text


async def test_a_callback_may_run_commands_and_order_is_kept() -> None:
    seen: list[str] = []

    def react(one: Happened) -> None:
        if one.event.type == "participant_joined" and one.event.participant_identity == "alice":
            hub.do(hub.participants.remove, "demo", "alice")
        seen.append(f"{one.event.type} {one.event.participant_identity}".strip())

    async with Hub(react) as hub:
        enter(hub)
        assert seen == ["room_started", "participant_joined alice", "participant_left alice"]


async def test_sessions_are_told_until_they_left_and_follow_a_move() -> None:
    async with Hub(lambda _: None) as hub:
        alice, listener = enter(hub, "alice", "one"), Listener()
        hub.attach(alice, listener)
        moved = hub.do(hub.participants.move, "one", "alice", "two").sid
        assert isinstance(listener.told[-1], Moved)
        enter(hub, "bob", "two")
        assert any(isinstance(notice, ParticipantsChanged) for notice in listener.told)
        hub.do(hub.participants.leave, moved)
        assert isinstance(listener.told[-1], Left)
        before = len(listener.told)
        enter(hub, "carol", "two")
        assert len(listener.told) == before


async def test_a_lost_connection_takes_nothing_from_the_one_that_came_after() -> None:
    async with Hub(lambda _: None) as hub:
        alice, first, second = enter(hub), Listener(), Listener()
        hub.attach(alice, first)
        hub.attach(alice, second)
        hub.detach(alice, first)
        enter(hub, "bob")
        assert second.told
        assert not first.told
        hub.detach(alice, second)


async def test_a_session_that_raises_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Faulty:
        def tell(self, _: Notice) -> None:
            raise RuntimeError("session")

    async with Hub(lambda _: None) as hub:
        alice, bob, listener = enter(hub, "alice"), enter(hub, "bob"), Listener()
        hub.attach(alice, Faulty())
        hub.attach(bob, listener)
        enter(hub, "carol")
        assert listener.told
    assert "RuntimeError: session" in caplog.text
