"""Machines and hubs for tests: seeded ids, a clock that stands still, and short words for what followed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from livekit.protocol import models, rtc
from livekit.protocol.egress import EgressStatus

from roombell.events import WebhookEvent
from roombell.rooms import Happened, Joined, Joining, Machine, Notice, RoomSettings, Tell

T = TypeVar("T")
START_MS = 1_790_000_000_000


class Desk:
    """A machine with a clock of the test's, and everything that followed so far."""

    def __init__(self, settings: RoomSettings | None = None, seed: int = 1) -> None:
        self.machine = Machine(settings=settings, token_bytes=random.Random(seed).randbytes)
        self.rooms, self.participants, self.tracks = self.machine.rooms, self.machine.participants, self.machine.tracks
        self.egresses, self.ingresses, self.dispatches = (
            self.machine.egresses,
            self.machine.ingresses,
            self.machine.dispatches,
        )
        self.now_ms = START_MS
        self.machine.at(START_MS)
        self.happened: list[Happened] = []
        self.told: list[Tell] = []

    def wait(self, seconds: float) -> Desk:
        self.now_ms += round(seconds * 1000)
        self.machine.at(self.now_ms)
        self._take()
        return self

    def _take(self) -> None:
        for effect in self.machine.take_effects():
            if isinstance(effect, Happened):
                self.happened.append(effect)
            else:
                self.told.append(effect)

    @property
    def events(self) -> list[WebhookEvent]:
        self._take()
        return [one.event for one in self.happened]

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]

    def story(self) -> list[str]:
        """``participant_left alice`` and the like."""
        return [f"{one.type} {one.participant_identity}".strip() for one in self.events]

    def forget(self) -> None:
        self._take()
        self.happened.clear()
        self.told.clear()

    def notices(self, sid: str, kind: type[Notice] | None = None) -> list[Notice]:
        self._take()
        mine = [one.notice for one in self.told if one.participant_sid == sid]
        return [one for one in mine if kind is None or isinstance(one, kind)]

    def enter(self, identity: str = "alice", room: str = "demo", **more: object) -> str:
        """A participant that is active; its sid."""
        sid = self.arrive(identity, room, **more)
        self.participants.welcome(sid)
        self.participants.connect(sid)
        return sid

    def arrive(self, identity: str = "alice", room: str = "demo", **more: object) -> str:
        """A participant that is joining; its sid."""
        return self.join(identity, room, **more).participant.sid

    def join(self, identity: str = "alice", room: str = "demo", **more: object) -> Joined:
        return self.participants.join(Joining(room=room, identity=identity, **more))

    def publish(self, sid: str, source: models.TrackSource = models.MICROPHONE, cid: str = "") -> str:
        """A track whose media flows; its sid."""
        track_sid = self.add(sid, source, cid)
        self.tracks.media(sid, track_sid)
        return track_sid

    def add(self, sid: str, source: models.TrackSource = models.MICROPHONE, cid: str = "") -> str:
        kind = models.VIDEO if source in (models.CAMERA, models.SCREEN_SHARE) else models.AUDIO
        name = models.TrackSource.Name(source).lower()
        return self.tracks.add(sid, rtc.AddTrackRequest(cid=cid, name=name, type=kind, source=source)).sid


def refusal(command: Callable[[], object]) -> str:
    """The code of the refusal that the command ends with."""
    from roombell.rooms import Refused

    try:
        command()
    except Refused as refused:
        return refused.refusal.value
    return ""


class Ledger:
    """Books every event of a room server, and objects to what the promises forbid."""

    def __init__(self) -> None:
        self.open_rooms: dict[str, str] = {}
        """Sids of the rooms that are open, by name."""
        self.finished: set[str] = set()
        self.present: dict[str, str] = {}
        """Rooms' names of those who joined, by participant's sid."""
        self.joined: set[str] = set()
        self.left: set[str] = set()
        self.aborted: set[str] = set()
        self.tracks: dict[str, str] = {}
        """Participants' sids of the tracks that are published, by the track's sid."""
        self.recordings: dict[str, str] = {}
        """The last event of each recording."""
        self.publishing: set[str] = set()
        self.created_at = 0

    def book(self, event: WebhookEvent) -> None:
        assert event.created_at >= self.created_at, "time went back"
        self.created_at = event.created_at
        if event.room_sid and not event.egress_id:
            assert self._is_open(event) or event.type == "room_started", f"{event}: the room is not open"
        getattr(self, f"_{event.type}")(event)

    def _is_open(self, event: WebhookEvent) -> bool:
        return self.open_rooms.get(event.room_name) == event.room_sid

    def _room_started(self, event: WebhookEvent) -> None:
        assert event.room_name not in self.open_rooms
        assert event.room_sid not in self.finished
        self.open_rooms[event.room_name] = event.room_sid

    def _room_finished(self, event: WebhookEvent) -> None:
        assert event.room_name not in self.present.values(), "somebody is still in it"
        del self.open_rooms[event.room_name]
        self.finished.add(event.room_sid)

    def _participant_joined(self, event: WebhookEvent) -> None:
        sid = event.participant_sid
        assert sid not in self.joined | self.left | self.aborted
        self.joined.add(sid)
        self.present[sid] = event.room_name

    def _participant_left(self, event: WebhookEvent) -> None:
        sid = event.participant_sid
        assert sid in self.joined, "left without joined"
        assert sid not in self.left, "left twice"
        assert sid not in self.tracks.values(), "a track is still published"
        self.left.add(sid)
        assert self.present.pop(sid) == event.room_name

    def _participant_connection_aborted(self, event: WebhookEvent) -> None:
        assert event.participant_sid not in self.joined | self.left | self.aborted
        self.aborted.add(event.participant_sid)

    def _track_published(self, event: WebhookEvent) -> None:
        assert event.track_sid not in self.tracks
        assert event.participant_sid in self.present, "published by somebody who is not there"
        self.tracks[event.track_sid] = event.participant_sid

    def _track_unpublished(self, event: WebhookEvent) -> None:
        assert self.tracks.pop(event.track_sid) == event.participant_sid

    def _egress_started(self, event: WebhookEvent) -> None:
        assert event.egress_id not in self.recordings
        self.recordings[event.egress_id] = event.type

    def _egress_updated(self, event: WebhookEvent) -> None:
        assert self.recordings[event.egress_id] in ("egress_started", "egress_updated")
        self.recordings[event.egress_id] = event.type

    def _egress_ended(self, event: WebhookEvent) -> None:
        if not event.egress_id:
            assert event.message.egress_info.status == EgressStatus.EGRESS_FAILED, "it could not even begin"
            return
        assert self.recordings[event.egress_id] in ("egress_started", "egress_updated")
        self.recordings[event.egress_id] = event.type

    def _ingress_started(self, event: WebhookEvent) -> None:
        assert event.ingress_id not in self.publishing
        self.publishing.add(event.ingress_id)

    def _ingress_ended(self, event: WebhookEvent) -> None:
        self.publishing.discard(event.ingress_id)
