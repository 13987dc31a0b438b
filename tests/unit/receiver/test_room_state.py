"""What goes wrong in the field, case by case. Each test quotes the public report that it is about.

``livekit#N`` is an issue of livekit/livekit on GitHub, likewise for other repositories; ``community N`` is a topic of
community.livekit.io.
"""

from __future__ import annotations

import json
from datetime import timedelta

import msgspec
import pytest

from roombell.errors import EventError
from roombell.events import EVENT_TYPES, WebhookEvent, parse
from roombell.receiver.room_state import (
    Anomaly,
    AnomalyKind,
    Change,
    IngressEnded,
    IngressStarted,
    ParticipantAborted,
    ParticipantJoined,
    ParticipantLeft,
    ParticipantMoved,
    RecordingChanged,
    RecordingEnded,
    RecordingStarted,
    RoomComplete,
    RoomEnded,
    RoomLimits,
    RoomOpened,
    RoomRecord,
    RoomState,
    StateUnreadable,
    TrackPublished,
    TrackUnpublished,
)
from roombell.receiver.views import DisconnectReason, EgressStatus, ParticipantKind, RoomEndReason
from roombell.testing import misbehaviours
from roombell.testing.factory import EventFactory
from roombell.testing.misbehaviours import MISBEHAVIOURS, Misbehaviour

ROOM = "demo"
HOURS = 3600


class Watched:
    """A state that was given a misbehaviour, with what it told."""

    def __init__(self, *events: WebhookEvent, limits: RoomLimits | None = None) -> None:
        self.state = RoomState(limits) if limits is not None else RoomState()
        self.changes: list[Change] = []
        for event in events:
            self.changes += self.state.apply(event)

    @classmethod
    def of(cls, misbehaviour: Misbehaviour) -> Watched:
        factory = EventFactory()
        watched = cls(*misbehaviour(factory, ROOM))
        watched.now = factory.clock()
        return watched

    now = 0.0

    def settle(self, seconds: float) -> list[Change]:
        told = list(self.state.settle(self.now + seconds))
        self.changes += told
        return told

    @property
    def identities(self) -> list[str]:
        return [one.participant.identity for one in self.state.participants(ROOM)]

    @property
    def anomalies(self) -> list[AnomalyKind]:
        return [change.kind for change in self.changes if isinstance(change, Anomaly)]

    def told(self, kind: type[Change]) -> list:
        return [change for change in self.changes if isinstance(change, kind)]


# Participants


def test_livekit_2399_a_late_left_of_the_old_session_does_not_remove_who_re_joined() -> None:
    watched = Watched.of(misbehaviours.left_after_rejoin)
    assert watched.identities == ["alice"]
    [left] = watched.told(ParticipantLeft)
    assert left.replaced_by == watched.state.participants(ROOM)[0].participant.sid
    watched.settle(60)
    assert watched.anomalies == []


def test_livekit_2399_a_rejoin_is_counted_once_before_the_old_session_s_left_comes() -> None:
    events = misbehaviours.left_after_rejoin(EventFactory())[:-1]
    watched = Watched(*events)
    assert watched.state.rooms()[0].participants_count == 1
    watched.now = events[-1].created_at
    watched.settle(60)
    assert [(left.inferred, left.reason) for left in watched.told(ParticipantLeft)] == [
        (True, DisconnectReason.DUPLICATE_IDENTITY)
    ]
    assert watched.anomalies == [AnomalyKind.LEFT_MISSING]


def test_livekit_2399_of_two_sessions_the_one_that_began_earlier_is_over_though_it_is_told_later() -> None:
    factory = EventFactory()
    room = factory.room(ROOM)
    old = room.participant_joined("alice", sid="PA_old")
    factory.clock.advance(2)
    new = room.participant_joined("alice", sid="PA_new")
    late = parse(old.raw.replace(b'"createdAt":"%d"' % old.created_at, b'"createdAt":"%d"' % (new.created_at + 1)))
    assert late.created_at > new.created_at
    watched = Watched(room.room_started(), new, late)
    assert [one.participant.sid for one in watched.state.participants(ROOM)] == ["PA_new"]


def test_livekit_2399_a_left_that_overtakes_its_joined_leaves_nobody_in_the_room() -> None:
    watched = Watched.of(misbehaviours.left_before_joined)
    assert watched.identities == ["alice"]
    watched.settle(60)
    assert watched.anomalies == []


def test_livekit_4227_a_connection_that_was_up_and_is_said_to_be_aborted_is_over_and_told_of() -> None:
    watched = Watched.of(misbehaviours.aborted_after_connected)
    assert watched.identities == ["alice"]
    assert [change.inferred for change in watched.told(ParticipantJoined)] == [False, True]
    assert [change.participant.identity for change in watched.told(ParticipantLeft)] == ["bob"]
    watched.settle(60)
    assert watched.anomalies == [AnomalyKind.ABORTED_AFTER_JOINED]


