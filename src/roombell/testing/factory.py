"""Events for tests: single ones, and rooms whose events fit together, at times that the test decides.

::

    factory = EventFactory()
    room = factory.room("standup")
    room.room_started()
    factory.clock.advance(2)
    joined = room.participant_joined("alice")

Bodies are written as LiveKit's server writes them, without protobuf. Two factories with equal arguments make equal
events; within one factory every event has an id of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from roombell.events import WebhookEvent, parse
from roombell.signing import KeyRing
from roombell.testing.payloads import CREATED_AT, Json, resource_id, sample

DEV_KEYS: Final = {"devkey": "secret"}
"""The key that ``livekit-server --dev`` has."""

CONTENT_TYPE: Final = "application/webhook+json"
_NOTHING: Final[Mapping[str, object]] = {}


class ManualClock:
    """A clock that stands still until it is told to go on. Called, it gives unix seconds, as ``time.time`` does."""

    def __init__(self, now_s: float = CREATED_AT) -> None:
        self.now_s = float(now_s)

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Moves it on; back, where ``seconds`` is negative."""
        self.now_s += seconds


class SignedWebhook(msgspec.Struct, frozen=True):
    """A request as LiveKit sends it: what to POST, and with which headers."""

    body: bytes
    headers: dict[str, str]

    @property
    def authorization(self) -> str:
        """The token."""
        return self.headers["Authorization"]


class EventFactory:
    """Makes events.

    :param clock: gives their times; a factory that is given none has one of its own, at ``factory.clock``.
    :param salt: other salts make other ids.
    """

    def __init__(self, *, clock: ManualClock | None = None, salt: str = "") -> None:
        self.clock = clock if clock is not None else ManualClock()
        self._salt = salt
        self._count = 0

    def event(
        self,
        event_type: str,
        *,
        room: str = "demo",
        identity: str = "alice",
        changes: Mapping[str, object] = _NOTHING,
    ) -> WebhookEvent:
        """One event, at the clock's time.

        :param event_type: one of ``roombell.events.EVENT_TYPES``.
        :param room: the room's name.
        :param identity: whose event it is.
        :param changes: what is different in its JSON, at any depth, as ``{"participant": {"kind": "AGENT"}}``; None
            takes a field out, as LiveKit leaves defaults out.
        :raises UsageError: there is no such event type.
        """
        body = msgspec.json.decode(
            sample(event_type, room=room, identity=identity, id=self.id("EV_"), created_at=int(self.clock())), type=Json
        )
        return parse(msgspec.json.encode(_changed(body, changes)))

    def room(self, name: str = "demo", *, sid: str | None = None) -> RoomStory:
        """A room whose events fit together. Another one of the same name has another sid, unless ``sid`` says it."""
        return RoomStory(self, name, sid if sid is not None else self.id("RM_"))

    def call(
        self, room: str = "demo", *, people: Iterable[str] = ("alice", "bob"), recorded: bool = True
    ) -> list[WebhookEvent]:
        """A whole call, in the order in which LiveKit tells it: the room starts, everybody joins and speaks, it is
        recorded, everybody leaves, the room ends. The clock is at its end afterwards.
        """
        story, everybody = self.room(room), tuple(people)
        events = [story.room_started()]
        for identity in everybody:
            self.clock.advance(2)
            events += [story.participant_joined(identity), story.track_published(identity)]
        if recorded:
            self.clock.advance(2)
            events += [story.egress_started(), story.egress_updated()]
            self.clock.advance(60)
            events.append(story.egress_ended())
        for identity in everybody:
            self.clock.advance(1)
            events += [story.track_unpublished(identity), story.participant_left(identity)]
        self.clock.advance(20)
        return [*events, story.room_finished()]

    def signed(
        self, event: WebhookEvent | bytes, *, keys: Mapping[str, str] = DEV_KEYS, now: float | None = None
    ) -> SignedWebhook:
        """The request that carries ``event``.

        :param keys: the first one signs.
        :param now: unix seconds; the clock's time where it is not given.
        """
        body = event if isinstance(event, bytes) else event.raw
        api_key = next(iter(keys), "")
        authorization = KeyRing(keys).sign(body, api_key=api_key, now=self.clock() if now is None else now)
        return SignedWebhook(body, {"Authorization": authorization, "Content-Type": CONTENT_TYPE})

    def id(self, prefix: str) -> str:
        """An id of LiveKit's form that this factory did not give before."""
        self._count += 1
        return resource_id(prefix, f"{self._salt}/{self._count}")


