"""Makes events as LiveKit's server makes them, for producers: a room server, a test, a trigger.

Which fields each event carries: ``pkg/telemetry/events.go`` of livekit/livekit. Track events are the exception: there
the participant's name is set too, as LiveKit's documentation has it, though its server leaves it out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from roombell.errors import UsageError
from roombell.events import names, protobuf
from roombell.events.event import WebhookEvent
from roombell.events.parse import parse

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from livekit.protocol import agent, egress, ingress, models, webhook

    M = TypeVar("M", bound=Message)

ID_PREFIX: Final = "EV_"
ID_ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
"""The 57 characters of LiveKit's ids (``utils/guid`` of livekit/protocol): none is taken for another."""
ID_CHARS: Final = 12

_IDS: Final = len(ID_ALPHABET) ** ID_CHARS
_DRAW_BYTES: Final = 9
_FAIR: Final = 256**_DRAW_BYTES - 256**_DRAW_BYTES % _IDS
"""A draw from here on would make the first ids likelier than the rest; 1 in 270 is."""
_DRAWS_MAX: Final = 64


class EventBuilder:
    """Makes events with fresh ids, stamped with the time. What the caller passes is copied, never changed.

    All methods raise ``UsageError`` for an argument that is not the official message, and when ``livekit-protocol``
    is not installed.

    :param now: the clock: unix seconds.
    :param token_bytes: so many random bytes, as ``secrets.token_bytes`` gives them.
    """

    __slots__ = ("_now", "_token_bytes")

    def __init__(self, now: Callable[[], float], token_bytes: Callable[[int], bytes]) -> None:
        self._now = now
        self._token_bytes = token_bytes

    def room_started(self, room: models.Room) -> WebhookEvent:
        """The room was made."""
        event = self._event(names.ROOM_STARTED)
        event.room.CopyFrom(_given(room, event.room))
        return self._parsed(event)

    def room_finished(self, room: models.Room, *, reason: models.RoomEndReason | None = None) -> WebhookEvent:
        """The room ended. A ``reason`` that the installed ``livekit-protocol`` cannot express is left out."""
        event = self._event(names.ROOM_FINISHED)
        event.room.CopyFrom(_given(room, event.room))
        if reason is not None and "room_end_reason" in event.DESCRIPTOR.fields_by_name:
            event.room_end_reason = reason
        return self._parsed(event)

    def participant_joined(self, room: models.Room, participant: models.ParticipantInfo) -> WebhookEvent:
        """The participant's connection is up: its state becomes ACTIVE."""
        return self._about_participant(names.PARTICIPANT_JOINED, room, participant)

    def participant_left(self, room: models.Room, participant: models.ParticipantInfo) -> WebhookEvent:
        """The participant was active and is gone: its state becomes DISCONNECTED."""
        return self._about_participant(names.PARTICIPANT_LEFT, room, participant)

    def participant_connection_aborted(self, room: models.Room, participant: models.ParticipantInfo) -> WebhookEvent:
        """The participant is gone before it was active: its state becomes DISCONNECTED."""
        return self._about_participant(names.PARTICIPANT_CONNECTION_ABORTED, room, participant)

    def track_published(
        self, room: models.Room, participant: models.ParticipantInfo, track: models.TrackInfo
    ) -> WebhookEvent:
        """Media of the track arrives. Of room and participant only sid, name and identity are told."""
        return self._about_track(names.TRACK_PUBLISHED, room, participant, track)

    def track_unpublished(
        self, room: models.Room, participant: models.ParticipantInfo, track: models.TrackInfo
    ) -> WebhookEvent:
        """The track is gone. Of room and participant only sid, name and identity are told."""
        return self._about_track(names.TRACK_UNPUBLISHED, room, participant, track)

    def egress_started(self, egress_info: egress.EgressInfo) -> WebhookEvent:
        """The recording was asked for. Its credentials and stream keys are hidden, as LiveKit hides them."""
        return self._about_egress(names.EGRESS_STARTED, egress_info)

    def egress_updated(self, egress_info: egress.EgressInfo) -> WebhookEvent:
        """The recording became active, or is ending, or one of its streams changed. Secrets as above."""
        return self._about_egress(names.EGRESS_UPDATED, egress_info)

    def egress_ended(self, egress_info: egress.EgressInfo) -> WebhookEvent:
        """The recording is over, well or not. Secrets as above."""
        return self._about_egress(names.EGRESS_ENDED, egress_info)

    def ingress_started(self, ingress_info: ingress.IngressInfo) -> WebhookEvent:
        """Media comes in. Its address and stream key are told, as LiveKit tells them."""
        return self._about_ingress(names.INGRESS_STARTED, ingress_info)

    def ingress_ended(self, ingress_info: ingress.IngressInfo) -> WebhookEvent:
        """No more media comes in. Its address and stream key are told, as LiveKit tells them."""
        return self._about_ingress(names.INGRESS_ENDED, ingress_info)

    def agent_job_pending(self, job: agent.Job) -> WebhookEvent:
        """An agent's job waits for a worker."""
        return self._about_job(names.AGENT_JOB_PENDING, job)

    def agent_job_started(self, job: agent.Job) -> WebhookEvent:
        """A worker took the job."""
        return self._about_job(names.AGENT_JOB_STARTED, job)

    def agent_job_ended(self, job: agent.Job) -> WebhookEvent:
        """The job is over, well or not."""
        return self._about_job(names.AGENT_JOB_ENDED, job)

    def from_message(self, message: webhook.WebhookEvent) -> WebhookEvent:
        """The event in an official message, all its fields as they are; only a missing id or time is filled in.

        :raises EventError: the message names no event type.
        """
        event = protobuf.message_class()()
        event.CopyFrom(_given(message, event))
        return self._parsed(event)

    def new_id(self) -> str:
        """``EV_`` and 12 characters, each id as likely as any other.

        :raises UsageError: ``token_bytes`` gives something else than so many random bytes.
        """
        return draw_id(ID_PREFIX, self._token_bytes)

    def _event(self, event_type: str) -> webhook.WebhookEvent:
        return protobuf.message_class()(event=event_type)

    def _about_participant(
        self, event_type: str, room: models.Room, participant: models.ParticipantInfo
    ) -> WebhookEvent:
        event = self._event(event_type)
        event.room.CopyFrom(_given(room, event.room))
        event.participant.CopyFrom(_given(participant, event.participant))
        states = type(event.participant)
        joined = event_type == names.PARTICIPANT_JOINED
        event.participant.state = states.ACTIVE if joined else states.DISCONNECTED
        return self._parsed(event)

    def _about_track(
        self, event_type: str, room: models.Room, participant: models.ParticipantInfo, track: models.TrackInfo
    ) -> WebhookEvent:
        event = self._event(event_type)
        where, who = _given(room, event.room), _given(participant, event.participant)
        event.room.sid, event.room.name = where.sid, where.name
        event.participant.sid, event.participant.identity, event.participant.name = who.sid, who.identity, who.name
        event.track.CopyFrom(_given(track, event.track))
        return self._parsed(event)

    def _about_egress(self, event_type: str, egress_info: egress.EgressInfo) -> WebhookEvent:
        event = self._event(event_type)
        event.egress_info.CopyFrom(_given(egress_info, event.egress_info))
        from roombell.events.redact import redact

        redact(event.egress_info)
        if egress_info.room_id or egress_info.room_name:  # the recording of a web page has no room
            event.room.sid, event.room.name = egress_info.room_id, egress_info.room_name
        return self._parsed(event)

    def _about_ingress(self, event_type: str, ingress_info: ingress.IngressInfo) -> WebhookEvent:
        event = self._event(event_type)
        event.ingress_info.CopyFrom(_given(ingress_info, event.ingress_info))
        event.room.name = ingress_info.room_name
        return self._parsed(event)

    def _about_job(self, event_type: str, job: agent.Job) -> WebhookEvent:
        event = self._event(event_type)
        event.job.CopyFrom(_given(job, event.job))
        return self._parsed(event)

    def _parsed(self, event: webhook.WebhookEvent) -> WebhookEvent:
        event.id = event.id or self.new_id()
        event.created_at = event.created_at or int(self._now())
        return parse(protobuf.encode(event))


def draw_id(prefix: str, token_bytes: Callable[[int], bytes]) -> str:
    """``prefix`` and 12 characters, each id as likely as any other.

    :raises UsageError: ``token_bytes`` gives something else than so many random bytes.
    """
    for _ in range(_DRAWS_MAX):
        draw = token_bytes(_DRAW_BYTES)
        if len(draw) != _DRAW_BYTES:
            break
        number = int.from_bytes(draw, "big")
        if number < _FAIR:
            return prefix + _characters(number % _IDS)
    raise UsageError(f"`token_bytes` must return as many random bytes as it is asked for ({_DRAW_BYTES}).")


def _given(message: M, slot: M) -> M:
    """``message``, if it is of the same type as the place it goes to."""
    if type(message) is not type(slot):
        wanted = slot.DESCRIPTOR.full_name.replace("livekit.", "livekit.protocol's ")
        raise UsageError(f"{wanted} message expected, {type(message).__name__} given.")
    return message


def _characters(number: int) -> str:
    characters: list[str] = []
    for _ in range(ID_CHARS):
        number, index = divmod(number, len(ID_ALPHABET))
        characters.append(ID_ALPHABET[index])
    return "".join(characters)
