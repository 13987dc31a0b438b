"""Joining, changing and leaving."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from livekit.protocol import models
from livekit.protocol import room as room_messages

from roombell.rooms.effects import DataSent, GrantsChanged, Moved, SubscriptionsChanged, Tell
from roombell.rooms.leaving import Leaving
from roombell.rooms.lifecycle import ParticipantMove
from roombell.rooms.opening import Rooms, addressed, check_bytes, check_chars
from roombell.rooms.refusals import Code, Refused, no_room, not_allowed
from roombell.rooms.tracks import Tracks, may_publish
from roombell.rooms.world import DEPENDENT_KINDS, Participant, Room, World, copy_of_room, told

DEFAULT_RIGHTS = models.ParticipantPermission(can_subscribe=True, can_publish=True, can_publish_data=True)
"""What a token grants that says nothing of rights. Changing one's own metadata must be asked for."""


class Joining(msgspec.Struct, frozen=True, kw_only=True):
    """Who comes in, by its token."""

    room: str
    identity: str
    name: str = ""
    metadata: str = ""
    attributes: Mapping[str, str] = {}
    permission: models.ParticipantPermission = DEFAULT_RIGHTS
    kind: models.ParticipantInfo.Kind = models.ParticipantInfo.STANDARD
    kind_details: tuple[models.ParticipantInfo.KindDetail, ...] = ()
    region: str = ""
    client_protocol: int = 0
    configuration: room_messages.RoomConfiguration | None = None
    """How the room is made, if this join makes it."""
    may_create_room: bool = False
    """The token grants roomCreate: the room is made even where joins make none."""
    listens: bool = True
    """Whether a session wants its notices."""


class Joined(msgspec.Struct, frozen=True):
    """What a join response tells. Copies."""

    room: models.Room
    participant: models.ParticipantInfo
    others: tuple[models.ParticipantInfo, ...]
    """Who is there already, the hidden left out."""