def test_livekit_3848_a_failed_migration_ends_the_session_though_it_is_told_as_aborted() -> None:
    watched = Watched.of(misbehaviours.aborted_after_joined)
    assert watched.identities == ["alice"]
    assert watched.told(ParticipantLeft)[0].reason == DisconnectReason.MIGRATION
    assert watched.anomalies == [AnomalyKind.ABORTED_AFTER_JOINED]


def test_livekit_3376_and_3975_somebody_who_never_connected_is_told_of_and_never_counted() -> None:
    watched = Watched.of(misbehaviours.never_connected)
    assert [change.participant.identity for change in watched.told(ParticipantAborted)] == ["bob"]
    assert watched.state.rooms()[0].participants_count == 1
    watched.settle(60)
    assert watched.anomalies == []


def test_livekit_1130_a_left_without_joined_makes_no_count_negative() -> None:
    watched = Watched.of(misbehaviours.left_without_joined)
    assert watched.state.rooms()[0].participants_count == 1
    assert watched.told(ParticipantLeft) == []
    watched.settle(60)
    assert watched.anomalies == [AnomalyKind.JOINED_MISSING]


def test_livekit_4265_2065_1212_and_1678_people_are_counted_here_and_not_taken_from_the_event() -> None:
    watched = Watched.of(misbehaviours.stale_participant_count)
    room = watched.state.room(ROOM)
    assert room is not None
    assert (room.participants_count, room.room.participants_told) == (2, 3)
    assert watched.identities == ["alice", "carol"]


def test_chatto_1284_a_second_tab_is_told_as_a_duplicate_identity() -> None:
    watched = Watched.of(misbehaviours.left_for_duplicate_identity)
    assert watched.identities == ["alice"]
    assert [change.reason for change in watched.told(ParticipantLeft)] == [DisconnectReason.DUPLICATE_IDENTITY]


def test_community_319_tracks_of_people_whose_joining_was_never_told_are_an_anomaly_each() -> None:
    watched = Watched.of(misbehaviours.joined_and_left_lost)
    assert (watched.identities, watched.state.rooms()) == ([], ())
    assert watched.anomalies == []  # the joining may be merely late
    watched.settle(60)
    assert watched.anomalies == [AnomalyKind.JOINED_MISSING] * 2


def test_community_319_somebody_who_publishes_is_there_though_their_joining_was_lost() -> None:
    factory = EventFactory()
    room = factory.room(ROOM)
    watched = Watched(room.room_started(), room.track_published("alice"))
    [alice] = watched.state.participants(ROOM)
    assert (alice.participant.identity, alice.inferred, len(alice.tracks)) == ("alice", True, 1)
    assert watched.told(ParticipantJoined) == []
    watched.now = factory.clock()
    assert [type(change) for change in watched.settle(10)] == [Anomaly, ParticipantJoined, TrackPublished]


def test_a_track_that_is_told_before_its_participant_raises_no_alarm() -> None:
    watched = Watched.of(misbehaviours.track_before_joined)
    assert watched.identities == ["alice", "bob"]
    assert [type(change) for change in watched.changes[-2:]] == [ParticipantJoined, TrackPublished]
    watched.settle(60)
    assert watched.anomalies == []


def test_livekit_1254_a_track_whose_publication_was_never_told_ends_without_harm() -> None:
    room = EventFactory().room(ROOM)
    watched = Watched(room.room_started(), room.participant_joined("alice"), room.track_unpublished("alice"))
    assert watched.identities == ["alice"]
    assert watched.told(TrackUnpublished) == []


def test_livekit_1730_the_reason_of_a_leaving_is_typed_and_an_unknown_one_is_kept() -> None:
    room = EventFactory().room(ROOM)
    events = [room.room_started(), room.participant_joined("alice"), room.participant_joined("bob")]
    left = [
        room.participant_left("alice", reason="PARTICIPANT_REMOVED"),
        room.participant_left("bob", reason="ABDUCTED"),
    ]
    reasons = [change.reason for change in Watched(*events, *left).told(ParticipantLeft)]
    assert reasons == [DisconnectReason.PARTICIPANT_REMOVED, "ABDUCTED"]
    assert [reason.is_known for reason in reasons] == [True, False]


def test_hcengineering_11030_participants_of_a_node_that_died_do_not_stay_for_ever() -> None:
    watched = Watched.of(misbehaviours.node_crash)
    assert watched.identities == ["alice"]
    watched.settle(60)
    assert watched.anomalies.count(AnomalyKind.LEFT_MISSING) == 2
    assert watched.anomalies[0] == AnomalyKind.ROOM_RESTARTED
    assert [change.inferred for change in watched.told(ParticipantLeft)] == [True, True]


