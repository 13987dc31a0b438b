"""How the stories begin that go wrong later."""

from __future__ import annotations

from typing import Final

from roombell.events import WebhookEvent
from roombell.testing.factory import EventFactory, RoomStory

ROOM: Final = "demo"


def begun(factory: EventFactory, room: str, *identities: str) -> tuple[RoomStory, list[WebhookEvent]]:
    """A room that has started, with those in it, and ten seconds passed."""
    story = factory.room(room)
    events = [story.room_started()]
    for identity in identities:
        factory.clock.advance(1)
        events.append(story.participant_joined(identity))
    factory.clock.advance(10)
    return story, events


def recorded(factory: EventFactory, room: str) -> tuple[RoomStory, list[WebhookEvent]]:
    """A room with alice in it, which is being recorded."""
    story, events = begun(factory, room, "alice")
    return story, [*events, story.egress_started(), story.egress_updated()]