class Participants:
    """The life of participants. After ``join`` and ``move``, a participant is known by its sid."""

    def __init__(self, world: World, rooms: Rooms, tracks: Tracks, leaving: Leaving) -> None:
        self._world = world
        self._rooms = rooms
        self._tracks = tracks
        self._leaving = leaving

    def join(self, joining: Joining) -> Joined:
        """Takes a participant in, in state JOINING; makes the room if need be.

        One of the same identity is put out first, with DUPLICATE_IDENTITY.

        :raises Refused: no room, no place, a name or a size that LiveKit would not take.
        """
        self._check(joining)
        room = self._room_for(joining)
        self._check_place(room, joining)
        before = room.participants.get(joining.identity)
        if before is not None:
            self._leaving.close(before, models.DUPLICATE_IDENTITY)
        participant = self._enter(room, joining)
        return Joined(copy_of_room(room), told(participant), self._others(participant))

    def check(self, joining: Joining) -> None:
        """What can be said of a join before it: not whether there is a place, which may be another's by then.

        :raises Refused: as ``join`` would.
        """
        self._check(joining)
        if joining.room not in self._world.rooms and not self._makes_room(joining):
            raise no_room()

    def welcome(self, sid: str) -> None:
        """It was told that it joined: state JOINED, and the others see it."""
        participant = self._world.participant(sid)
        self._world.move(participant, ParticipantMove.WELCOME)
        self._world.tell_others(participant)

    def connect(self, sid: str) -> None:
        """Its media connection is up: state ACTIVE, ``participant_joined``. The second time nothing happens.

        :raises Refused: it is gone.
        """
        world, participant = self._world, self._world.participant(sid)
        if participant.info.state == models.ParticipantInfo.ACTIVE:
            return
        world.move(participant, ParticipantMove.CONNECT)
        world.timers.cancel(("join", sid))
        world.happened(world.builder.participant_joined(participant.room.info, told(participant)))
        world.tell_all(participant)

    def leave(self, sid: str, reason: models.DisconnectReason = models.CLIENT_INITIATED) -> None:
        """It is gone: its tracks are unpublished, then ``participant_left``, or ``participant_connection_aborted``
        where it never was ACTIVE. Nothing happens if it is out already.
        """
        participant = self._world.participants.get(sid)
        if participant is not None:
            self._leaving.close(participant, reason)

    def remove(self, room_name: str, identity: str) -> None:
        """The server puts it out.

        :raises Refused: it is not there.
        """
        self._leaving.close(self._world.participant_in(room_name, identity), models.PARTICIPANT_REMOVED)

    def get(self, room_name: str, identity: str) -> models.ParticipantInfo:
        """:raises Refused: it is not there."""
        return told(self._world.participant_in(room_name, identity))

    def by_sid(self, sid: str) -> models.ParticipantInfo:
        """:raises Refused: it is gone."""
        return told(self._world.participant(sid))

    def listed(self, room_name: str) -> tuple[models.ParticipantInfo, ...]:
        """Everybody in the room, in the order of joining. A room that is not there has nobody, as with LiveKit."""
        room = self._world.rooms.get(room_name)
        return tuple(told(one) for one in room.participants.values()) if room else ()

    def others(self, sid: str) -> Joined:
        """What a participant that comes back is told.

        :raises Refused: it is gone.
        """
        participant = self._world.participant(sid)
        return Joined(copy_of_room(participant.room), told(participant), self._others(participant))

    def update(self, request: room_messages.UpdateParticipantRequest) -> models.ParticipantInfo:
        """The server changes name, metadata, attributes or permissions; what is empty stays as it is.

        An attribute with an empty value goes. Taking the right to publish unpublishes what it covers.

        :raises Refused: it is not there, or too much of something.
        """
        participant = self._world.participant_in(request.room, request.identity)
        self._check_sizes(request.name, request.metadata, {**participant.info.attributes, **request.attributes})
        self._change(participant, request.name, request.metadata, request.attributes)
        if request.HasField("permission"):
            self._permit(participant, request.permission)
        self._tell_change(participant)
        return told(participant)

    def update_self(self, sid: str, name: str, metadata: str, attributes: Mapping[str, str]) -> None:
        """The participant changes itself.

        :raises Refused: it may not, or too much of something.
        """
        participant = self._world.participant(sid)
        if not participant.info.permission.can_update_metadata:
            raise not_allowed()
        self._check_sizes(name, metadata, {**participant.info.attributes, **attributes})
        self._change(participant, name, metadata, attributes)
        self._tell_change(participant)

    def update_subscriptions(self, request: room_messages.UpdateSubscriptionsRequest) -> None:
        """The server subscribes a participant to tracks, or unsubscribes it.

        :raises Refused: it is not there.
        """
        participant = self._world.participant_in(request.room, request.identity)
        sids = [*request.track_sids, *(sid for one in request.participant_tracks for sid in one.track_sids)]
        self._world.tell(participant, SubscriptionsChanged(tuple(dict.fromkeys(sids)), request.subscribe))

    def send(self, sid: str, packet: models.DataPacket) -> None:
        """Data for one participant, from the server.

        :raises Refused: it is gone.
        """
        self._world.tell(self._world.participant(sid), DataSent(packet))

    def relay(self, sid: str, packet: models.DataPacket) -> None:
        """A participant's data for those that it names; for all others in its room where it names nobody.

        What the packet says of who sends it does not count.

        :raises Refused: it is gone, or may not send.
        """
        sender = self._world.participant(sid)
        if not sender.info.permission.can_publish_data:
            raise not_allowed()
        user = packet.user
        identities = (*packet.destination_identities, *user.destination_identities)
        _sign(packet, sender.info)
        for one in addressed(sender.room, user.destination_sids, identities):
            if one is not sender:
                self._world.tell(one, DataSent(packet))

    def move(self, room_name: str, identity: str, destination: str) -> models.ParticipantInfo:
        """Puts a participant in another room, which is made if need be. Its tracks and its session go with it.

        It leaves with MIGRATION and joins with a new sid, and its tracks are published anew, with their old sids.

        :raises Refused: it is not there, not yet active, or has its destination reached already.
        """
        world, participant = self._world, self._world.participant_in(room_name, identity)
        if room_name == destination:
            raise Refused(Code.INVALID_ARGUMENT, "destination room cannot be the same as source room")
        if participant.info.state != models.ParticipantInfo.ACTIVE:
            raise Refused(Code.FAILED_PRECONDITION, "participant is not active")
        joining = _joining_again(participant, destination)
        self._check_place(self._rooms.ensure(destination), joining)
        tracks = tuple(participant.tracks.values())
        states = {track.info.sid: track.state for track in tracks}
        listens, participant.listens = participant.listens, False
        self._leaving.close(participant, models.MIGRATION)
        arrived = world.participant(self.join(joining).participant.sid)
        self.welcome(arrived.info.sid)
        self.connect(arrived.info.sid)
        self._tracks.carry_over(arrived, tracks, states)
        if listens:
            # By the old sid, under which the session is known until it has read this.
            notice = Moved(copy_of_room(arrived.room), told(arrived), self._others(arrived))
            world.effects.append(Tell(participant.info.sid, notice))
            arrived.listens = True
        return told(arrived)

    def due(self, sid: str) -> None:
        """Its media connection did not come up in time."""
        self.leave(sid, models.JOIN_FAILURE)

    def _check(self, joining: Joining) -> None:
        settings = self._world.settings
        if not joining.room:
            raise Refused(Code.INVALID_ARGUMENT, "no room name")
        if not joining.identity:
            raise Refused(Code.INVALID_ARGUMENT, "identity cannot be empty")
        check_chars("room name", joining.room, settings)
        check_chars("participant identity", joining.identity, settings)
        self._check_sizes(joining.name, joining.metadata, joining.attributes)

    def _check_sizes(self, name: str, metadata: str, attributes: Mapping[str, str]) -> None:
        settings = self._world.settings
        check_chars("name", name, settings)
        check_bytes("metadata", metadata, settings.metadata_bytes_max)
        if sum(len(f"{name}{value}".encode()) for name, value in attributes.items()) > settings.attributes_bytes_max:
            raise Refused(Code.INVALID_ARGUMENT, "attribute size exceeds limits")

    def _room_for(self, joining: Joining) -> Room:
        if joining.room in self._world.rooms:
            return self._world.rooms[joining.room]
        if not self._makes_room(joining):
            raise no_room()
        return self._rooms.ensure(joining.room, _creation(joining))

    def _makes_room(self, joining: Joining) -> bool:
        return self._world.settings.auto_create or joining.may_create_room

    def _check_place(self, room: Room, joining: Joining) -> None:
        """Whoever takes an old session's place needs no new one."""
        others = [one for identity, one in room.participants.items() if identity != joining.identity]
        counted_max, counted = room.info.max_participants, sum(not one.is_dependent for one in others)
        is_full = bool(counted_max) and counted >= counted_max and joining.kind not in DEPENDENT_KINDS
        if is_full or len(others) >= self._world.settings.participants_per_room_max:
            raise Refused(Code.RESOURCE_EXHAUSTED, "room has exceeded its max participants")

    def _enter(self, room: Room, joining: Joining) -> Participant:
        world = self._world
        info = models.ParticipantInfo(
            sid=world.new_id("PA_"),
            identity=joining.identity,
            name=joining.name,
            metadata=joining.metadata,
            attributes=joining.attributes,
            permission=joining.permission,
            kind=joining.kind,
            kind_details=joining.kind_details,
            region=joining.region,
            client_protocol=joining.client_protocol,
            joined_at=world.now_ms // 1000,
            joined_at_ms=world.now_ms,
        )
        participant = Participant(info, room, joining.listens)
        room.participants[joining.identity] = participant
        world.participants[info.sid] = participant
        world.timers.set(("join", info.sid), world.now_ms + world.settings.join_timeout_ms)
        if not participant.is_dependent:
            world.timers.cancel(("room", room.info.name))
        world.count(room)
        return participant

    def _others(self, participant: Participant) -> tuple[models.ParticipantInfo, ...]:
        everybody = participant.room.participants.values()
        return tuple(told(one) for one in everybody if one is not participant and not one.info.permission.hidden)

    def _change(self, participant: Participant, name: str, metadata: str, attributes: Mapping[str, str]) -> None:
        info = participant.info
        info.name = name or info.name
        info.metadata = metadata or info.metadata
        for key, value in attributes.items():
            if value:
                info.attributes[key] = value
            else:
                info.attributes.pop(key, None)
        info.version += 1

    def _permit(self, participant: Participant, permission: models.ParticipantPermission) -> None:
        participant.info.permission.CopyFrom(permission)
        tracks = participant.tracks.values()
        self._tracks.remove_all(participant, [one for one in tracks if not may_publish(permission, one.info.source)])

    def _tell_change(self, participant: Participant) -> None:
        self._world.tell_all(participant)
        self._world.tell(participant, GrantsChanged(told(participant)))


def _sign(packet: models.DataPacket, sender: models.ParticipantInfo) -> None:
    packet.participant_identity, packet.participant_sid = sender.identity, sender.sid
    if packet.HasField("user"):
        packet.user.participant_identity, packet.user.participant_sid = sender.identity, sender.sid


def _creation(joining: Joining) -> room_messages.CreateRoomRequest:
    """The room as the token would have it."""
    wish = joining.configuration or room_messages.RoomConfiguration()
    return room_messages.CreateRoomRequest(
        name=joining.room,
        empty_timeout=wish.empty_timeout,
        departure_timeout=wish.departure_timeout,
        max_participants=wish.max_participants,
        metadata=wish.metadata,
        egress=wish.egress,
        agents=wish.agents,
    )


def _joining_again(participant: Participant, room: str) -> Joining:
    info = participant.info
    return Joining(
        room=room,
        identity=info.identity,
        name=info.name,
        metadata=info.metadata,
        attributes=dict(info.attributes),
        permission=info.permission,
        kind=info.kind,
        kind_details=tuple(info.kind_details),
        region=info.region,
        client_protocol=info.client_protocol,
        listens=False,
    )