def test_what_somebody_is_stays_known_where_their_leaving_does_not_tell_it() -> None:
    room = EventFactory().room(ROOM)
    joined = room.participant_joined("agent", kind="AGENT")
    told = Watched(room.room_started(), joined, room.participant_left("agent")).told(ParticipantLeft)
    assert [left.participant.kind for left in told] == [ParticipantKind.AGENT]
    left = msgspec.json.decode(room.participant_left("bot").raw)
    left["participant"]["kind"] = "EGRESS"
    watched = Watched(room.track_published("bot"), parse(msgspec.json.encode(left)))
    assert [left.participant.kind for left in watched.told(ParticipantLeft)] == [ParticipantKind.EGRESS]


def test_somebody_who_joined_before_the_room_was_made_anew_and_is_told_late_is_gone_in_the_end() -> None:
    factory = EventFactory()
    room = factory.room(ROOM)
    first = room.room_started()
    factory.clock.advance(50)
    late = room.participant_joined("alice")
    factory.clock.advance(50)
    watched = Watched(first, room.room_started(), late)
    watched.now = factory.clock()
    assert watched.identities == []
    watched.settle(60)
    assert [left.inferred for left in watched.told(ParticipantLeft)] == [True]
    assert watched.anomalies == [AnomalyKind.ROOM_RESTARTED, AnomalyKind.LEFT_MISSING]


def test_who_is_moved_to_another_node_with_the_room_comes_back_with_the_first_sign_of_life() -> None:
    factory = EventFactory()
    room = factory.room(ROOM)
    events = [room.room_started(), room.participant_joined("alice")]
    factory.clock.advance(30)
    watched = Watched(*events, room.room_started())
    assert watched.identities == []
    factory.clock.advance(2)
    watched.changes += watched.state.apply(room.track_published("alice"))
    assert watched.identities == ["alice"]
    watched.now = factory.clock()
    watched.settle(60)
    assert watched.told(ParticipantLeft) == []


def test_somebody_who_is_moved_is_in_the_new_room_alone() -> None:
    watched = Watched.of(misbehaviours.participant_moved)
    assert watched.identities == ["alice"]
    assert [one.participant.identity for one in watched.state.participants("demo-2")] == ["bob"]
    assert [(change.room_name, change.to_room) for change in watched.told(ParticipantMoved)] == [(ROOM, "demo-2")]


def test_somebody_who_is_moved_back_is_in_the_first_room_again() -> None:
    factory = EventFactory()
    events = misbehaviours.participant_moved(factory)
    sid = events[-1].participant_sid
    factory.clock.advance(5)
    room = factory.room(ROOM, sid=events[0].room_sid)
    watched = Watched(*events, room.participant_joined("bob", sid=sid))
    assert watched.identities == ["alice", "bob"]
    assert watched.state.participants("demo-2") == ()


def test_livekit_4117_callers_agents_and_bots_are_told_apart() -> None:
    room = EventFactory().room(ROOM)
    kinds = {"alice": "STANDARD", "phone": "SIP", "bot": "AGENT", "EG_x": "EGRESS", "camera": "INGRESS"}
    state = Watched(
        room.room_started(), *(room.participant_joined(who, kind=kind) for who, kind in kinds.items())
    ).state
    people = state.participants(ROOM, kinds={ParticipantKind.STANDARD, ParticipantKind.SIP})
    assert [one.participant.identity for one in people] == ["alice", "phone"]
    assert (state.rooms()[0].participants_count, state.rooms()[0].people_count) == (5, 2)
    told = [one.participant for one in state.participants(ROOM)]
    assert [(one.is_sip, one.is_agent, one.is_egress, one.is_ingress, one.is_person) for one in told] == [
        (False, False, False, False, True),
        (True, False, False, False, True),
        (False, True, False, False, False),
        (False, False, True, False, False),
        (False, False, False, True, False),
    ]


# Rooms


def test_livekit_2945_and_kotlin_74_a_room_that_deletion_makes_up_is_not_told_of() -> None:
    watched = Watched.of(misbehaviours.phantom_on_delete)
    assert [len(watched.told(kind)) for kind in (RoomOpened, RoomEnded, RoomComplete)] == [1, 1, 1]
    assert watched.told(RoomEnded)[0].reason == RoomEndReason.ROOM_END_API_DELETE
    assert watched.state.rooms(provisional=True) == ()


def test_livekit_2945_a_start_in_the_second_of_the_end_opens_no_room() -> None:
    watched = Watched.of(misbehaviours.phantom_under_same_sid)
    assert watched.state.rooms(provisional=True) == ()
    assert len(watched.told(RoomOpened)) == 1


