"""The room state against a LiveKit that tells everything in order, and against histories that were damaged."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from roombell.events import WebhookEvent, parse
from roombell.receiver.room_state import Change, RoomComplete, RoomEnded, RoomLimits, RoomState
from roombell.receiver.views import EgressStatus
from roombell.testing.factory import EventFactory, RoomStory

ROOM = "demo"
IDENTITIES = ("alice", "bob", "carol")
SOURCES = ("MICROPHONE", "CAMERA")
LONG = 10**6
TINY = RoomLimits(
    sessions_max=2, participants_max=2, departed_max=2, recordings_max=2, ingresses_max=1, tracks_max=1, checks_max=3
)
ACTIONS = (
    *("join",) * 4, *("leave",) * 2, *("publish",) * 4, *("unpublish",) * 2, "abort",
    "start", "crash", "finish", "record", "activate", "end",
)  # fmt: skip


@dataclass
class Truth:
    """What LiveKit knows."""

    open: bool = False
    sid: str = ""
    present: dict[str, str] = field(default_factory=dict)
    """Sid by identity."""
    tracks: set[tuple[str, str]] = field(default_factory=set)
    going: dict[str, float] = field(default_factory=dict)
    """When each recording that goes on became active, by egress id; 0 before."""
    finished: int = 0


class Server:
    """A LiveKit with one room name, which tells of each thing at once."""

    def __init__(self) -> None:
        self.factory = EventFactory()
        self.truth = Truth()
        self.story: RoomStory | None = None

    def act(self, action: str, identity: str, source: str, late_left: bool) -> list[WebhookEvent]:
        """What is told of ``action``; nothing where it is impossible now."""
        if not self.truth.open:
            return self._start() if action in {"start", "join", "publish"} else []
        assert self.story is not None
        return {
            "crash": self._crash,
            "finish": self._finish,
            "join": lambda: self._join(identity, late_left),
            "leave": lambda: self._leave(identity),
            "abort": lambda: [self.story.participant_connection_aborted(f"{identity}-x", sid=self.factory.id("PA_"))],
            "publish": lambda: self._track(identity, source, True),
            "unpublish": lambda: self._track(identity, source, False),
            "record": self._record,
            "activate": self._activate,
            "end": self._end,
        }.get(action, list)()

    def _start(self) -> list[WebhookEvent]:
        self.story = self.factory.room(ROOM)
        self.truth.open, self.truth.sid = True, self.story.sid
        return [self.story.room_started()]

    def _crash(self) -> list[WebhookEvent]:
        self.truth.present.clear()
        self.truth.tracks.clear()
        return [self.story.room_started()]

    def _finish(self) -> list[WebhookEvent]:
        told = [event for identity in list(self.truth.present) for event in self._leave(identity)]
        self.truth.open = False
        self.truth.finished += 1
        return [*told, self.story.room_finished()]

    def _join(self, identity: str, late_left: bool) -> list[WebhookEvent]:
        old = self.truth.present.get(identity)
        joined = self.story.participant_joined(identity)
        self.truth.present[identity] = joined.participant_sid
        if old is None:
            return [joined]
        self.truth.tracks = {(sid, source) for sid, source in self.truth.tracks if sid != old}
        left = self.story.participant_left(identity, sid=old, reason="DUPLICATE_IDENTITY")
        return [joined, left] if late_left else [left, joined]

    def _leave(self, identity: str) -> list[WebhookEvent]:
        sid = self.truth.present.pop(identity, None)
        self.truth.tracks = {one for one in self.truth.tracks if one[0] != sid}
        return [self.story.participant_left(identity, sid=sid)] if sid else []

    def _track(self, identity: str, source: str, published: bool) -> list[WebhookEvent]:
        sid = self.truth.present.get(identity)
        if sid is None or ((sid, source) in self.truth.tracks) == published:
            return []
        self.truth.tracks ^= {(sid, source)}
        tell = self.story.track_published if published else self.story.track_unpublished
        return [tell(identity, sid=sid, source=source)]

    def _record(self) -> list[WebhookEvent]:
        egress_id = self.factory.id("EG_")
        self.truth.going[egress_id] = 0
        return [self.story.egress_started(egress_id=egress_id)]

    def _activate(self) -> list[WebhookEvent]:
        waiting = [egress_id for egress_id, active in self.truth.going.items() if not active]
        if not waiting:
            return []
        self.truth.going[waiting[0]] = self.factory.clock()
        return [self.story.egress_updated(egress_id=waiting[0])]

    def _end(self) -> list[WebhookEvent]:
        if not self.truth.going:
            return []
        egress_id = next(iter(self.truth.going))
        active = self.truth.going.pop(egress_id)
        status = "EGRESS_COMPLETE" if active else "EGRESS_FAILED"
        return [self.story.egress_ended(egress_id=egress_id, status=status, started_at=active or None)]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(ACTIONS),
        st.sampled_from(IDENTITIES),
        st.sampled_from(SOURCES),
        st.booleans(),
        st.integers(1, 30),
    ),
    max_size=30,
)


def history(steps: list, tick: bool = True) -> list[WebhookEvent]:
    """What a server told in ``steps``; with ``tick`` no two events are of the same second."""
    server = Server()
    events = []
    for *action, seconds in steps:
        server.factory.clock.advance(seconds)
        events += server.act(*action)
    return [at_second(event, number) for number, event in enumerate(events)] if tick else events


def at_second(event: WebhookEvent, number: int) -> WebhookEvent:
    """The event, told ``number`` seconds later than it was."""
    later = event.raw.replace(b'"createdAt":"%d"' % event.created_at, b'"createdAt":"%d"' % (event.created_at + number))
    return parse(later)


def damaged(data: st.DataObject, events: list[WebhookEvent]) -> list[WebhookEvent]:
    """Some of the events, some twice, in any order."""
    kept = [event for event in events for _ in range(data.draw(st.sampled_from((1, 1, 1, 0, 2))))]
    return data.draw(st.permutations(kept))


def apply_all(state: RoomState, events: list[WebhookEvent]) -> list[Change]:
    return [change for event in events for change in state.apply(event)]


def seen(state: RoomState) -> tuple[object, ...]:
    """What users see of the room, without what differs by the order in which it was heard."""
    return (
        sorted((room.room.sid, room.participants_count) for room in state.rooms()),
        sorted((one.participant.sid, tuple(sorted(t.sid for t in one.tracks))) for one in state.participants(ROOM)),
        sorted((one.egress_id, one.status, one.ended_ns) for one in state.recordings(ROOM)),
    )


def hold_invariants(state: RoomState) -> None:
    for record in state._records.values():
        ids = [session.id for session in record.sessions]
        assert len(ids) == len(set(ids))
        for session in record.sessions:
            assert session.open or not session.present
            assert not session.completed or not session.open
            certain = [one.facts.identity for one in session.present.values() if not one.doubt_at]
            assert len(certain) == len(set(certain))
            for sid, present in session.present.items():
                assert sid not in record.departed
                assert not set(present.tracks) & set(present.tracks_gone)
        everybody = [sid for session in record.sessions for sid in session.present]
        assert len(everybody) == len(set(everybody))
        for recording in record.recordings.values():
            assert not recording.ended or all(recording.runs.values())
    for room in state.rooms(provisional=True):
        assert 0 <= room.people_count <= room.participants_count
        assert room.recordings_count >= 0
    assert sum(room.participants_count for room in state.rooms(provisional=True)) == len(state.participants(ROOM))
    assert RoomState.from_bytes(state.to_bytes()).to_bytes() == state.to_bytes()


@given(STEPS)
def test_a_history_in_order_gives_what_livekit_knows_at_each_step(steps: list) -> None:
    server, state, changes = Server(), RoomState(), []
    for *action, seconds in steps:
        server.factory.clock.advance(seconds)
        told = server.act(*action)
        changes += apply_all(state, told)
        truth = server.truth
        assert {one.participant.sid for one in state.participants(ROOM)} == set(truth.present.values())
        assert {room.room.sid for room in state.rooms(provisional=True)} == ({truth.sid} if truth.open else set())
        assert len({track.sid for one in state.participants(ROOM) for track in one.tracks}) == len(truth.tracks)
        assert {one.egress_id for one in state.recordings(ROOM, going=True)} == set(truth.going)
        hold_invariants(state)
    assert sum(isinstance(change, RoomEnded) for change in changes) <= server.truth.finished


@given(STEPS, st.data())
def test_any_damage_to_a_history_leaves_the_invariants(steps: list, data: st.DataObject) -> None:
    limits = data.draw(st.sampled_from((RoomLimits(), TINY)))
    state = RoomState(limits)
    completed: list[str] = []
    for event in damaged(data, history(steps, tick=data.draw(st.booleans()))):
        changes = state.apply(event)
        completed += [change.session for change in changes if isinstance(change, RoomComplete)]
        hold_invariants(state)
        for record in state._records.values():
            assert len(record.sessions) <= limits.sessions_max
            assert len(record.departed) <= limits.departed_max
            assert len(record.recordings) <= limits.recordings_max
    completed += [change.session for change in state.settle(LONG * 10**4) if isinstance(change, RoomComplete)]
    assert len(completed) == len(set(completed)) or limits is TINY  # what is forgotten may be heard of as new
    hold_invariants(state)


@given(STEPS)
def test_each_life_of_a_room_is_complete_exactly_once(steps: list) -> None:
    events = history(steps)
    state = RoomState(RoomLimits(phantom_s=-1))
    changes = apply_all(state, events)
    changes += state.settle(max((event.created_at for event in events), default=0) + 7 * 3600)
    finished = [event.room_sid for event in events if event.type == "room_finished"]
    assert sorted(change.room.sid for change in changes if isinstance(change, RoomComplete)) == sorted(finished)


@given(STEPS, st.integers(0, 40))
def test_events_that_come_again_change_nothing(steps: list, count: int) -> None:
    events = history(steps)
    state = RoomState()
    apply_all(state, events)
    before = state.to_bytes()
    assert apply_all(state, events[-count:]) == []
    assert state.to_bytes() == before


@given(STEPS, st.data())
def test_swapped_neighbours_end_as_if_they_had_come_in_order(steps: list, data: st.DataObject) -> None:
    events = history(steps)
    swapped = list(events)
    if len(events) > 1:
        at = data.draw(st.integers(0, len(events) - 2))
        swapped[at], swapped[at + 1] = swapped[at + 1], swapped[at]
    in_order, mixed = RoomState(), RoomState()
    apply_all(in_order, events)
    apply_all(mixed, swapped)
    end = max((event.created_at for event in events), default=0) + 60
    in_order.settle(end)
    mixed.settle(end)
    assert seen(mixed) == seen(in_order)


@given(STEPS)
def test_a_state_read_back_goes_on_as_if_it_had_stayed_in_memory(steps: list) -> None:
    kept, stored = RoomState(), RoomState()
    for event in history(steps):
        changes = kept.apply(event)
        assert stored.apply(event) == changes
        stored = RoomState.from_bytes(stored.to_bytes())
    assert stored.to_bytes() == kept.to_bytes()
    assert EgressStatus.EGRESS_STARTING not in {one.status for one in kept.recordings(ROOM, going=False)}
