"""From the wire to views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from roombell.events import WebhookEvent
from roombell.events.parse import INT64_MAX
from roombell.receiver.views.enums import (
    DisconnectReason,
    EgressStatus,
    IngressInput,
    IngressStatus,
    JobStatus,
    JobType,
    ParticipantKind,
    ParticipantState,
    RoomEndReason,
    StreamStatus,
    TrackSource,
    TrackType,
)
from roombell.receiver.views.recording import Output, OutputKind, Recording, RecordingSource
from roombell.receiver.views.records import Ingress, Job, Participant, Room, Track, View
from roombell.receiver.views.wire import (
    Int,
    WireEgress,
    WireIngress,
    WireIngressState,
    WireJob,
    WireJobState,
    WireOutput,
    WireParticipant,
    WirePermission,
    WireRoom,
    WireStreams,
    WireTrack,
    WireTrackVersion,
    decode,
    integer,
)

OUTPUTS_MAX: Final = 1000
"""How many results of one recording are read. LiveKit's have a handful."""

_MS: Final = 1000

W = TypeVar("W")
V = TypeVar("V")


class EventView(View, frozen=True):
    """All that an event tells. A part that it does not carry is None."""

    event: WebhookEvent
    room: Room | None = None
    participant: Participant | None = None
    track: Track | None = None
    recording: Recording | None = None
    ingress: Ingress | None = None
    job: Job | None = None
    end_reason: RoomEndReason = RoomEndReason.ROOM_END_UNKNOWN
    """Of ``room_finished``."""


def view(event: WebhookEvent) -> EventView:
    """What ``event`` tells, decoded anew at each call (about 10 us); ``livekit-protocol`` is not needed.

    :raises EventError: a field that ``parse`` does not read is not what LiveKit's schema says.
    """
    wire = decode(event.raw)
    return EventView(
        event=event,
        room=_told(room_of, wire.room),
        participant=_told(participant_of, wire.participant),
        track=_told(track_of, wire.track),
        recording=_told(recording_of, wire.egress_info),
        ingress=_told(ingress_of, wire.ingress_info),
        job=_told(job_of, wire.job),
        end_reason=RoomEndReason.read(wire.room_end_reason),
    )


def _told(read: Callable[[W], V], wire: W | None) -> V | None:
    return None if wire is None else read(wire)


def _ms(told_ms: Int, told_s: Int) -> int:
    """A time in milliseconds, also of a server that tells seconds alone. It stays within 64 bits, to be stored."""
    return integer(told_ms) or max(-INT64_MAX, min(integer(told_s) * _MS, INT64_MAX))


def room_of(wire: WireRoom) -> Room:
    return Room(
        sid=wire.sid or "",
        name=wire.name or "",
        metadata=wire.metadata or "",
        created_ms=_ms(wire.creation_time_ms, wire.creation_time),
        empty_timeout_s=integer(wire.empty_timeout),
        departure_timeout_s=integer(wire.departure_timeout),
        participants_max=integer(wire.max_participants),
        participants_told=integer(wire.num_participants),
        publishers_told=integer(wire.num_publishers),
        recording_active=bool(wire.active_recording),
        turn_password=wire.turn_password or "",
    )


def participant_of(wire: WireParticipant) -> Participant:
    permission = wire.permission or WirePermission()
    return Participant(
        sid=wire.sid or "",
        identity=wire.identity or "",
        name=wire.name or "",
        kind=ParticipantKind.read(wire.kind),
        state=ParticipantState.read(wire.state),
        metadata=wire.metadata or "",
        attributes=wire.attributes or {},
        joined_ms=_ms(wire.joined_at_ms, wire.joined_at),
        region=wire.region or "",
        publisher=bool(wire.is_publisher),
        hidden=bool(permission.hidden),
        recorder=bool(permission.recorder),
        disconnect_reason=DisconnectReason.read(wire.disconnect_reason),
        tracks=tuple(track_of(track) for track in wire.tracks or ()),
    )


def track_of(wire: WireTrack) -> Track:
    return Track(
        sid=wire.sid or "",
        type=TrackType.read(wire.type),
        source=TrackSource.read(wire.source),
        name=wire.name or "",
        mime_type=wire.mime_type or "",
        muted=bool(wire.muted),
        width=integer(wire.width),
        height=integer(wire.height),
        simulcast=bool(wire.simulcast),
        stream=wire.stream or "",
        version_us=integer((wire.version or WireTrackVersion()).unix_micro),
    )


