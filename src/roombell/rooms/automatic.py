"""Recordings that a room starts by itself, as its ``RoomEgress`` says: the requests that stand for them."""

from __future__ import annotations

from livekit.protocol import egress

from roombell.rooms.world import Room, Track


def participant_recording(room: Room, identity: str) -> egress.ParticipantEgressRequest:
    wish = room.egress.participant
    request = egress.ParticipantEgressRequest(room_name=room.info.name, identity=identity)
    request.file_outputs.extend(wish.file_outputs)
    request.segment_outputs.extend(wish.segment_outputs)
    return request


def track_recording(room: Room, track: Track) -> egress.TrackEgressRequest:
    wish = room.egress.tracks
    request = egress.TrackEgressRequest(room_name=room.info.name, track_id=track.info.sid)
    request.file.filepath, request.file.disable_manifest = wish.filepath, wish.disable_manifest
    match wish.WhichOneof("output"):
        case "s3":
            request.file.s3.CopyFrom(wish.s3)
        case "gcp":
            request.file.gcp.CopyFrom(wish.gcp)
        case "azure":
            request.file.azure.CopyFrom(wish.azure)
        case "aliOSS":
            request.file.aliOSS.CopyFrom(wish.aliOSS)
        case _:
            pass  # the recorder's own disk
    return request
