"""Machines and hubs for tests: seeded ids, a clock that stands still, and short words for what followed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from livekit.protocol import models, rtc

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
