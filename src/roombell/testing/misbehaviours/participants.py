"""Who joined and who left, told wrongly."""

from __future__ import annotations

from roombell.events import WebhookEvent
from roombell.testing.factory import EventFactory
from roombell.testing.misbehaviours.beginnings import ROOM, begun


def left_after_rejoin(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """livekit#2399: alice re-joins within a second, and the ``participant_left`` of her old session comes after the
    ``participant_joined`` of the new one. She is in the room.
    """
    story, events = begun(factory, room, "alice")
    old = story.sids["alice"]
    events.append(story.participant_joined("alice"))
    factory.clock.advance(2)
    return [*events, story.participant_left("alice", sid=old, reason="DUPLICATE_IDENTITY")]


def left_for_duplicate_identity(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """chattocorp/chatto#1284: alice opens a second tab; her old session leaves by DUPLICATE_IDENTITY just before the
    new one joins. She never was away.
    """
    story, events = begun(factory, room, "alice")
    events.append(story.participant_left("alice", reason="DUPLICATE_IDENTITY"))
    return [*events, story.participant_joined("alice")]


def left_without_joined(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """livekit#1130: bob's connection never came up, and he leaves without having joined. Counters went negative."""
    story, events = begun(factory, room, "alice")
    return [*events, story.participant_left("bob")]


def left_before_joined(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """livekit#2399: two servers tell of bob, and his leaving overtakes his joining. He is not in the room."""
    story, events = begun(factory, room, "alice")
    joined = story.participant_joined("bob")
    factory.clock.advance(1)
    return [*events, story.participant_left("bob"), joined]


def aborted_after_connected(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """livekit#4227: the client saw itself connected and published, and the webhooks say that bob's connection was
    aborted; ``participant_joined`` never came.
    """
    story, events = begun(factory, room, "alice")
    events.append(story.track_published("bob"))
    factory.clock.advance(1)
    return [*events, story.participant_connection_aborted("bob")]


def aborted_after_joined(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """livekit#3848: bob joined, was to be migrated to another node, and that failed: ``connection_aborted``, and no
    ``participant_left``.
    """
    story, events = begun(factory, room, "alice", "bob")
    return [*events, story.participant_connection_aborted("bob", reason="MIGRATION")]


def never_connected(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """livekit#3376, livekit#3975: bob hangs up while he connects. Old servers tell nothing, newer ones this."""
    story, events = begun(factory, room, "alice")
    return [*events, story.participant_connection_aborted("bob", reason="CLIENT_INITIATED")]


def track_before_joined(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """``pkg/rtc`` of livekit tells of a participant's state and of their tracks from two goroutines: bob's track is
    there before he is.
    """
    story, events = begun(factory, room, "alice")
    joined = story.participant_joined("bob")
    return [*events, story.track_published("bob"), joined]


def joined_and_left_lost(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """Community 319: of two participants nothing came but the ends of their tracks."""
    story = factory.room(room)
    events = []
    for identity in ("alice", "bob"):
        events += [story.track_unpublished(identity), story.track_unpublished(identity, source="CAMERA")]
    return events


def participant_moved(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """MoveParticipant where the sid stays and the old room's ``participant_left`` is lost: bob is in the room with the
    suffix ``-2`` from then on.
    """
    story, events = begun(factory, room, "alice", "bob")
    other, more = begun(factory, f"{room}-2")
    return [*events, *more, other.participant_joined("bob", sid=story.sids["bob"])]


def stale_participant_count(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """livekit#4265, #2065, #1212, #1678: ``numParticipants`` is missing, and counts who has left already. Three came,
    one left.
    """
    story, events = begun(factory, room, "alice", "bob", "carol")
    counted = {"room": {"sid": story.sid, "numParticipants": 3}, "participant": {"sid": story.sids["bob"]}}
    return [*events, factory.event("participant_left", room=room, identity="bob", changes=counted)]
