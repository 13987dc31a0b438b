"""What the machine knows: rooms, participants, tracks, and the time. The parts of the machine work on it together."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from livekit.protocol import models
from livekit.protocol import room as room_messages
from livekit.protocol.agent_dispatch import AgentDispatch, RoomAgentDispatch

from roombell.events import EventBuilder, WebhookEvent
from roombell.events.builder import draw_id
from roombell.rooms.effects import Effect, ExtraWebhook, Happened, Notice, ParticipantsChanged, RoomChanged, Tell
from roombell.rooms.lifecycle import PARTICIPANT, ParticipantMove, TrackState
from roombell.rooms.refusals import no_participant, no_room
from roombell.rooms.settings import RoomSettings

DEPENDENT_KINDS: Final = (models.ParticipantInfo.AGENT, models.ParticipantInfo.EGRESS)


@dataclass(slots=True)
class Track:
    """A track of a participant that is in its room."""

    info: models.TrackInfo
    cid: str
    """What the client calls it."""
    state: TrackState = TrackState.ADDED


@dataclass(slots=True)
class Participant:
    """Somebody in a room, or on the way in."""

    info: models.ParticipantInfo
    """Kept current, without its tracks: ``World.told`` puts them in."""
    room: Room
    listens: bool
    """Whether a session wants its notices."""
    tracks: dict[str, Track] = field(default_factory=dict)

    @property
    def is_dependent(self) -> bool:
        """It does not keep a room alive: a recorder, an agent."""
        permission = self.info.permission
        return self.info.kind in DEPENDENT_KINDS or permission.recorder or permission.agent

    @property
    def is_recorder(self) -> bool:
        return self.info.kind == models.ParticipantInfo.EGRESS or self.info.permission.recorder


@dataclass(slots=True)
class Room:
    """A room that is open."""

    info: models.Room
    egress: room_messages.RoomEgress
    """Recordings that begin by themselves."""
    agents: Sequence[RoomAgentDispatch] = ()
    """Agents that are dispatched by themselves."""
    participants: dict[str, Participant] = field(default_factory=dict)
    """By identity, in the order of joining."""
    dispatches: dict[str, AgentDispatch] = field(default_factory=dict)


class Watcher:
    """A part of the machine that must know what happens in rooms: recordings, ingresses. Does nothing by itself."""

    def room_made(self, room: Room) -> None:
        """``room_started`` is told."""

    def track_published(self, participant: Participant, track: Track) -> None:
        """``track_published`` is told."""

    def track_gone(self, participant: Participant, track: Track) -> None:
        """``track_unpublished`` is told."""

    def participant_gone(self, participant: Participant) -> None:
        """``participant_left`` is told, and it is out of the room."""

    def room_ending(self, room: Room) -> None:
        """All participants are out; ``room_finished`` follows."""


class World:
    """The machine's memory and its outlets. Knows no rules.

    :param token_bytes: so many random bytes, as ``secrets.token_bytes`` gives them.
    """

    def __init__(self, settings: RoomSettings, token_bytes: Callable[[int], bytes]) -> None:
        self.settings = settings
        self.token_bytes = token_bytes
        self.now_ms = 0
        self.rooms: dict[str, Room] = {}
        """By name."""
        self.participants: dict[str, Participant] = {}
        """By sid."""
        self.builder = EventBuilder(now=lambda: self.now_ms / 1000, token_bytes=token_bytes)
        self.effects: list[Effect] = []
        self.timers = Timers()
        self.watchers: list[Watcher] = []

    def new_id(self, prefix: str) -> str:
        return draw_id(prefix, self.token_bytes)

    def room(self, name: str) -> Room:
        """:raises Refused: there is none."""
        if name not in self.rooms:
            raise no_room()
        return self.rooms[name]

    def participant(self, sid: str) -> Participant:
        """:raises Refused: nobody in a room has this sid."""
        if sid not in self.participants:
            raise no_participant()
        return self.participants[sid]

    def participant_in(self, room_name: str, identity: str) -> Participant:
        """:raises Refused: no such room, or nobody of that identity in it."""
        room = self.room(room_name)
        if identity not in room.participants:
            raise no_participant()
        return room.participants[identity]

    def happened(self, event: WebhookEvent, webhooks: tuple[ExtraWebhook, ...] = ()) -> None:
        self.effects.append(Happened(event, webhooks))

    def tell(self, participant: Participant, notice: Notice) -> None:
        if participant.listens:
            self.effects.append(Tell(participant.info.sid, notice))

    def tell_others(self, participant: Participant) -> None:
        """The others see its state, unless it is hidden."""
        listeners = [other for other in participant.room.participants.values() if other.listens]
        if participant.info.permission.hidden or not listeners:
            return
        notice = ParticipantsChanged((told(participant),))
        for other in listeners:
            if other is not participant:
                self.tell(other, notice)

    def tell_all(self, participant: Participant) -> None:
        """The others and itself see its state."""
        self.tell_others(participant)
        if participant.listens:
            self.tell(participant, ParticipantsChanged((told(participant),)))

    def tell_room(self, room: Room) -> None:
        """Everybody in it sees the room's state."""
        listeners = [one for one in room.participants.values() if one.listens]
        if listeners:
            notice = RoomChanged(copy_of_room(room))
            for listener in listeners:
                self.tell(listener, notice)

    def count(self, room: Room) -> None:
        """Counts anew who is in it, as LiveKit counts: recorders are none. Tells everybody of a change."""
        info, everybody = room.info, room.participants.values()
        counted = (
            sum(not one.is_recorder for one in everybody),
            sum(one.info.is_publisher for one in everybody),
            any(one.is_recorder for one in everybody),
        )
        if counted != (info.num_participants, info.num_publishers, info.active_recording):
            info.num_participants, info.num_publishers, info.active_recording = counted
            self.tell_room(room)

    def move(self, participant: Participant, move: ParticipantMove) -> None:
        """:raises IllegalMove: the life cycle does not have it."""
        participant.info.state = PARTICIPANT.after(participant.info.state, move)
        participant.info.version += 1