def test_livekit_2945_a_room_that_is_made_anew_at_once_is_told_of_when_somebody_comes() -> None:
    factory = EventFactory()
    first = factory.room(ROOM)
    second = factory.room(ROOM)
    watched = Watched(first.room_started(), first.room_finished(), second.room_started())
    assert watched.state.rooms() == ()
    assert [room.provisional for room in watched.state.rooms(provisional=True)] == [True]
    watched.changes += watched.state.apply(second.participant_joined("alice"))
    assert [room.room.sid for room in watched.state.rooms()] == [second.sid]
    assert len(watched.told(RoomOpened)) == 2


def test_livekit_4726_a_room_that_gets_the_deleted_one_s_sid_is_a_life_of_its_own() -> None:
    watched = Watched.of(misbehaviours.recreated_while_draining)
    assert watched.state.rooms() == ()
    sessions = [change.session for change in watched.told(RoomComplete)]
    assert len(set(sessions)) == 2
    assert {change.room.sid for change in watched.told(RoomComplete)} == {sessions[0].split("@")[0]}


def test_livekit_4558_a_sid_that_is_used_again_hours_later_is_another_call() -> None:
    watched = Watched.of(misbehaviours.sid_used_again)
    assert watched.identities == ["bob"]
    first, second = watched.told(RoomOpened)
    assert (first.room.sid, first.session == second.session) == (second.room.sid, False)


def test_livekit_3405_two_rooms_of_one_name_are_both_there_as_long_as_both_show_life() -> None:
    watched = Watched.of(misbehaviours.two_sids_at_once)
    assert sorted(watched.identities) == ["alice", "bob"]
    assert len({room.room.sid for room in watched.state.rooms()}) == 2
    watched.settle(60)
    assert sorted(watched.identities) == ["alice", "bob"]


def test_livekit_3976_a_room_whose_end_was_lost_ends_when_the_next_one_goes_on() -> None:
    watched = Watched.of(misbehaviours.finish_lost)
    assert watched.identities == ["bob"]
    assert len(watched.state.rooms()) == 1
    watched.settle(60)
    assert [change.inferred for change in watched.told(RoomEnded)] == [True]
    assert len(watched.told(RoomComplete)) == 1
    assert watched.anomalies[0] == AnomalyKind.ROOM_FINISH_MISSING


def test_livekit_3976_an_end_that_is_only_concluded_makes_no_phantom_of_the_empty_room_after_it() -> None:
    factory = EventFactory()
    first = factory.room(ROOM).room_started()
    factory.clock.advance(100)
    watched = Watched(first, factory.room(ROOM).room_started())
    watched.now = factory.clock()
    watched.settle(60)
    assert [ended.inferred for ended in watched.told(RoomEnded)] == [True]
    assert [room.provisional for room in watched.state.rooms(provisional=True)] == [False]


def test_a_finish_that_is_merely_late_raises_no_alarm() -> None:
    factory = EventFactory()
    first, second = factory.room(ROOM), factory.room(ROOM)
    started = first.room_started()
    factory.clock.advance(60)
    finished = first.room_finished()
    factory.clock.advance(1)
    watched = Watched(started, second.room_started(), second.participant_joined("bob"), finished)
    watched.now = factory.clock()
    watched.settle(60)
    assert watched.anomalies == []
    assert [change.inferred for change in watched.told(RoomEnded)] == [False]
    assert watched.identities == ["bob"]


def test_a_room_whose_start_was_lost_opens_with_its_first_participant() -> None:
    factory = EventFactory()
    room = factory.room(ROOM)
    watched = Watched(room.participant_joined("alice"))
    assert [(change.inferred, change.room.name) for change in watched.told(RoomOpened)] == [(True, ROOM)]
    watched.now = factory.clock()
    watched.settle(60)
    assert watched.anomalies == [AnomalyKind.ROOM_START_MISSING]


def test_a_room_of_which_the_end_alone_was_told_is_complete_all_the_same() -> None:
    watched = Watched(EventFactory().room(ROOM).room_finished())
    assert [type(change) for change in watched.changes] == [RoomEnded, RoomComplete]
    assert watched.state.rooms() == ()


def test_whoever_is_in_a_room_that_ends_has_left_it() -> None:
    factory = EventFactory()
    room = factory.room(ROOM)
    watched = Watched(room.room_started(), room.participant_joined("alice"), room.room_finished())
    assert watched.identities == []
    [left] = watched.told(ParticipantLeft)
    assert (left.inferred, left.reason) == (True, DisconnectReason.ROOM_CLOSED)
    watched.changes += watched.state.apply(room.participant_left("alice", reason="ROOM_CLOSED"))
    watched.now = factory.clock()
    watched.settle(60)
    assert len(watched.told(ParticipantLeft)) == 1
    assert watched.anomalies == []


def test_livekit_1460_and_4376_the_metadata_is_there_though_track_events_leave_it_out() -> None:
    watched = Watched.of(misbehaviours.room_metadata_missing)
    assert watched.changes[-1].room_name == ROOM
    room = watched.state.room(ROOM)
    assert room is not None
    assert room.room.metadata == '{"tenant":"acme"}'


