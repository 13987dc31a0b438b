"""The bounds and times of a room server, at LiveKit's defaults."""

from __future__ import annotations

import msgspec


class RoomSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What LiveKit's configuration file sets for rooms, and how long a recording takes to start and to end."""

    empty_timeout_s: int = 300
    """How long a room waits for its first participant."""
    departure_timeout_s: int = 20
    """How long it stays after its last participant left."""
    join_timeout_ms: int = 60_000
    """How long a participant may take until its media connection is up."""
    max_participants: int = 0
    """For rooms that say nothing else; 0: no limit."""
    auto_create: bool = True
    """Whether a join makes the room."""
    remote_unmute: bool = False
    """Whether the server may let a muted track sound again."""
    enabled_codecs: tuple[str, ...] = ("audio/opus", "audio/red", "video/VP8", "video/H264")
    name_chars_max: int = 256
    metadata_bytes_max: int = 64_000
    attributes_bytes_max: int = 64_000
    data_bytes_max: int = 64_000
    """What SendData may carry."""
    rooms_max: int = 20_000
    participants_per_room_max: int = 10_000
    tracks_per_participant_max: int = 100
    egress_start_ms: int = 500
    """From a recording's request until it runs."""
    egress_end_ms: int = 500
    """From a recording's stop until its files are written."""
    egress_kept_ms: int = 24 * 3_600_000
    """How long a recording that ended is listed."""
    egresses_max: int = 20_000
    """Recordings that are remembered, the ended ones included; beyond it the oldest ended one is forgotten."""
    ingresses_max: int = 10_000
    ingress_url: str = "rtmp://127.0.0.1:1935/x"
    """The address that RTMP ingresses are given. Nothing listens there."""
    whip_url: str = "http://127.0.0.1:8080/w"
    """The same for WHIP."""
    ingress_start_ms: int = 500
    """From an ingress' first byte until it publishes."""
    dispatches_per_room_max: int = 1_000