def recording_of(wire: WireEgress) -> Recording:
    warnings: list[str] = []
    ended_ns = integer(wire.ended_at)
    outputs = tuple(_output(kind, one, ended_ns, warnings) for kind, one in _results(wire)[:OUTPUTS_MAX])
    return Recording(
        egress_id=wire.egress_id or "",
        room_name=wire.room_name or "",
        room_sid=wire.room_id or "",
        source=_source(wire),
        status=EgressStatus.read(wire.status),
        started_ns=integer(wire.started_at),
        ended_ns=ended_ns,
        updated_ns=integer(wire.updated_at),
        outputs=outputs,
        error=wire.error or "",
        error_code=integer(wire.error_code),
        details=wire.details or "",
        manifest_location=wire.manifest_location or "",
        backup_used=bool(wire.backup_storage_used),
        retries_count=integer(wire.retry_count),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _source(wire: WireEgress) -> RecordingSource:
    kinds = (kind for kind in RecordingSource if kind is not RecordingSource.UNKNOWN)
    return next((kind for kind in kinds if getattr(wire, kind) is not None), RecordingSource.UNKNOWN)


def _results(wire: WireEgress) -> list[tuple[OutputKind, WireOutput]]:
    """The results with what each is. The deprecated ``result`` repeats the first of a list, and counts without one."""
    stream = (wire.stream or WireStreams()).info or []
    told = (
        (OutputKind.FILE, wire.file_results or (wire.file and [wire.file])),
        (OutputKind.STREAM, wire.stream_results or stream),
        (OutputKind.SEGMENTS, wire.segment_results or (wire.segments and [wire.segments])),
        (OutputKind.IMAGES, wire.image_results),
    )
    return [(kind, one) for kind, every in told for one in every or ()]


def _output(kind: OutputKind, wire: WireOutput, egress_ended_ns: int, warnings: list[str]) -> Output:
    started_ns, ended_ns, duration_ns = integer(wire.started_at), integer(wire.ended_at), integer(wire.duration)
    if started_ns and egress_ended_ns and not ended_ns:
        ended_ns = egress_ended_ns
        warnings.append("no_end")
    if duration_ns < 0:
        duration_ns = max(0, ended_ns - started_ns) if started_ns and ended_ns else 0
        warnings.append("negative_duration")
    return Output(
        kind=kind,
        name=wire.filename or wire.playlist_name or wire.filename_prefix or wire.url or "",
        location=wire.location or wire.playlist_location or "",
        live_location=wire.live_playlist_location or "",
        started_ns=started_ns,
        ended_ns=ended_ns,
        duration_ns=duration_ns,
        size_bytes=integer(wire.size),
        count=integer(wire.segment_count) or integer(wire.image_count),
        stream_status=StreamStatus.read(wire.status),
        retries_count=integer(wire.retries),
        error=wire.error or "",
    )


def ingress_of(wire: WireIngress) -> Ingress:
    state = wire.state or WireIngressState()
    return Ingress(
        ingress_id=wire.ingress_id or "",
        name=wire.name or "",
        input=IngressInput.read(wire.input_type),
        status=IngressStatus.read(state.status),
        room_name=wire.room_name or "",
        room_sid=state.room_id or "",
        participant_identity=wire.participant_identity or "",
        participant_name=wire.participant_name or "",
        reusable=bool(wire.reusable),
        resource_id=state.resource_id or "",
        started_ns=integer(state.started_at),
        ended_ns=integer(state.ended_at),
        updated_ns=integer(state.updated_at),
        error=state.error or "",
        url=wire.url or "",
        stream_key=wire.stream_key or "",
    )


def job_of(wire: WireJob) -> Job:
    state = wire.state or WireJobState()
    return Job(
        job_id=wire.id or "",
        dispatch_id=wire.dispatch_id or "",
        agent_name=wire.agent_name or "",
        type=JobType.read(wire.type),
        status=JobStatus.read(state.status),
        participant_identity=state.participant_identity or "",
        worker_id=state.worker_id or "",
        metadata=wire.metadata or "",
        error=state.error or "",
        started_ns=integer(state.started_at),
        ended_ns=integer(state.ended_at),
        updated_ns=integer(state.updated_at),
        room=room_of(wire.room or WireRoom()),
        participant=participant_of(wire.participant or WireParticipant()),
    )


def without_secrets(ingress: Ingress) -> Ingress:
    """``ingress`` without its stream key and address, for whoever stores it."""
    return msgspec.structs.replace(ingress, stream_key="", url="")