def test_a_track_event_without_its_room_finds_it_by_its_participant() -> None:
    factory = EventFactory()
    room = factory.room(ROOM)
    watched = Watched(room.room_started(), room.participant_joined("alice"))
    track = {"room": None, "participant": {"sid": room.sids["alice"]}}
    watched.state.apply(factory.event("track_published", changes=track))
    assert len(watched.state.participants(ROOM)[0].tracks) == 1
    assert watched.state.apply(factory.event("track_published", changes={"room": None})) == ()


# Recordings


def test_egress_862_a_recording_without_a_status_is_starting() -> None:
    watched = Watched.of(misbehaviours.egress_without_status)
    [recording] = watched.state.recordings(ROOM, going=True)
    assert recording.status == EgressStatus.EGRESS_STARTING
    assert watched.state.rooms()[0].recordings_count == 1


def test_egress_364_a_room_is_complete_when_its_last_recording_ends_after_it() -> None:
    watched = Watched.of(misbehaviours.egress_ended_after_room)
    assert [type(change) for change in watched.changes[-3:]] == [RoomEnded, RecordingEnded, RoomComplete]
    complete = watched.changes[-1]
    assert [one.status for one in complete.recordings] == [EgressStatus.EGRESS_COMPLETE]
    assert complete.missing == ()


def test_community_1339_a_first_end_while_another_run_goes_on_ends_nothing() -> None:
    watched = Watched.of(misbehaviours.egress_ended_twice)
    [ended] = watched.told(RecordingEnded)
    assert ended.recording.duration == timedelta(seconds=85)
    assert len(watched.told(RoomComplete)) == 1
    assert watched.anomalies == [AnomalyKind.EGRESS_RAN_TWICE]


def test_community_1339_a_second_end_that_nothing_announced_revises_the_first() -> None:
    factory = EventFactory()
    room = factory.room(ROOM)
    watched = Watched(room.room_started(), room.egress_started(), room.egress_ended(started_at=factory.clock() - 20))
    factory.clock.advance(60)
    second = room.egress_ended(started_at=factory.clock() - 70)
    watched.changes += watched.state.apply(second)
    watched.changes += watched.state.apply(second)
    assert [change.revised for change in watched.told(RecordingEnded)] == [False, True]
    assert watched.state.recordings(ROOM)[0].duration == timedelta(seconds=70)
    assert watched.anomalies == [AnomalyKind.EGRESS_ENDED_AGAIN]


def test_community_1339_an_end_that_is_older_than_the_one_that_counts_revises_nothing() -> None:
    factory = EventFactory()
    room = factory.room(ROOM)
    older = room.egress_ended(started_at=factory.clock() - 70)
    factory.clock.advance(60)
    watched = Watched(
        room.room_started(), room.egress_started(), room.egress_ended(started_at=factory.clock() - 20), older
    )
    assert [change.revised for change in watched.told(RecordingEnded)] == [False]
    assert watched.state.recordings(ROOM)[0].duration == timedelta(seconds=20)
    assert watched.anomalies == [AnomalyKind.EGRESS_ENDED_AGAIN]


def test_community_1339_a_run_that_shows_life_after_an_end_goes_on() -> None:
    factory = EventFactory()
    room = factory.room(ROOM)
    watched = Watched(room.room_started(), room.egress_started(), room.egress_ended(started_at=factory.clock() - 20))
    factory.clock.advance(5)
    watched.changes += watched.state.apply(room.egress_updated(started_at=factory.clock() - 10))
    assert len(watched.state.recordings(ROOM, going=True)) == 1
    assert watched.anomalies == [AnomalyKind.EGRESS_RAN_TWICE]
    factory.clock.advance(5)
    watched.changes += watched.state.apply(room.egress_ended(started_at=factory.clock() - 20))
    assert watched.state.recordings(ROOM, going=True) == ()


def test_an_update_and_an_end_that_come_again_under_other_ids_are_told_once() -> None:
    watched = Watched.of(misbehaviours.egress_update_repeated)
    assert [type(change) for change in watched.changes[-3:]] == [RecordingStarted, RecordingChanged, RecordingEnded]
    assert watched.anomalies == []


def test_community_1090_and_livekit_2308_a_lost_end_holds_the_room_up_for_a_while_and_is_named() -> None:
    watched = Watched.of(misbehaviours.egress_ended_lost)
    assert watched.told(RoomComplete) == []
    assert watched.settle(5 * HOURS) == []
    anomaly, complete = watched.settle(7 * HOURS)
    assert (anomaly.kind, anomaly.subject) == (AnomalyKind.EGRESS_END_MISSING, complete.missing[0])


