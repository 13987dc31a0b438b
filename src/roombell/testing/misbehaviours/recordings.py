"""Recordings, told wrongly."""

from __future__ import annotations

from roombell.events import WebhookEvent
from roombell.testing.factory import EventFactory, ns
from roombell.testing.misbehaviours.beginnings import ROOM, begun, recorded


def egress_ended_after_room(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """egress#364: the file is still being uploaded when the room ends; ``egress_ended`` comes later. LiveKit gives no
    order between the two.
    """
    story, events = recorded(factory, room)
    events += [story.participant_left("alice"), story.room_finished()]
    factory.clock.advance(90)
    return [*events, story.egress_ended()]


def egress_ended_twice(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """Community 1339: one egress runs twice at once. Two ``egress_ended`` come under one egress id, with different
    starts and ends; the first one while the call goes on.
    """
    story, events = recorded(factory, room)
    first = factory.clock()
    factory.clock.advance(5)
    events.append(story.egress_updated(started_at=first + 5))
    factory.clock.advance(20)
    events.append(story.egress_ended(started_at=first))
    factory.clock.advance(60)
    events += [story.participant_left("alice"), story.room_finished()]
    factory.clock.advance(5)
    return [*events, story.egress_ended(started_at=first + 5)]


def egress_update_repeated(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """``UpdateEgress`` of ``pkg/service/ioservice.go`` sends the webhook before it reports that its store failed, and
    the worker tries again: the same update and the same end, each twice, under other event ids.
    """
    story, events = recorded(factory, room)
    events.append(story.egress_updated())
    factory.clock.advance(60)
    return [*events, story.egress_ended(), story.egress_ended()]


def egress_ended_lost(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """Community 1090, livekit#2308: ``egress_ended`` never comes. What shows that the recording is over is the leaving
    of its bot, whose identity is the egress id.
    """
    story, events = recorded(factory, room)
    bot = events[-1].egress_id
    events.append(story.participant_joined(bot, kind="EGRESS"))
    factory.clock.advance(60)
    return [*events, story.participant_left("alice"), story.participant_left(bot), story.room_finished()]


def egress_start_lost(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """Community 1090 the other way round: the end comes, and the start never came."""
    story, events = begun(factory, room, "alice")
    factory.clock.advance(60)
    events.append(story.egress_ended())
    factory.clock.advance(60)
    return [*events, story.participant_left("alice"), story.room_finished()]


def egress_without_status(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """egress#862: ``egress_started`` has no ``status`` at all, since EGRESS_STARTING is the default."""
    story, events = begun(factory, room, "alice")
    return [*events, story.egress_started()]


def egress_failed(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """suitenumerique/meet#1391, #1506: a recording that fails, and one that is aborted before it is active. Both are
    over, neither has a file, and applications that wait for EGRESS_COMPLETE wait for ever.
    """
    story, events = recorded(factory, room)
    factory.clock.advance(5)
    events.append(story.egress_ended(status="EGRESS_FAILED", error="Upload failed"))
    second = factory.id("EG_")
    events.append(story.egress_started(egress_id=second))
    ended: dict[str, object] = {"egressId": second, "roomId": story.sid, "status": "EGRESS_ABORTED", "startedAt": None}
    nothing = dict.fromkeys(("fileResults", "file", "details"))
    aborted = {"room": {"sid": story.sid}, "egressInfo": ended | nothing}
    return [*events, factory.event("egress_ended", room=room, changes=aborted)]


def egress_not_launched(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """``pkg/rtc/egress.go``: a room's automatic recording cannot be launched. ``egress_ended`` comes alone, failed and
    without an egress id.
    """
    story, events = begun(factory, room, "alice")
    error = "no response from servers"
    return [*events, story.egress_ended(egress_id="", status="EGRESS_FAILED", error=error)]


def negative_duration(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """egress#809: the file's ``endedAt`` is missing, and its duration is minus its start."""
    story, events = recorded(factory, room)
    factory.clock.advance(60)
    ended = story.egress_ended()
    began = ns(factory.clock() - 60)
    file = {"filename": "a.mp4", "startedAt": began, "duration": f"-{began}", "size": "61941096"}
    info = {"egressId": ended.egress_id, "roomId": story.sid, "startedAt": None, "fileResults": [file], "file": None}
    return [*events, factory.event("egress_ended", room=room, changes={"room": {"sid": story.sid}, "egressInfo": info})]


def results_uneven(factory: EventFactory, room: str = ROOM) -> list[WebhookEvent]:
    """node-sdks#625, egress#837, egress#139: the result is in the deprecated ``file`` alone, and ``fileResults``, where
    applications look, is missing.
    """
    story, events = recorded(factory, room)
    factory.clock.advance(60)
    ids = {"egressId": story.egress_ended().egress_id, "roomId": story.sid, "fileResults": None}
    return [*events, factory.event("egress_ended", room=room, changes={"room": {"sid": story.sid}, "egressInfo": ids})]


def recording_without_room(factory: EventFactory, _room: str = ROOM) -> list[WebhookEvent]:
    """livepeer/studio#1712: the recording of a web page is in no room; handlers that read ``event.room.name`` fail."""
    events = []
    for event_type in ("egress_started", "egress_updated", "egress_ended"):
        info: dict[str, object] = {
            "roomId": None,
            "roomName": None,
            "roomComposite": None,
            "web": {"url": "https://a.example"},
        }
        events.append(factory.event(event_type, changes={"room": None, "egressInfo": info}))
        factory.clock.advance(10)
    return events
