"""Ingresses: every status that LiveKit's ingress has, with its participant, its tracks and its events, and no media.

Nobody can push to an ingress here: ``publish`` says that somebody does. One that pulls (URL_INPUT) begins by itself.
An order in its address or its name is followed as those of recordings are (``orders``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from livekit.protocol import ingress, models, rtc
from livekit.protocol.ingress import IngressInfo, IngressInput, IngressState

from roombell.rooms.lifecycle import INGRESS, IngressMove
from roombell.rooms.orders import Order, OrderKind, order_in
from roombell.rooms.participants import Joining, Participants
from roombell.rooms.refusals import Code, Refused, no_ingress
from roombell.rooms.results import NS_PER_MS
from roombell.rooms.tracks import Tracks
from roombell.rooms.world import Participant, Watcher, World

PUBLISHER_RIGHTS: Final = models.ParticipantPermission(can_publish=True, can_publish_data=True)
BUSY: Final = (IngressState.ENDPOINT_BUFFERING, IngressState.ENDPOINT_PUBLISHING)


@dataclass(slots=True)
class Ingress:
    """An ingress, and who it is in its room while it publishes."""

    info: IngressInfo
    order: Order | None
    participant_sid: str = ""


class Ingresses(Watcher):
    """The life of ingresses. An ingress is named by its id."""

    def __init__(self, world: World, participants: Participants, tracks: Tracks) -> None:
        self._world = world
        self._participants = participants
        self._tracks = tracks
        self._all: dict[str, Ingress] = {}

    def create(self, request: ingress.CreateIngressRequest) -> IngressInfo:
        """A new ingress, with the address and the key to push to.

        :raises Refused: it names no participant, no address to pull from, or there are too many.
        """
        if not request.participant_identity:
            raise _invalid("no participant identity")
        if request.input_type == IngressInput.URL_INPUT and not request.url:
            raise _invalid("no URL")
        if len(self._all) >= self._world.settings.ingresses_max:
            raise Refused(Code.RESOURCE_EXHAUSTED, f"there are {len(self._all)} ingresses already")
        info = self._info(request)
        one = Ingress(info, order_in((request.url, request.name)))
        self._all[info.ingress_id] = one
        if info.input_type == IngressInput.URL_INPUT and info.enabled:
            self._connect(one)
        return _copy(one)

    def update(self, request: ingress.UpdateIngressRequest) -> IngressInfo:
        """Changes what the request names. One that is publishing ends first, as with LiveKit.

        :raises Refused: there is none, or it is good for once.
        """
        one = self._get(request.ingress_id)
        if not one.info.reusable:
            raise Refused(Code.INVALID_ARGUMENT, "ingress is not reusable and cannot be modified")
        if one.info.state.status in BUSY:
            self._end(one, IngressMove.END)
        for name in ("name", "room_name", "participant_identity", "participant_name", "participant_metadata"):
            setattr(one.info, name, getattr(request, name) or getattr(one.info, name))
        for name in ("enabled", "enable_transcoding", "bypass_transcoding"):
            if request.HasField(name):
                setattr(one.info, name, getattr(request, name))
        if request.HasField("audio"):
            one.info.audio.CopyFrom(request.audio)
        if request.HasField("video"):
            one.info.video.CopyFrom(request.video)
        return _copy(one)

    def delete(self, ingress_id: str) -> IngressInfo:
        """It is gone; one that is publishing ends first.

        :raises Refused: there is none.
        """
        one = self._get(ingress_id)
        if one.info.state.status in BUSY:
            self._end(one, _over(one))
        self._world.timers.cancel(("ingress", ingress_id))
        del self._all[ingress_id]
        return _copy(one)

    def listed(self, room_name: str = "", ingress_id: str = "") -> tuple[IngressInfo, ...]:
        """Ingresses in the order of their making: of a room, of an id; by default all."""
        return tuple(
            _copy(one)
            for one in self._all.values()
            if room_name in ("", one.info.room_name) and ingress_id in ("", one.info.ingress_id)
        )

    def publish(self, ingress_id: str) -> IngressInfo:
        """Somebody pushes to it: BUFFERING, and after ``ingress_start_ms`` PUBLISHING with ``ingress_started``.

        :raises Refused: there is none, it is disabled, busy, or was good for once.
        """
        one = self._get(ingress_id)
        if not one.info.enabled:
            raise Refused(Code.FAILED_PRECONDITION, "ingress is disabled")
        if not INGRESS.allows(one.info.state.status, IngressMove.CONNECT):
            raise Refused(Code.FAILED_PRECONDITION, "ingress is already in use")
        self._connect(one)
        return _copy(one)

    def end(self, ingress_id: str) -> IngressInfo:
        """Its source is gone: INACTIVE, or COMPLETE where it is good for once; ``ingress_ended``.

        :raises Refused: there is none, or it is not busy.
        """
        one = self._busy(ingress_id)
        self._end(one, _over(one))
        return _copy(one)

    def fail(self, ingress_id: str, error: str = "internal error") -> IngressInfo:
        """It breaks: ERROR, ``ingress_ended``.

        :raises Refused: there is none, or it is not busy.
        """
        one = self._busy(ingress_id)
        self._end(one, IngressMove.FAIL, error)
        return _copy(one)

    def due(self, ingress_id: str) -> None:
        """Its next step by itself."""
        one = self._all[ingress_id]
        if one.info.state.status == IngressState.ENDPOINT_BUFFERING:
            self._start(one)
        elif one.order is not None and one.info.state.status == IngressState.ENDPOINT_PUBLISHING:
            self._follow(one, one.order)

    def participant_gone(self, participant: Participant) -> None:
        """An ingress ends with its participant."""
        if participant.info.kind != models.ParticipantInfo.INGRESS:
            return
        for one in self._all.values():
            if one.participant_sid == participant.info.sid:
                one.participant_sid = ""
                self._end(one, _over(one))

    # Steps

    def _connect(self, one: Ingress) -> None:
        state, world = one.info.state, self._world
        state.status = INGRESS.after(state.status, IngressMove.CONNECT)
        state.resource_id = world.new_id("RS_")
        state.error, state.ended_at, state.room_id = "", 0, ""
        del state.tracks[:]
        state.started_at = state.updated_at = world.now_ms * NS_PER_MS
        world.timers.set(("ingress", one.info.ingress_id), world.now_ms + world.settings.ingress_start_ms)

    def _start(self, one: Ingress) -> None:
        if one.order is not None and one.order.after_ms is None and one.order.kind != OrderKind.STUCK:
            self._follow(one, one.order)
            return
        try:
            self._enter(one)
        except Refused as refused:
            self._end(one, IngressMove.FAIL, refused.message)
            return
        state, world = one.info.state, self._world
        state.status = INGRESS.after(state.status, IngressMove.PUBLISH)
        state.updated_at = world.now_ms * NS_PER_MS
        world.happened(world.builder.ingress_started(one.info))
        if one.order is not None and one.order.after_ms is not None:
            world.timers.set(("ingress", one.info.ingress_id), world.now_ms + one.order.after_ms)

    def _follow(self, one: Ingress, order: Order) -> None:
        match order.kind:
            case OrderKind.FAIL | OrderKind.ABORT:
                self._end(one, IngressMove.FAIL, "failed as ordered")
            case OrderKind.LIMIT | OrderKind.EMPTY:
                self._end(one, _over(one))
            case OrderKind.STUCK:
                pass

    def _enter(self, one: Ingress) -> None:
        """Its participant joins and publishes."""
        info = one.info
        joining = Joining(
            room=info.room_name,
            identity=info.participant_identity,
            name=info.participant_name,
            metadata=info.participant_metadata,
            permission=PUBLISHER_RIGHTS,
            kind=models.ParticipantInfo.INGRESS,
            listens=False,
        )
        joined = self._participants.join(joining)
        one.participant_sid, info.state.room_id = joined.participant.sid, joined.room.sid
        self._participants.welcome(one.participant_sid)
        self._participants.connect(one.participant_sid)
        for request in _media_of(info):
            track = self._tracks.add(one.participant_sid, request)
            self._tracks.media(one.participant_sid, track.sid)
            info.state.tracks.append(track)

    def _end(self, one: Ingress, move: IngressMove, error: str = "") -> None:
        """No more media: ``ingress_ended``."""
        state, world = one.info.state, self._world
        state.status = INGRESS.after(state.status, move)
        state.error = error
        state.ended_at = state.updated_at = world.now_ms * NS_PER_MS
        world.timers.cancel(("ingress", one.info.ingress_id))
        sid, one.participant_sid = one.participant_sid, ""
        self._participants.leave(sid)
        world.happened(world.builder.ingress_ended(one.info))

    def _get(self, ingress_id: str) -> Ingress:
        if ingress_id not in self._all:
            raise no_ingress()
        return self._all[ingress_id]

    def _busy(self, ingress_id: str) -> Ingress:
        one = self._get(ingress_id)
        if one.info.state.status not in BUSY:
            raise Refused(Code.FAILED_PRECONDITION, "ingress is not in use")
        return one

    def _info(self, request: ingress.CreateIngressRequest) -> IngressInfo:
        world, settings = self._world, self._world.settings
        pulls = request.input_type == IngressInput.URL_INPUT
        address = settings.whip_url if request.input_type == IngressInput.WHIP_INPUT else settings.ingress_url
        transcodes = request.input_type != IngressInput.WHIP_INPUT
        return IngressInfo(
            ingress_id=world.new_id("IN_"),
            name=request.name,
            stream_key="" if pulls else world.new_id(""),
            url=request.url if pulls else address,
            input_type=request.input_type,
            bypass_transcoding=request.bypass_transcoding,
            enable_transcoding=request.enable_transcoding if request.HasField("enable_transcoding") else transcodes,
            audio=request.audio if request.HasField("audio") else None,
            video=request.video if request.HasField("video") else None,
            room_name=request.room_name,
            participant_identity=request.participant_identity,
            participant_name=request.participant_name,
            participant_metadata=request.participant_metadata,
            reusable=not pulls,
            state=IngressState(),
            enabled=request.enabled if request.HasField("enabled") else True,
        )


def _over(one: Ingress) -> IngressMove:
    return IngressMove.END if one.info.reusable else IngressMove.COMPLETE


def _copy(one: Ingress) -> IngressInfo:
    told = IngressInfo()
    told.CopyFrom(one.info)
    return told


def _media_of(info: IngressInfo) -> tuple[rtc.AddTrackRequest, rtc.AddTrackRequest]:
    audio = rtc.AddTrackRequest(
        name=info.audio.name or "audio", type=models.AUDIO, source=info.audio.source or models.MICROPHONE
    )
    video = rtc.AddTrackRequest(
        name=info.video.name or "video", type=models.VIDEO, source=info.video.source or models.CAMERA
    )
    return audio, video


def _invalid(why: str) -> Refused:
    return Refused(Code.INVALID_ARGUMENT, f"invalid ingress: {why}")