def test_semaphore_chat_188_a_recording_of_which_only_its_bot_tells_is_waited_for() -> None:
    factory = EventFactory()
    room = factory.room(ROOM)
    started, bot = room.room_started(), room.participant_joined("EG_lost", kind="EGRESS")
    watched = Watched(started, bot, room.participant_left("EG_lost"), room.room_finished())
    assert watched.told(RoomComplete) == []
    watched.changes += watched.state.apply(room.egress_ended(egress_id="EG_lost"))
    assert [one.egress_id for one in watched.told(RoomComplete)[0].recordings] == ["EG_lost"]


def test_where_egress_events_are_filtered_out_bots_hold_nothing_up() -> None:
    room = EventFactory().room(ROOM)
    bot = room.participant_joined("EG_x", kind="EGRESS")
    watched = Watched(room.room_started(), bot, room.room_finished(), limits=RoomLimits(recordings_hinted=False))
    assert len(watched.told(RoomComplete)) == 1


def test_a_recording_whose_start_was_lost_is_told_of_and_the_start_missed() -> None:
    watched = Watched.of(misbehaviours.egress_start_lost)
    assert len(watched.told(RecordingEnded)) == 1
    assert watched.anomalies == [AnomalyKind.EGRESS_START_MISSING]


def test_meet_1391_and_1506_a_recording_that_failed_or_was_aborted_is_over() -> None:
    watched = Watched.of(misbehaviours.egress_failed)
    failed, aborted = watched.state.recordings(ROOM, going=False)
    assert [(one.failed, one.succeeded, one.files) for one in (failed, aborted)] == [(True, False, ())] * 2
    assert (failed.error, aborted.status) == ("Upload failed", EgressStatus.EGRESS_ABORTED)


def test_a_recording_that_could_not_be_launched_is_told_of_though_it_has_no_id() -> None:
    watched = Watched.of(misbehaviours.egress_not_launched)
    [ended] = watched.told(RecordingEnded)
    assert (ended.recording.egress_id, ended.recording.failed) == ("", True)
    assert watched.settle(60) == []


def test_egress_809_a_negative_duration_is_mended_and_told_of() -> None:
    watched = Watched.of(misbehaviours.negative_duration)
    [recording] = watched.state.recordings(ROOM)
    assert recording.files[0].duration == timedelta(seconds=60)
    assert recording.warnings == ("no_end", "negative_duration")


def test_node_sdks_625_egress_837_and_139_a_result_in_the_old_field_is_a_result() -> None:
    watched = Watched.of(misbehaviours.results_uneven)
    assert [file.name for file in watched.state.recordings(ROOM)[0].files] == ["recordings/demo.mp4"]


def test_livepeer_1712_a_recording_without_a_room_is_one() -> None:
    watched = Watched.of(misbehaviours.recording_without_room)
    assert [recording.succeeded for recording in watched.state.recordings("")] == [True]
    assert watched.state.rooms(provisional=True) == ()


def test_workadventure_6006_a_recording_that_nobody_announced_is_in_its_room_at_once() -> None:
    room = EventFactory().room(ROOM)
    watched = Watched(room.egress_started(), room.room_started(), room.participant_joined("alice"))
    assert [one.egress_id for one in watched.state.recordings(ROOM)] == [watched.changes[0].recording.egress_id]
    watched.changes += watched.state.apply(room.room_finished())
    assert watched.told(RoomComplete) == []
    watched.changes += watched.state.apply(room.egress_ended())
    assert len(watched.told(RoomComplete)) == 1


def test_late_updates_do_not_take_a_recording_back() -> None:
    factory = EventFactory()
    room = factory.room(ROOM)
    started = room.egress_started()
    factory.clock.advance(2)
    active = room.egress_updated()
    factory.clock.advance(60)
    ending, ended = room.egress_updated(status="EGRESS_ENDING"), room.egress_ended()
    watched = Watched(ending, active, started, ended, active, started)
    assert [type(change) for change in watched.changes] == [RecordingStarted, RecordingEnded]
    assert watched.state.recordings(ROOM, going=True) == ()


# Ingresses


def test_livekit_1785_an_ingress_is_in_its_room_though_the_sid_is_missing() -> None:
    watched = Watched.of(misbehaviours.ingress_without_room_sid)
    assert [(type(change), change.room_name) for change in watched.changes[1:]] == [
        (IngressStarted, ROOM),
        (IngressEnded, ROOM),
    ]
    assert watched.changes[1].session == watched.changes[0].session
    assert watched.state.ingresses(ROOM) == ()


