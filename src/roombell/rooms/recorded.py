"""What a recording finds in its room."""

from __future__ import annotations

from collections.abc import Iterator

from livekit.protocol import models

from roombell.rooms.lifecycle import TrackState
from roombell.rooms.outputs import time_words
from roombell.rooms.recording import Egress, is_audio_only
from roombell.rooms.world import Participant, Track, World


def tracks_of(world: World, recording: Egress) -> Iterator[tuple[Participant, Track]]:
    """Those of its tracks that are published, and whose they are."""
    room = world.rooms.get(recording.info.room_name)
    for participant in room.participants.values() if room else ():
        for track in participant.tracks.values():
            if track.info.sid in recording.tracks and track.state == TrackState.PUBLISHED:
                yield participant, track


def is_publishing(world: World, recording: Egress) -> bool:
    """Whether the participant that it records has a track."""
    room = world.rooms.get(recording.info.room_name)
    participant = room.participants.get(recording.identity) if room else None
    return participant is not None and participant.info.is_publisher


def words_of(world: World, recording: Egress) -> dict[str, str]:
    """What the words in a file's name mean here."""
    info = recording.info
    words = {"room_name": info.room_name, "room_id": info.room_id, "egress_id": info.egress_id}
    words |= {"publisher_identity": recording.identity} | time_words(world.now_ms)
    for participant, track in tracks_of(world, recording):
        words["track_id"] = track.info.sid
        words["track_type"] = models.TrackType.Name(track.info.type).lower()
        words["track_source"] = models.TrackSource.Name(track.info.source).lower()
        words["publisher_identity"] = participant.info.identity
    return words


def extension_of(world: World, recording: Egress) -> str:
    """What a file's name ends with that says no type."""
    if recording.info.WhichOneof("request") == "track":
        is_video = any(track.info.type == models.VIDEO for _, track in tracks_of(world, recording))
        return ".webm" if is_video else ".ogg"
    return ".ogg" if is_audio_only(recording.info) else ".mp4"
