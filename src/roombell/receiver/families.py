"""Events by family, so that what an event is about is there under one name, with a type.

A handler gets one of these whatever it is annotated with; an event of a family that this version does not know stays
a plain ``WebhookEvent``. Each property decodes the body anew (about 10 us), and raises ``EventError`` where a field is
not what LiveKit's schema says. A part that the event does not carry is made of what it does tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from roombell.events import EventFamily, WebhookEvent

if TYPE_CHECKING:
    from roombell.receiver.views import EventView, Ingress, Job, Participant, Recording, Room, RoomEndReason, Track


class FamilyEvent(WebhookEvent, frozen=True, gc=False):
    """An event whose parts are at hand."""

    @property
    def view(self) -> EventView:
        """All parts, decoded once."""
        from roombell.receiver.views import view  # late: most of what it loads is not needed to verify

        return view(self)

    @property
    def room(self) -> Room:
        """The room; for a recording of a web page, an empty one."""
        from roombell.receiver.views import Room

        return self.view.room or Room(sid=self.room_sid, name=self.room_name)


class RoomEvent(FamilyEvent, frozen=True, gc=False):
    """``room_started``, ``room_finished``."""

    @property
    def end_reason(self) -> RoomEndReason:
        """Why the room ended, where the server tells it."""
        return self.view.end_reason


class ParticipantEvent(FamilyEvent, frozen=True, gc=False):
    """``participant_joined``, ``participant_left``, ``participant_connection_aborted``."""

    @property
    def participant(self) -> Participant:
        """Whose session it is."""
        from roombell.receiver.views import Participant

        return self.view.participant or Participant(sid=self.participant_sid, identity=self.participant_identity)


class TrackEvent(ParticipantEvent, frozen=True, gc=False):
    """``track_published``, ``track_unpublished``."""

    @property
    def track(self) -> Track:
        """The track."""
        from roombell.receiver.views import Track

        return self.view.track or Track(sid=self.track_sid)


class EgressEvent(FamilyEvent, frozen=True, gc=False):
    """``egress_started``, ``egress_updated``, ``egress_ended``."""

    @property
    def recording(self) -> Recording:
        """The egress, with its results in one form."""
        from roombell.receiver.views import Recording

        return self.view.recording or Recording(egress_id=self.egress_id)


class IngressEvent(FamilyEvent, frozen=True, gc=False):
    """``ingress_started``, ``ingress_ended``."""

    @property
    def ingress(self) -> Ingress:
        """The ingress."""
        from roombell.receiver.views import Ingress

        return self.view.ingress or Ingress(ingress_id=self.ingress_id)


class JobEvent(FamilyEvent, frozen=True, gc=False):
    """``agent_job_pending``, ``agent_job_started``, ``agent_job_ended``."""

    @property
    def job(self) -> Job:
        """The agent's job."""
        from roombell.receiver.views import Job

        return self.view.job or Job(job_id=self.job_id)


_CLASSES: Final[dict[EventFamily, type[FamilyEvent]]] = {
    EventFamily.ROOM: RoomEvent,
    EventFamily.PARTICIPANT: ParticipantEvent,
    EventFamily.TRACK: TrackEvent,
    EventFamily.EGRESS: EgressEvent,
    EventFamily.INGRESS: IngressEvent,
    EventFamily.JOB: JobEvent,
}


def of_family(event: WebhookEvent) -> WebhookEvent:
    """The same event, as one of its family; equal to ``event``."""
    family = _CLASSES.get(event.family)
    if family is None or isinstance(event, family):
        return event
    return family(
        raw=event.raw,
        type=event.type,
        id=event.id,
        created_at=event.created_at,
        ordering_key=event.ordering_key,
        room_name=event.room_name,
        room_sid=event.room_sid,
        participant_identity=event.participant_identity,
        participant_sid=event.participant_sid,
        track_sid=event.track_sid,
        egress_id=event.egress_id,
        ingress_id=event.ingress_id,
        job_id=event.job_id,
    )