def test_an_ingress_that_is_used_again_is_not_ended_by_its_first_use() -> None:
    factory = EventFactory()
    room = factory.room(ROOM)
    first = room.ingress_started()
    factory.clock.advance(60)
    first_ended = room.ingress_ended()
    factory.clock.advance(60)
    second = room.ingress_started()
    watched = Watched(first, second, first_ended, first)
    assert [one.started_ns for one in watched.state.ingresses(ROOM)] == [watched.changes[1].ingress.started_ns]
    assert [type(change) for change in watched.changes] == [IngressStarted, IngressStarted]
    factory.clock.advance(60)
    ended = room.ingress_ended()
    assert [type(change) for change in (*watched.state.apply(ended), *watched.state.apply(ended))] == [IngressEnded]


# What holds of all


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_a_misbehaviour_that_comes_twice_changes_nothing_the_second_time(name: str) -> None:
    events = MISBEHAVIOURS[name](EventFactory(), ROOM)
    state = Watched(*events).state
    before = state.to_bytes()
    assert [change for event in events for change in state.apply(event)] == []
    assert state.to_bytes() == before


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_after_a_misbehaviour_everything_is_forgotten_in_the_end(name: str) -> None:
    factory = EventFactory()
    events = MISBEHAVIOURS[name](factory, ROOM)
    rooms = {event.room_name: event.room_sid for event in events if event.room_sid}
    watched = Watched(*events)
    for now in (factory.clock() + 60, factory.clock() + 7 * HOURS):
        watched.state.settle(now)
    for room, sid in rooms.items():
        factory.clock.advance(1)
        watched.state.apply(factory.room(room, sid=sid).room_finished())
    for number in range(1, 6):
        watched.state.settle(factory.clock() + number * 30 * HOURS)
    still = {room.room.sid for room in watched.state.rooms(provisional=True)}
    assert not still & set(rooms.values())
    assert len(watched.state.to_bytes()) < 1500


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_state_holds_no_secret(event_type: str) -> None:
    state = Watched(EventFactory().event(event_type)).state
    assert b"not-a-secret" not in state.to_bytes()


def test_a_foreign_event_changes_nothing() -> None:
    state = RoomState()
    assert state.apply(parse(b'{"event":"room_painted","room":{"name":"demo","sid":"RM_1"}}')) == ()
    assert state.apply(EventFactory().event("agent_job_started")) == ()
    assert state.rooms(provisional=True) == ()


@pytest.mark.parametrize(
    "body",
    [
        b'{"event":"participant_joined","room":{"name":"demo","sid":"RM_1"}}',
        b'{"event":"participant_left","room":{"name":"demo"},"participant":{"identity":"a"}}',
        b'{"event":"track_published","room":{"name":"demo"},"participant":{"sid":"PA_1"}}',
        b'{"event":"egress_ended","room":{"name":"demo"}}',
        b'{"event":"ingress_started","room":{"name":"demo"},"ingressInfo":{}}',
        b'{"event":"room_started","room":{"name":"demo","creationTime":"soon"}}',
    ],
)
def test_an_event_that_lacks_what_it_is_about_is_refused_and_changes_nothing(body: bytes) -> None:
    state = Watched(EventFactory().room(ROOM).room_started()).state
    before = state.to_bytes()
    with pytest.raises(EventError):
        state.apply(parse(body))
    assert state.to_bytes() == before


def test_events_of_servers_that_send_no_time_are_taken_in_the_order_of_arrival() -> None:
    factory = EventFactory()
    room = factory.room(ROOM)
    events = [
        room.room_started(),
        room.participant_joined("alice"),
        room.participant_joined("bob"),
        room.participant_left("alice"),
    ]
    timeless = [
        parse(event.raw.replace(b'"createdAt":"%d"' % event.created_at, b'"createdAt":"0"')) for event in events
    ]
    assert Watched(*timeless).identities == ["bob"]


def test_what_is_due_soon_waits_for_nothing_that_is_due_much_later() -> None:
    factory = EventFactory()
    room = factory.room(ROOM)
    watched = Watched(room.room_started(), room.egress_started(), room.participant_left("bob"), room.room_finished())
    watched.now = factory.clock()
    watched.settle(60)
    assert watched.anomalies == [AnomalyKind.JOINED_MISSING]
    assert watched.told(RoomComplete) == []


def test_somebody_who_is_not_told_of_yet_is_moved_by_nothing_before_and_after_a_state_is_read_back() -> None:
    factory = EventFactory()
    track = factory.room("first", sid="RM_1").track_published("alice", sid="PA_1")
    joined = factory.room("second", sid="RM_2").participant_joined("alice", sid="PA_1")
    stayed = RoomState()
    stayed.apply(track)
    read_back = RoomState.from_bytes(stayed.to_bytes())
    assert read_back.apply(joined) == stayed.apply(joined)