class RoomStory:
    """A room's events. Each method makes one, at the clock's time, and remembers what later ones need: the sid that a
    participant joined with, when the room was made. Nothing is checked: a story may be as wrong as the real ones.
    """

    def __init__(self, factory: EventFactory, name: str, sid: str) -> None:
        self.factory, self.name, self.sid = factory, name, sid
        self.created_at = int(factory.clock())
        self.metadata = ""
        """The room's, told where LiveKit tells the whole room."""
        self.sids: dict[str, str] = {}
        """The sid of each identity's newest session."""
        self._joined_at: dict[str, int] = {}
        self._egress_id = factory.id("EG_")
        self._recorded: dict[str, str] = {}
        self._ingress_began: dict[str, str] = {}

    # The room ------------------------------------------------------------------------------------------------

    def room_started(self) -> WebhookEvent:
        """The room was made, or made anew under its sid."""
        return self._event("room_started", {"room": self._room()})

    def room_finished(self, *, reason: str | None = "ROOM_END_IDLE_TIMEOUT") -> WebhookEvent:
        """The room ended."""
        return self._event("room_finished", {"room": self._room(), "roomEndReason": reason})

    # Participants --------------------------------------------------------------------------------------------

    def participant_joined(self, identity: str, *, sid: str | None = None, kind: str = "STANDARD") -> WebhookEvent:
        """They are there, under a new sid unless it is given."""
        self.sids[identity] = sid if sid is not None else self.factory.id("PA_")
        self._joined_at.setdefault(self.sids[identity], int(self.factory.clock()))
        return self._about("participant_joined", identity, None, {"kind": None if kind == "STANDARD" else kind})

    def participant_left(
        self, identity: str, *, sid: str | None = None, reason: str | None = "CLIENT_INITIATED"
    ) -> WebhookEvent:
        """Their newest session is over, or the one with ``sid``."""
        return self._about("participant_left", identity, sid, {"disconnectReason": reason})

    def participant_connection_aborted(
        self, identity: str, *, sid: str | None = None, reason: str | None = "CONNECTION_TIMEOUT"
    ) -> WebhookEvent:
        """Their connection never came up, LiveKit says. Of the newest session, if there was one."""
        return self._about("participant_connection_aborted", identity, sid, {"disconnectReason": reason})

    def track_published(self, identity: str, *, sid: str | None = None, source: str = "MICROPHONE") -> WebhookEvent:
        """They publish a track."""
        return self._about_track("track_published", identity, sid, source)

    def track_unpublished(self, identity: str, *, sid: str | None = None, source: str = "MICROPHONE") -> WebhookEvent:
        """The track from that source is gone."""
        return self._about_track("track_unpublished", identity, sid, source)

    # Recordings ----------------------------------------------------------------------------------------------

    def egress_started(self, *, egress_id: str | None = None) -> WebhookEvent:
        """A recording was asked for. Its status is missing, since EGRESS_STARTING is the default (egress#862)."""
        return self._about_egress("egress_started", egress_id, {})

    def egress_updated(
        self, *, egress_id: str | None = None, status: str = "EGRESS_ACTIVE", started_at: float | None = None
    ) -> WebhookEvent:
        """The recording is active, or ending."""
        began = self._began(egress_id, started_at, self.factory.clock())
        return self._about_egress("egress_updated", egress_id, {"status": status, "startedAt": began})

    def egress_ended(
        self,
        *,
        egress_id: str | None = None,
        status: str = "EGRESS_COMPLETE",
        started_at: float | None = None,
        error: str | None = None,
    ) -> WebhookEvent:
        """The recording is over. One that failed has no result."""
        began = self._began(egress_id, started_at, self.factory.clock() - 60)
        ended = ns(self.factory.clock())
        told: Json = {"status": status, "error": error, "startedAt": began, "endedAt": ended}
        if status == "EGRESS_COMPLETE":
            file = self._file() | {"startedAt": began, "endedAt": ended, "duration": str(int(ended) - int(began))}
            told |= {"file": file, "fileResults": [file]}
        else:
            told |= {"fileResults": None, "file": None, "details": None}
        return self._about_egress("egress_ended", egress_id, told)

    # Ingresses and jobs --------------------------------------------------------------------------------------

    def ingress_started(self, identity: str = "camera") -> WebhookEvent:
        """Media comes in."""
        self._ingress_began[identity] = ns(self.factory.clock())
        return self._about_ingress("ingress_started", identity)

    def ingress_ended(self, identity: str = "camera") -> WebhookEvent:
        """No more media comes in."""
        return self._about_ingress("ingress_ended", identity)

    def agent_job(self, event_type: str) -> WebhookEvent:
        """One of the three events of an agent's job."""
        return self._event(event_type, {"job": {"room": self._room()}})

    # ---------------------------------------------------------------------------------------------------------

    def _event(self, event_type: str, changes: Json, identity: str = "alice") -> WebhookEvent:
        return self.factory.event(event_type, room=self.name, identity=identity, changes=changes)

    def _began(self, egress_id: str | None, given: float | None, default: float) -> str:
        """When a recording began: as given, as told before, or by ``default``."""
        key = egress_id or self._egress_id
        began = self._recorded.setdefault(key, ns(default if given is None else given))
        return began if given is None else ns(given)

    def _file(self) -> Json:
        path = f"recordings/{self.name}.mp4"
        location = f"https://calls.s3.eu-west-1.amazonaws.com/{path}"
        return {"filename": path, "location": location, "size": "6194109"}

    def _room(self) -> Json:
        created: Json = {"creationTime": str(self.created_at), "creationTimeMs": str(self.created_at * 1000 + 287)}
        return created | {"sid": self.sid, "numParticipants": None, "metadata": self.metadata or None}

    def _sid(self, identity: str, sid: str | None) -> str:
        return sid if sid is not None else self.sids.setdefault(identity, self.factory.id("PA_"))

    def _about(self, event_type: str, identity: str, sid: str | None, told: Json) -> WebhookEvent:
        sid = self._sid(identity, sid)
        joined_at = self._joined_at.setdefault(sid, int(self.factory.clock()))
        who: Json = {"sid": sid, "joinedAt": str(joined_at), "joinedAtMs": str(joined_at * 1000 + 512)}
        changes: Json = {"room": self._room(), "participant": who | told}
        return self._event(event_type, changes, identity)

    def _about_track(self, event_type: str, identity: str, sid: str | None, source: str) -> WebhookEvent:
        sid = self._sid(identity, sid)
        track: Json = {"sid": resource_id("TR_", f"{sid}/{source}"), "source": source}
        if source in {"CAMERA", "SCREEN_SHARE"}:
            track |= {"type": "VIDEO", "name": source.lower(), "mimeType": "video/VP8"}
        changes: Json = {"room": {"sid": self.sid}, "participant": {"sid": sid}, "track": track}
        return self._event(event_type, changes, identity)

    def _about_egress(self, event_type: str, egress_id: str | None, told: Json) -> WebhookEvent:
        ids: Json = {"egressId": self._egress_id if egress_id is None else egress_id, "roomId": self.sid}
        return self._event(event_type, {"room": {"sid": self.sid}, "egressInfo": ids | told})

    def _about_ingress(self, event_type: str, identity: str) -> WebhookEvent:
        began = self._ingress_began.get(identity, ns(self.factory.clock()))
        return self._event(event_type, {"ingressInfo": {"state": {"roomId": self.sid, "startedAt": began}}}, identity)


def ns(unix_s: float) -> str:
    """A time as LiveKit writes nanoseconds."""
    return str(int(unix_s) * 1_000_000_000 + 605_577_585)


def _changed(body: Json, changes: Mapping[str, object]) -> Json:
    changed = dict(body)
    for name, value in changes.items():
        before = changed.get(name)
        if value is None:
            changed.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(before, dict):
            changed[name] = _changed(before, value)
        else:
            changed[name] = value
    return changed
