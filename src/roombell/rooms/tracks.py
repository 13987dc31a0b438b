"""Tracks: announced, published at their first packet, muted, removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from livekit.protocol import models, rtc

from roombell.rooms.effects import TrackAccepted, TrackMuted, TrackRemoved
from roombell.rooms.lifecycle import TRACK, TrackMove, TrackState
from roombell.rooms.refusals import Code, Refused, no_track, not_allowed
from roombell.rooms.world import Participant, Track, World, copy_of_track

DEFAULT_MIME: Final = {models.AUDIO: "audio/opus", models.VIDEO: "video/VP8", models.DATA: ""}

REQUEST_BYTES_MAX: Final = 16_000
"""What a track may say of itself: everybody in the room is told it, again and again."""


class Tracks:
    """The life of tracks. A participant is named by its sid."""

    def __init__(self, world: World) -> None:
        self._world = world

    def add(self, participant_sid: str, request: rtc.AddTrackRequest) -> models.TrackInfo:
        """Announces a track: its participant gets ``TrackAccepted``, nobody else is told before media comes.

        Asking again with the ``cid`` of a track that has no media yet gives the same track.

        :raises Refused: the participant is gone, may not publish this, or has too many tracks; or the request is none
            that can be told to others.
        """
        participant = self._world.participant(participant_sid)
        _check(request)
        if not may_publish(participant.info.permission, request.source):
            raise not_allowed()
        track = self._awaited(participant, request.cid)
        if track is None:
            if len(participant.tracks) >= self._world.settings.tracks_per_participant_max:
                raise Refused(Code.RESOURCE_EXHAUSTED, "the participant has too many tracks")
            track = Track(self._info(request), request.cid)
            participant.tracks[track.info.sid] = track
        self._world.tell(participant, TrackAccepted(request.cid, copy_of_track(track)))
        return copy_of_track(track)

    def media(self, participant_sid: str, track_sid: str, *, mime_type: str = "", mid: str = "") -> bool:
        """Its first packet came: ``track_published``. False if it had come before: nothing happens.

        :param mime_type: what the media is, where that was negotiated.
        :raises Refused: the participant or the track is gone; or the participant is not ACTIVE so far, as its
            ``participant_joined`` comes first.
        """
        world, participant = self._world, self._world.participant(participant_sid)
        track = _of(participant, track_sid)
        if participant.info.state != models.ParticipantInfo.ACTIVE:
            raise Refused(Code.FAILED_PRECONDITION, "participant is not active")
        if track.state == TrackState.PUBLISHED:
            return False
        track.state = TRACK.after(track.state, TrackMove.MEDIA)
        _describe(track.info, mime_type, mid)
        self._publish(participant, track)
        world.tell_all(participant)
        return True

    def mute(self, participant_sid: str, track_sid: str, *, muted: bool) -> None:
        """The participant mutes its track, or lets it sound again.

        :raises Refused: the participant or the track is gone.
        """
        participant = self._world.participant(participant_sid)
        self._mute(participant, _of(participant, track_sid), muted=muted)

    def mute_by_server(self, room: str, identity: str, track_sid: str, *, muted: bool) -> models.TrackInfo:
        """The server mutes a track. The participant is told to.

        :raises Refused: it is not there; or to let it sound again where the settings do not allow that.
        """
        participant = self._world.participant_in(room, identity)
        track = _of(participant, track_sid)
        if track.info.muted and not muted and not self._world.settings.remote_unmute:
            raise Refused(Code.FAILED_PRECONDITION, "remote unmute not enabled")
        if self._mute(participant, track, muted=muted):
            self._world.tell(participant, TrackMuted(track_sid, muted))
        return copy_of_track(track)

    def remove(self, participant_sid: str, track_sid: str) -> None:
        """It ends: ``track_unpublished``, if it was published. Nothing happens if it is gone already.

        :raises Refused: the participant is gone.
        """
        participant = self._world.participant(participant_sid)
        track = participant.tracks.get(track_sid)
        if track is not None:
            self.remove_all(participant, (track,))

    def remove_all(self, participant: Participant, tracks: Iterable[Track]) -> None:
        """Ends these tracks of a participant that stays."""
        removed = tuple(tracks)
        for track in removed:
            self.end(participant, track)
            self._world.tell(participant, TrackRemoved(track.info.sid))
        if removed:
            participant.info.version += 1
            self._world.count(participant.room)
            self._world.tell_all(participant)

    def end(self, participant: Participant, track: Track) -> None:
        """The event alone. Whoever calls tells the others."""
        world, was_published = self._world, track.state == TrackState.PUBLISHED
        track.state = TRACK.after(track.state, TrackMove.REMOVE)
        del participant.tracks[track.info.sid]
        participant.info.is_publisher = any(one.state == TrackState.PUBLISHED for one in participant.tracks.values())
        if was_published:
            world.happened(world.builder.track_unpublished(participant.room.info, participant.info, track.info))
            for watcher in world.watchers:
                watcher.track_gone(participant, track)

    def carry_over(self, participant: Participant, tracks: Iterable[Track], states: Mapping[str, TrackState]) -> None:
        """Publishes anew what a participant brought from another room: the tracks, in the states they had there."""
        for before in tracks:
            track = Track(copy_of_track(before), before.cid, states[before.info.sid])
            participant.tracks[track.info.sid] = track
            if track.state == TrackState.PUBLISHED:
                self._publish(participant, track)
        self._world.tell_others(participant)

    def _publish(self, participant: Participant, track: Track) -> None:
        world, room = self._world, participant.room
        track.info.version.unix_micro = world.now_ms * 1000
        participant.info.is_publisher = True
        participant.info.version += 1
        world.count(room)
        world.happened(world.builder.track_published(room.info, participant.info, track.info))
        for watcher in world.watchers:
            watcher.track_published(participant, track)

    def _mute(self, participant: Participant, track: Track, *, muted: bool) -> bool:
        """Whether that is a change."""
        if track.info.muted == muted:
            return False
        track.info.muted = muted
        track.info.version.unix_micro = self._world.now_ms * 1000
        participant.info.version += 1
        if track.state == TrackState.PUBLISHED:
            self._world.tell_all(participant)
        return True

    def _awaited(self, participant: Participant, cid: str) -> Track | None:
        tracks = participant.tracks.values()
        return next((one for one in tracks if cid and one.cid == cid and one.state == TrackState.ADDED), None)

    def _info(self, request: rtc.AddTrackRequest) -> models.TrackInfo:
        info = models.TrackInfo(
            sid=self._world.new_id(f"TR_{_TYPE_LETTER[request.type]}{_SOURCE_LETTER.get(request.source, '')}"),
            type=request.type,
            name=request.name,
            muted=request.muted,
            width=request.width,
            height=request.height,
            disable_dtx=request.disable_dtx,
            source=request.source,
            layers=request.layers,
            stereo=request.stereo,
            disable_red=request.disable_red,
            encryption=request.encryption,
            stream=request.stream,
            audio_features=request.audio_features,
            backup_codec_policy=request.backup_codec_policy,
            simulcast=bool(request.simulcast_codecs) or len(request.layers) > 1,
            mime_type=DEFAULT_MIME[request.type],
        )
        info.version.unix_micro = self._world.now_ms * 1000
        info.codecs.add(mime_type=info.mime_type, cid=request.cid)
        return info


_TYPE_LETTER: Final = {models.AUDIO: "A", models.VIDEO: "V", models.DATA: ""}
_SOURCE_LETTER: Final = {
    models.CAMERA: "C",
    models.MICROPHONE: "M",
    models.SCREEN_SHARE: "S",
    models.SCREEN_SHARE_AUDIO: "s",
}
"""LiveKit marks what a track is in its sid, as in ``TR_AM...`` (``pkg/rtc/participant.go`` of its server)."""


def may_publish(permission: models.ParticipantPermission, source: models.TrackSource) -> bool:
    """Whether the permission covers a track of this source. No list of sources means all."""
    sources = permission.can_publish_sources
    return permission.can_publish and (not sources or source in sources)


def _check(request: rtc.AddTrackRequest) -> None:
    if request.type not in DEFAULT_MIME:
        raise Refused(Code.INVALID_ARGUMENT, f"there is no track type {request.type}")
    if request.ByteSize() > REQUEST_BYTES_MAX:
        raise Refused(Code.INVALID_ARGUMENT, "track request size exceeds limits")


def _of(participant: Participant, track_sid: str) -> Track:
    if track_sid not in participant.tracks:
        raise no_track()
    return participant.tracks[track_sid]


def _describe(info: models.TrackInfo, mime_type: str, mid: str) -> None:
    if mime_type:
        info.mime_type = mime_type
        info.codecs[0].mime_type = mime_type
    if mid:
        info.mid = mid
        info.codecs[0].mid = mid
