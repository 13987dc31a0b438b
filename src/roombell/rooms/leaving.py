"""How somebody gets out of a room, whoever decides it."""

from __future__ import annotations

from typing import Final

from livekit.protocol import models, rtc

from roombell.rooms.effects import Left
from roombell.rooms.lifecycle import ParticipantMove
from roombell.rooms.tracks import Tracks
from roombell.rooms.world import Participant, Room, World, told

COMES_AGAIN: Final = (models.STATE_MISMATCH, models.MIGRATION)
"""Reasons for which a client is asked to connect anew."""


class Leaving:
    """Tracks first, then the participant, then the room's clock."""

    def __init__(self, world: World, tracks: Tracks) -> None:
        self._world = world
        self._tracks = tracks

    def close(self, participant: Participant, reason: models.DisconnectReason) -> None:
        """Out it is: its tracks' events, its own event, what the others see, and its session's last notice."""
        world, room = self._world, participant.room
        was_active = participant.info.state == models.ParticipantInfo.ACTIVE
        for track in tuple(participant.tracks.values()):
            self._tracks.end(participant, track)
        world.move(participant, ParticipantMove.CLOSE)
        participant.info.disconnect_reason = reason
        del room.participants[participant.info.identity]
        del world.participants[participant.info.sid]
        world.timers.cancel(("join", participant.info.sid))
        world.count(room)
        builder = world.builder
        event = builder.participant_left if was_active else builder.participant_connection_aborted
        world.happened(event(room.info, told(participant)))
        world.tell_others(participant)
        action = rtc.LeaveRequest.RECONNECT if reason in COMES_AGAIN else rtc.LeaveRequest.DISCONNECT
        world.tell(participant, Left(reason, action))
        for watcher in world.watchers:
            watcher.participant_gone(participant)
        if not participant.is_dependent:
            self._start_clock(room)

    def _start_clock(self, room: Room) -> None:
        """Nobody keeps it alive any more: it stays for its departure timeout."""
        if all(one.is_dependent for one in room.participants.values()):
            self._world.timers.set(("room", room.info.name), self._world.now_ms + room.info.departure_timeout * 1000)
