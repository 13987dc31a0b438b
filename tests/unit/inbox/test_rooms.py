"""The room state that an inbox keeps: as ``RoomState`` in memory has it, over restarts and crashes, each event once."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from roombell import Receiver, UsageError, parse
from roombell.engine.model import Put
from roombell.inbox import Inbox, change_of
from roombell.inbox.rooms import Rooms
from roombell.inbox.shelf import Shelf
from roombell.receiver.delivery import DeliveryInfo
from roombell.receiver.handlers import in_default_thread
from roombell.receiver.room_state import AnomalyKind, RoomLimits, RoomState
from roombell.stores.memory import MemoryStore
from roombell.testing.payloads import sample
from roombell.testing.virtual_time import VirtualClock
from support.inbox import KEYS, QUICK, event, take

CALL = (
    event("room_started"),
    event("participant_joined"),
    event("egress_started"),
    event("track_published"),
    event("egress_updated"),
    event("track_unpublished"),
    event("participant_left"),
    event("room_finished"),
)


@pytest.fixture
def inbox(receiver, store):
    return Inbox(receiver, store=store, defaults=QUICK, rooms=True)


async def test_it_says_who_is_in_which_room_and_what_is_recorded(receiver, inbox):
    async with inbox:
        await take(receiver, *CALL[:4], event("participant_joined", room="other", identity="bob"))
        await inbox.drain(timeout_s=30)
        assert {room.name: room.participants_count for room in await inbox.rooms()} == {"demo": 1, "other": 1}
        (alice,) = await inbox.participants("demo")
        assert (alice.participant.identity, len(alice.tracks)) == ("alice", 1)
        (recording,) = await inbox.recordings("demo", going=True)
        assert recording.egress_id == CALL[2].egress_id
        assert await inbox.participants("nowhere") == ()
        assert await inbox.ingresses("demo") == ()


async def test_it_is_what_a_room_state_in_memory_says_whatever_comes_twice_or_in_whatever_order(receiver, inbox):
    draws = random.Random(20_26)
    events = [event(one.type, room=room) for room in "abcd" for one in CALL if draws.random() < 0.8]
    draws.shuffle(events)
    state = RoomState()
    async with inbox:
        for one in events:
            state.apply(one)
            await take(receiver, one, one)
            await inbox.drain(timeout_s=30)  # rooms and recordings have lanes of their own
        assert set(await inbox.rooms(provisional=True)) == set(state.rooms(provisional=True))
        for room in "abcd":
            assert await inbox.participants(room) == state.participants(room)
            assert await inbox.recordings(room) == state.recordings(room)


async def test_it_outlives_a_restart_and_knows_how_far_it_has_come(receiver, inbox):
    async with inbox:
        await take(receiver, *CALL[:4])
        await inbox.drain(timeout_s=30)
    async with inbox:
        assert [one.participant.identity for one in await inbox.participants("demo")] == ["alice"]
        await inbox.replay()  # nothing is folded in twice
        await inbox.drain(timeout_s=30)
        assert len(await inbox.participants("demo")) == 1
        await take(receiver, CALL[6])
        await inbox.drain(timeout_s=30)
        assert await inbox.participants("demo") == ()


async def test_a_room_is_complete_once_when_its_last_recording_has_ended(receiver, inbox):
    complete, seen = [], []

    @receiver.on("room_complete")
    async def tell(one):
        complete.append((one, change_of(one)))

    @receiver.on("*")
    async def all_of_them(one):
        seen.append(one.type)

    async with inbox:
        await take(receiver, *CALL)
        await inbox.drain(timeout_s=30)
        assert complete == []
        await take(receiver, event("egress_ended"))
        await inbox.drain(timeout_s=30)
        await inbox.replay()
        await inbox.drain(timeout_s=30)
    assert {(one.type, one.room_name, one.room_sid) for one, _ in complete} == {
        ("room_complete", "demo", CALL[0].room_sid)
    }
    assert len({one.id for one, _ in complete}) == 1
    _, change = complete[0]
    assert [recording.egress_id for recording in change.recordings] == [CALL[2].egress_id]
    assert seen.count("egress_ended") == seen.count("room_complete") == 2, "once, and once more by the replay"


async def test_what_livekit_lost_is_told_as_an_anomaly(receiver, inbox):
    told = []

    @receiver.on("anomaly")
    async def tell(one):
        told.append(change_of(one).kind)

    later = sample("track_published", identity="bob", created_at=1_789_411_342 + 60)
    async with inbox:
        await take(receiver, event("track_published"), parse(later))
        await inbox.drain(timeout_s=30)
    assert {AnomalyKind.JOINED_MISSING, AnomalyKind.ROOM_START_MISSING} <= set(told)


async def test_a_hole_in_what_roombell_delivers_is_told_as_an_anomaly(receiver, inbox):
    told = []

    @receiver.on("anomaly")
    async def tell(one):
        told.append((change_of(one).kind, one.room_name))

    async with inbox:
        for sequence in (1, 2, 4):
            await receiver.take(event(id=f"EV_{sequence}"), DeliveryInfo(lane="lane", sequence=sequence, attempt=1))
        await inbox.drain(timeout_s=30)
    assert (AnomalyKind.DELIVERY_MISSING, "demo") in told


async def test_whoever_turns_up_in_another_room_has_left_the_one_before(receiver, inbox):
    async with inbox:
        await take(receiver, event("room_started"), event("participant_joined"))
        await inbox.drain(timeout_s=30)
        (alice,) = await inbox.participants("demo")
        moved = sample("participant_joined", room="other", id="EV_moved").decode()
        here = sample("participant_joined", room="other").decode()
        sid = here.split('"participant":{"sid":"')[1].split('"')[0]
        await take(receiver, parse(moved.replace(sid, alice.participant.sid).encode()))
        await inbox.drain(timeout_s=30)
        assert await inbox.participants("demo") == ()
        assert [one.participant.sid for one in await inbox.participants("other")] == [alice.participant.sid]


class Crash(Exception):
    """The process is gone."""


class World:
    """A room state over a store that stays, in processes that crash: at the ``crash_at``-th step, before or after it."""

    def __init__(self, crash_at: int, *, before: bool) -> None:
        self.store = MemoryStore()
        self.made: list[str] = []
        self.crashes = 0
        self._left, self._before = crash_at, before
        self.begin()

    def begin(self) -> None:
        """A new process."""
        self.rooms = Rooms(Shelf(self), VirtualClock(), self.submit, RoomLimits())

    async def documents(self, keys):
        return await self._step(lambda: self.store.documents(keys))

    async def put_documents(self, puts):
        return await self._step(lambda: self.store.put_documents(puts))

    def documents_after(self, key, *, limit):
        return self.store.documents_after(key, limit=limit)

    async def submit(self, one):
        async def make():
            self.made.append(one.id)

        await self._step(make)

    async def _step(self, work):
        self._left -= 1
        if self._left == 0 and self._before:
            raise Crash
        result = await work()
        if self._left == 0:
            raise Crash
        return result

    async def deliver(self, one, sequence):
        """As the inbox does: again, after a restart, where it does not know that it was done."""
        try:
            await self.rooms.run(one, DeliveryInfo(lane=one.ordering_key, sequence=sequence), in_default_thread)
        except Crash:
            self.crashes += 1
            self.begin()
            await self.deliver(one, sequence)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_a_crash_at_any_step_changes_neither_the_state_nor_what_is_made_of_it(before):
    events = [*CALL, event("egress_ended")]
    expected, reached = None, True
    crash_at = 0
    while reached:
        world = World(crash_at, before=before)
        await world.store.open()
        lanes = Counter()
        for one in events:
            lanes[one.ordering_key] += 1
            await world.deliver(one, lanes[one.ordering_key])
        told = (await world.rooms.rooms(provisional=True), await world.rooms.recordings("demo", going=None))
        made = list(dict.fromkeys(world.made))  # the inbox knows a repeat by its id
        if expected is None:
            expected = told, made
            assert [id_.split("/")[0] for id_ in made] == ["room_complete"]
        assert (told, made) == expected, crash_at
        reached = crash_at == 0 or world.crashes == 1
        crash_at += 1
    assert crash_at > len(events)


async def test_what_is_over_for_long_is_forgotten_down_to_the_last_document():
    store, made = MemoryStore(), []
    await store.open()

    async def submit(one):
        made.append(one.type)

    rooms = Rooms(Shelf(store), VirtualClock(), submit, RoomLimits())
    lanes = Counter()
    for one in (*CALL, event("egress_ended")):
        lanes[one.ordering_key] += 1
        await rooms.run(one, DeliveryInfo(lane=one.ordering_key, sequence=lanes[one.ordering_key]), in_default_thread)
    assert len(await store.documents_after(None, limit=10)) == 1
    late = Rooms(Shelf(store), VirtualClock((CALL[0].created_at + 100 * 86_400) * 1000), submit, RoomLimits())
    for _ in range(2):
        await late.settle()
    assert await store.documents_after(None, limit=10) == ()
    assert set(made) == {"room_complete"}


async def test_without_it_the_questions_say_how_to_have_it():
    inbox = Inbox(Receiver(keys=KEYS), store="memory:")
    async with inbox:
        for question in (inbox.rooms(), inbox.participants("a"), inbox.recordings("a"), inbox.ingresses("a")):
            with pytest.raises(UsageError, match="rooms=True"):
                await question


def test_only_events_of_the_inbox_say_a_change():
    with pytest.raises(UsageError, match="room_started"):
        change_of(event("room_started"))


async def test_a_shelf_that_another_process_wrote_to_says_so_and_reads_it_anew():
    store = MemoryStore()
    await store.open()
    here, there = Shelf(store), Shelf(store)
    assert await here.put(Put("a", 0, 1, b"one"))
    assert (await there.get("a")).value == b"one"
    assert await there.put(Put("a", 1, 2, b"two"))
    assert (await here.get("a")).value == b"one"
    assert not await here.put(Put("a", 1, 2, b"lost"))
    assert (await here.get("a")).value == b"two"
