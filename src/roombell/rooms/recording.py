"""A recording as the machine keeps it, and what it reads in the request that asked for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from livekit.protocol import egress, models
from livekit.protocol.egress import EgressInfo

from roombell.events.redact import redact
from roombell.rooms.effects import ExtraWebhook
from roombell.rooms.lifecycle import EGRESS_OVER
from roombell.rooms.orders import Order, order_in
from roombell.rooms.outputs import Request, Wanted, wanted_by
from roombell.rooms.refusals import Code, Refused

RECORDER_RIGHTS: Final = models.ParticipantPermission(can_subscribe=True, hidden=True, recorder=True)


@dataclass(slots=True)
class Egress:
    """A recording. ``info`` is kept without secrets; what the request wants is kept apart."""

    info: EgressInfo
    wanted: Wanted
    webhooks: tuple[ExtraWebhook, ...]
    order: Order | None
    tracks: tuple[str, ...]
    """The tracks it records, where it records tracks."""
    identity: str
    """Whom it records, where it records one participant."""
    recorder_sid: str = ""
    waits: bool = False
    """Until the participant publishes whom it records."""

    @property
    def is_over(self) -> bool:
        return self.info.status in EGRESS_OVER

    @property
    def records_room(self) -> bool:
        """It records whoever is there, not certain tracks or one participant."""
        return bool(self.info.room_name) and not self.tracks and not self.identity

    @property
    def has_live_output(self) -> bool:
        """Something is still written."""
        streams = self.info.stream_results
        return self.wanted.count > len(self.wanted.streams) + bool(self.wanted.websocket_url) or any(
            one.status == egress.StreamInfo.ACTIVE for one in streams
        )

    def copy(self) -> EgressInfo:
        told = EgressInfo()
        told.CopyFrom(self.info)
        return told


def recording_for(request: Request, info: EgressInfo) -> Egress:
    """The recording that the request asks for, its secrets hidden.

    :param info: its id, room and times.
    :raises Refused: a field that it needs is missing.
    """
    wanted = wanted_by(request)
    if not wanted.count:
        raise missing("output")
    _set_request(info, request)
    redact(info)
    return Egress(
        info=info,
        wanted=wanted,
        webhooks=tuple(ExtraWebhook(one.url, one.signing_key) for one in request.webhooks),
        order=order_in((*wanted.texts, *_other_texts(request))),
        tracks=_tracks(request),
        identity=_identity(request),
    )


def room_name_of(request: Request) -> str:
    """The room that must be open; empty for the recording of a web page.

    :raises Refused: it needs one and names none.
    """
    if isinstance(request, egress.WebEgressRequest):
        if not request.url:
            raise missing("url")
        return ""
    if isinstance(request, egress.StartEgressRequest) and request.WhichOneof("source") == "web":
        return ""
    if not request.room_name:
        raise missing("room_name")
    return request.room_name


def missing(field: str) -> Refused:
    """LiveKit's words for a request that lacks something."""
    return Refused(Code.INVALID_ARGUMENT, f"request has missing or invalid field: {field}")


def _identity(request: Request) -> str:
    if isinstance(request, egress.ParticipantEgressRequest):
        if not request.identity:
            raise missing("identity")
        return request.identity
    if isinstance(request, egress.StartEgressRequest) and request.WhichOneof("source") == "media":
        return request.media.participant_video.identity
    return ""


def _tracks(request: Request) -> tuple[str, ...]:
    tracks: tuple[str, ...]
    if isinstance(request, egress.TrackEgressRequest):
        tracks = (request.track_id,)
    elif isinstance(request, egress.TrackCompositeEgressRequest):
        tracks = (request.audio_track_id, request.video_track_id)
    elif isinstance(request, egress.StartEgressRequest) and request.WhichOneof("source") == "media":
        media = request.media
        return tuple(filter(None, (media.video_track_id, *(one.track_id for one in media.audio.routes))))
    else:
        return ()
    if not any(tracks):
        raise missing("track_id")
    return tuple(filter(None, tracks))


def _other_texts(request: Request) -> tuple[str, ...]:
    match request:
        case egress.RoomCompositeEgressRequest():
            return request.layout, request.custom_base_url
        case egress.WebEgressRequest():
            return (request.url,)
        case egress.StartEgressRequest():
            return request.template.layout, request.template.custom_base_url, request.web.url
        case _:
            return ()


def _set_request(info: EgressInfo, request: Request) -> None:
    info.source_type = egress.EGRESS_SOURCE_TYPE_WEB
    match request:
        case egress.RoomCompositeEgressRequest():
            info.room_composite.CopyFrom(request)
        case egress.WebEgressRequest():
            info.web.CopyFrom(request)
        case egress.StartEgressRequest():
            info.egress.CopyFrom(request)
        case egress.ParticipantEgressRequest():
            info.participant.CopyFrom(request)
            info.source_type = egress.EGRESS_SOURCE_TYPE_SDK
        case egress.TrackCompositeEgressRequest():
            info.track_composite.CopyFrom(request)
            info.source_type = egress.EGRESS_SOURCE_TYPE_SDK
        case egress.TrackEgressRequest():
            info.track.CopyFrom(request)
            info.source_type = egress.EGRESS_SOURCE_TYPE_SDK


def is_audio_only(info: EgressInfo) -> bool:
    """Whether the request asks for no picture."""
    match info.WhichOneof("request"):
        case "room_composite":
            return info.room_composite.audio_only
        case "web":
            return info.web.audio_only
        case "track_composite":
            return not info.track_composite.video_track_id
        case "egress":
            return info.egress.template.audio_only or info.egress.web.audio_only
        case _:
            return False