def told(participant: Participant) -> models.ParticipantInfo:
    """A participant as others see it: a copy, with the tracks that are published."""
    info = models.ParticipantInfo()
    info.CopyFrom(participant.info)
    info.tracks.extend(track.info for track in participant.tracks.values() if track.state == TrackState.PUBLISHED)
    return info


def copy_of_room(room: Room) -> models.Room:
    info = models.Room()
    info.CopyFrom(room.info)
    return info


def copy_of_track(track: Track) -> models.TrackInfo:
    info = models.TrackInfo()
    info.CopyFrom(track.info)
    return info


TimerKey = tuple[str, str]
"""What kind of timer, and whose."""


class Timers:
    """What is due when. One timer for each key; setting it again moves it."""

    __slots__ = ("_due_ms", "_heap", "_number")

    def __init__(self) -> None:
        self._due_ms: dict[TimerKey, tuple[int, int]] = {}
        self._heap: list[tuple[int, int, TimerKey]] = []
        self._number = 0

    def set(self, key: TimerKey, due_ms: int) -> None:
        self._number += 1
        self._due_ms[key] = (due_ms, self._number)
        heapq.heappush(self._heap, (due_ms, self._number, key))

    def cancel(self, key: TimerKey) -> None:
        """Nothing happens where there is none."""
        self._due_ms.pop(key, None)

    @property
    def next_due_ms(self) -> int | None:
        self._drop_dead()
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now_ms: int) -> tuple[TimerKey, int] | None:
        """The next one that is due, with its time; those of one time in the order in which they were set."""
        self._drop_dead()
        if not self._heap or self._heap[0][0] > now_ms:
            return None
        due_ms, _, key = heapq.heappop(self._heap)
        del self._due_ms[key]
        return key, due_ms

    def _drop_dead(self) -> None:
        while self._heap and self._due_ms.get(self._heap[0][2]) != self._heap[0][:2]:
            heapq.heappop(self._heap)
