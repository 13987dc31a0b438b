"""Rooms and ingresses, told wrongly."""

from __future__ import annotations

from roombell.events import WebhookEvent
from roombell.testing.factory import EventFactory
from roombell.testing.misbehaviours.beginnings import ROOM, begun


def phantom_on_delete(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """livekit#2945, server-sdk-kotlin#74: DeleteRoom ends the room, and a new, empty one starts and ends under the same
    name at once.
    """
    story, events = begun(factory, room, "alice")
    events += [
        story.participant_left("alice", reason="ROOM_DELETED"),
        story.room_finished(reason="ROOM_END_API_DELETE"),
    ]
    phantom = factory.room(room)
    events.append(phantom.room_started())
    factory.clock.advance(1)
    return [*events, phantom.room_finished(reason="ROOM_END_API_DELETE")]


def phantom_under_same_sid(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """livekit#2945 on servers that keep the sid: ``room_started`` comes within the second of ``room_finished``, and
    nothing after it.
    """
    story, events = begun(factory, room)
    return [*events, story.room_finished(reason="ROOM_END_API_DELETE"), story.room_started()]


def recreated_while_draining(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """livekit#4726: the room is made anew seconds after it was deleted and gets the old one's sid; bob joins it, and is
    thrown out when the old one's teardown is done.
    """
    story, events = begun(factory, room, "alice")
    events += [
        story.participant_left("alice", reason="ROOM_DELETED"),
        story.room_finished(reason="ROOM_END_API_DELETE"),
    ]
    factory.clock.advance(3)
    events += [story.room_started(), story.participant_joined("bob")]
    factory.clock.advance(10)
    events.append(story.participant_left("bob", reason="ROOM_CLOSED"))
    return [*events, story.room_finished(reason="ROOM_END_API_DELETE")]


def sid_used_again(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """livekit#4558: hours after its end the room is made anew under the same sid. It is another call; bob is in it."""
    story, events = begun(factory, room, "alice")
    events += [story.participant_left("alice"), story.room_finished()]
    factory.clock.advance(7200)
    return [*events, story.room_started(), story.participant_joined("bob")]


def two_sids_at_once(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """livekit#3405: after a quick re-join the name has two rooms with two sids, both of which go on for a while."""
    story, events = begun(factory, room, "alice")
    other = factory.room(room)
    events += [other.room_started(), other.participant_joined("bob")]
    factory.clock.advance(3)
    return [*events, story.track_published("alice"), other.track_published("bob")]


def finish_lost(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """livekit#3976: after the first webhook nothing arrived for a while. The next call starts under another sid, and
    the end of the one before was never told.
    """
    _, events = begun(factory, room, "alice")
    factory.clock.advance(600)
    _, more = begun(factory, room, "bob")
    factory.clock.advance(30)
    return events + more


def node_crash(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """A node dies: nobody tells that alice and bob left, nor that the room ended. On another node the room starts again
    under its sid, and alice alone comes back, under a new sid of hers.
    """
    story, events = begun(factory, room, "alice", "bob")
    events += [story.track_published("alice"), story.track_published("bob")]
    factory.clock.advance(30)
    return [*events, story.room_started(), story.participant_joined("alice")]


def room_metadata_missing(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """livekit#1460, #4376: track events tell the room's sid and name alone; its metadata was in the events before."""
    story = factory.room(room)
    story.metadata = '{"tenant":"acme"}'
    return [story.room_started(), story.participant_joined("alice"), story.track_published("alice")]


def ingress_without_room_sid(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """livekit#1785: ingress events tell the room's name alone, and no sid."""
    story, events = begun(factory, room)
    events.append(story.ingress_started())
    factory.clock.advance(60)
    return [*events, story.ingress_ended()]
