"""The rooms of a receiver, through the receiver's door."""

from __future__ import annotations

import logging

import pytest

from roombell.errors import UsageError
from roombell.events import WebhookEvent, parse
from roombell.receiver import Receiver
from roombell.receiver.room_state import (
    Anomaly,
    AnomalyKind,
    ParticipantJoined,
    ParticipantLeft,
    RoomComplete,
    RoomLimits,
    RoomOpened,
)
from roombell.receiver.watch import RoomWatch
from roombell.testing.factory import DEV_KEYS, EventFactory, ManualClock


class World:
    """A receiver with its rooms, at the factory's time."""

    def __init__(self, limits: RoomLimits | None = None) -> None:
        self.clock = ManualClock()
        self.factory = EventFactory(clock=self.clock)
        self.receiver = Receiver(keys=DEV_KEYS, now=self.clock)
        self.rooms = RoomWatch(self.receiver, limits=limits, now=self.clock)

    def deliver(self, event: WebhookEvent, **headers: str) -> int:
        signed = self.factory.signed(event)
        every = {name.lower(): value for name, value in signed.headers.items()}
        every |= {name.lower().replace("_", "-"): value for name, value in headers.items()}
        return self.receiver.answer_blocking(lambda name: every.get(name.lower()), signed.body).status


def test_rooms_follow_the_webhooks_that_come_in() -> None:
    world = World()
    for event in world.factory.call()[:8]:
        assert world.deliver(event) == 200
    [room] = world.rooms.rooms()
    assert (room.name, room.participants_count) == ("demo", 2)
    assert world.rooms.room("demo") == room
    assert world.rooms.room("other") is None
    assert [one.participant.identity for one in world.rooms.participants("demo")] == ["alice", "bob"]
    assert len(world.rooms.recordings("demo")) == 1
    assert world.rooms.ingresses("demo") == ()


def test_a_refused_webhook_changes_nothing() -> None:
    world = World()
    signed = world.factory.signed(world.factory.event("room_started"), keys={"devkey": "wrong"})
    assert world.receiver.answer_blocking(signed.headers.get, signed.body).status == 401
    assert world.rooms.rooms() == ()


def test_hooks_are_called_with_the_changes_they_ask_for_in_order() -> None:
    world = World()
    told: list = []
    world.rooms.on_change(RoomOpened, ParticipantJoined, ParticipantLeft)(told.append)
    world.rooms.on_change(RoomComplete)(told.append)
    for event in world.factory.call(people=("alice",), recorded=False):
        world.deliver(event)
    assert [type(change) for change in told] == [RoomOpened, ParticipantJoined, ParticipantLeft, RoomComplete]


def test_anomalies_reach_their_hooks_and_are_counted() -> None:
    world = World()
    everything: list[Anomaly] = []
    holes: list[Anomaly] = []
    world.rooms.on_anomaly()(everything.append)
    world.rooms.on_anomaly(AnomalyKind.DELIVERY_MISSING)(holes.append)
    room = world.factory.room()
    world.deliver(room.room_started(), Webhook_Lane="store/1", Webhook_Sequence="1")
    world.deliver(room.participant_left("bob"), Webhook_Lane="store/1", Webhook_Sequence="3")
    world.clock.advance(60)
    world.deliver(room.participant_joined("alice"))
    assert [anomaly.kind for anomaly in everything] == [AnomalyKind.DELIVERY_MISSING, AnomalyKind.JOINED_MISSING]
    assert [anomaly.subject for anomaly in holes] == ["store/1"]
    counted = world.rooms.anomalies_count()
    assert (counted[AnomalyKind.JOINED_MISSING], sum(counted.values())) == (1, 2)


def test_what_is_due_in_a_quiet_room_is_told_when_another_one_speaks() -> None:
    world = World()
    told: list[Anomaly] = []
    world.rooms.on_anomaly()(told.append)
    world.deliver(world.factory.room("quiet").participant_left("bob"))
    world.clock.advance(60)
    world.deliver(world.factory.room("loud").room_started())
    assert [(anomaly.kind, anomaly.room_name) for anomaly in told] == [(AnomalyKind.JOINED_MISSING, "quiet")]


def test_what_is_due_is_told_by_settle_where_nothing_comes_any_more() -> None:
    world = World(RoomLimits(recording_wait_s=100))
    told: list[RoomComplete] = []
    world.rooms.on_change(RoomComplete)(told.append)
    room = world.factory.room()
    for event in (room.room_started(), room.egress_started(), room.room_finished()):
        world.deliver(event)
    world.rooms.settle()
    assert told == []
    world.clock.advance(101)
    world.rooms.settle()
    assert len(told[0].missing) == 1


def test_a_server_whose_clock_is_ahead_ends_nothing_in_other_rooms() -> None:
    world = World(RoomLimits(recording_wait_s=100))
    told: list[RoomComplete] = []
    world.rooms.on_change(RoomComplete)(told.append)
    room = world.factory.room("quiet")
    for event in (room.room_started(), room.egress_started(), room.room_finished()):
        world.deliver(event)
    years = {"createdAt": str(int(world.clock()) + 10**9)}
    assert world.deliver(world.factory.event("room_started", room="ahead", changes=years)) == 200
    assert told == []


def test_while_webhooks_come_an_hour_late_what_is_merely_late_is_not_missed() -> None:
    world = World()
    told: list[Anomaly] = []
    world.rooms.on_anomaly()(told.append)
    room = world.factory.room()
    events = [room.room_started(), room.track_published("alice")]
    world.clock.advance(3600)
    for event in events:
        world.deliver(event)
    world.rooms.settle()
    assert told == []


def test_a_hook_that_fails_is_logged_and_keeps_nothing_up(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    told: list[RoomOpened] = []

    @world.rooms.on_change(RoomOpened)
    def broken(change: RoomOpened) -> None:
        raise RuntimeError("no")

    world.rooms.on_change(RoomOpened)(told.append)
    with caplog.at_level(logging.ERROR):
        assert world.deliver(world.factory.event("room_started")) == 200
    assert len(told) == 1
    assert "RoomOpened of the room 'demo'" in caplog.text


def test_an_event_that_the_state_cannot_read_is_logged_and_taken(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    assert world.deliver(parse(b'{"event":"participant_joined","room":{"name":"demo"}}')) == 200
    assert "passes over" in caplog.text


def test_hooks_are_refused_where_they_could_not_work() -> None:
    rooms = World().rooms

    async def later(change: object) -> None: ...

    with pytest.raises(UsageError, match="plain function"):
        rooms.on_change(RoomOpened)(later)
    with pytest.raises(UsageError, match="plain function"):
        rooms.on_anomaly()(later)
    with pytest.raises(UsageError, match="`on_change` is given"):
        rooms.on_change(later)
    with pytest.raises(UsageError, match="`on_change` is given"):
        rooms.on_change()
    with pytest.raises(UsageError, match="`on_change` is given"):
        rooms.on_change(str)
    with pytest.raises(UsageError, match="`on_anomaly` is given"):
        rooms.on_anomaly(later)