@pytest.mark.parametrize("time", ["9223372036854775807", "-9223372036854775807", "253402300799"])
@pytest.mark.parametrize("event_type", ["room_started", "participant_joined", "egress_ended", "ingress_started"])
def test_absurd_times_make_no_state_that_cannot_be_written_down(event_type: str, time: str) -> None:
    times = {"startedAt": time, "endedAt": time, "updatedAt": time, "joinedAt": time, "joinedAtMs": None}
    created = {"creationTime": time, "creationTimeMs": None}
    parts = {"room": created, "participant": times, "egressInfo": times, "ingressInfo": {"state": times}}
    event = EventFactory().event(event_type, room=ROOM)
    known = json.loads(event.raw)
    changes = {name: part for name, part in parts.items() if name in known} | {"createdAt": time}
    state = RoomState()
    assert state.apply(EventFactory().event(event_type, room=ROOM, changes=changes))
    assert RoomState.from_bytes(state.to_bytes()).rooms() == state.rooms()
    timeless = EventFactory().event(
        "egress_ended", room=ROOM, changes={"egressInfo": {"endedAt": None}, "createdAt": time}
    )
    state.apply(timeless)
    assert RoomState.from_bytes(state.to_bytes()).recordings(ROOM) == state.recordings(ROOM)


# Bounds


def test_the_rooms_of_a_state_are_bounded_and_the_quietest_goes_first() -> None:
    factory = EventFactory()
    rooms = [factory.room(f"r{number}") for number in range(4)]
    state = RoomState(RoomLimits(rooms_max=2))
    for room in (*rooms[:2], rooms[0], *rooms[2:3]):
        state.apply(room.room_started())
        state.apply(room.participant_joined("alice"))
    assert [room.name for room in state.rooms()] == ["r0", "r2"]


def test_what_a_room_remembers_is_bounded() -> None:
    limits = RoomLimits(
        sessions_max=3,
        participants_max=4,
        departed_max=5,
        recordings_max=2,
        ingresses_max=2,
        tracks_max=2,
        checks_max=6,
    )
    factory = EventFactory()
    state = RoomState(limits)
    for number in range(20):
        room = factory.room(ROOM)
        told = [room.room_started(), room.egress_started(egress_id=f"EG_{number}"), room.ingress_started(f"i{number}")]
        for person in range(8):
            identity = f"p{person}"
            told += [room.participant_joined(identity), *(room.track_published(identity, source=s) for s in "ABCD")]
        told += [room.track_unpublished("p7", source=source) for source in "ABCD"]
        for event in told:
            state.apply(event)
        factory.clock.advance(1)
    record = state._records[ROOM]
    assert len(record.sessions) <= 3
    assert all(len(session.present) <= 4 for session in record.sessions)
    assert len(record.departed) <= 5
    assert (len(record.recordings), len(record.ingresses)) == (2, 2)
    present = [one for session in record.sessions for one in session.present.values()]
    assert all(len(one.tracks) <= 2 and len(one.tracks_gone) <= 2 for one in present)
    assert len(record.checks) <= 6 + 8


def test_a_life_that_there_is_no_place_for_any_more_is_ended_and_complete() -> None:
    factory = EventFactory()
    rooms = [factory.room(ROOM) for _ in range(4)]
    watched = Watched(limits=RoomLimits(sessions_max=2))
    for room in rooms:
        factory.clock.advance(1)
        for event in (room.room_started(), room.participant_joined("alice")):
            watched.changes += watched.state.apply(event)
    assert [change.room.sid for change in watched.told(RoomEnded)] == [rooms[0].sid, rooms[1].sid]
    assert [change.room.sid for change in watched.told(RoomComplete)] == [rooms[0].sid, rooms[1].sid]


def test_a_quiet_room_is_forgotten_a_day_after_its_end_and_a_running_one_never() -> None:
    factory = EventFactory()
    over, running = factory.room("over"), factory.room("running")
    watched = Watched(
        over.room_started(), over.room_finished(), running.room_started(), running.participant_joined("a")
    )
    for hours in (1, 25, 1000):
        watched.state.settle(factory.clock() + hours * HOURS)
    assert [room.name for room in watched.state.rooms()] == ["running"]
    assert list(watched.state._records) == ["running"]


# Bytes


def test_a_record_can_be_written_down_and_read_back() -> None:
    state = Watched(*EventFactory().call()).state
    record = state._records[ROOM]
    assert RoomRecord.from_bytes(record.to_bytes()) == record


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\xc1", b"\x92\x01\xa3abc", b"\x92\x01\x81\xa4name\x05"])
def test_damaged_bytes_are_told_as_such(raw: bytes) -> None:
    with pytest.raises(StateUnreadable, match="damaged"):
        RoomRecord.from_bytes(raw)
    with pytest.raises(StateUnreadable, match="damaged"):
        RoomState.from_bytes(raw)


def test_bytes_of_a_newer_version_are_told_as_such() -> None:
    raw = RoomRecord("demo").to_bytes().replace(b"\x92\x01", b"\x92\x07", 1)
    with pytest.raises(StateUnreadable, match="format 7"):
        RoomRecord.from_bytes(raw)
