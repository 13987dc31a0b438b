"""Rooms: made, listed, changed, finished."""

from __future__ import annotations

from collections.abc import Iterable

from livekit.protocol import models
from livekit.protocol import room as room_messages

from roombell.rooms.effects import DataSent
from roombell.rooms.leaving import Leaving
from roombell.rooms.refusals import Code, Refused
from roombell.rooms.settings import RoomSettings
from roombell.rooms.world import Participant, Room, World, copy_of_room


class Rooms:
    """The life of rooms. A room is named by its name."""

    def __init__(self, world: World, leaving: Leaving) -> None:
        self._world = world
        self._leaving = leaving

    def create(self, request: room_messages.CreateRoomRequest) -> models.Room:
        """The room of that name as it is, or a new one: ``room_started``.

        :raises Refused: no name, something too long, or too many rooms.
        """
        return copy_of_room(self.ensure(request.name, request))

    def ensure(self, name: str, request: room_messages.CreateRoomRequest | None = None) -> Room:
        """The same, for the other parts."""
        world = self._world
        if name in world.rooms:
            return world.rooms[name]
        wish = request or room_messages.CreateRoomRequest()
        self._check(name, wish)
        room = Room(self._info(name, wish), wish.egress, wish.agents)
        world.rooms[name] = room
        world.timers.set(("room", name), world.now_ms + room.info.empty_timeout * 1000)
        world.happened(world.builder.room_started(room.info))
        for watcher in world.watchers:
            watcher.room_made(room)
        return room

    def get(self, name: str) -> models.Room:
        """:raises Refused: there is none."""
        return copy_of_room(self._world.room(name))

    def listed(self, names: Iterable[str] = ()) -> tuple[models.Room, ...]:
        """Those of these names that are open; all, in the order of their making, where no name is given."""
        wanted = tuple(dict.fromkeys(names)) or tuple(self._world.rooms)
        return tuple(copy_of_room(self._world.rooms[name]) for name in wanted if name in self._world.rooms)

    def delete(self, name: str) -> None:
        """Everybody is put out with ROOM_DELETED, then ``room_finished``.

        :raises Refused: there is none.
        """
        self._finish(self._world.room(name), models.ROOM_DELETED, models.ROOM_END_API_DELETE)

    def shut_down(self) -> None:
        """The server stops: every room ends."""
        for room in tuple(self._world.rooms.values()):
            self._finish(room, models.SERVER_SHUTDOWN, models.ROOM_END_SERVER_SHUTDOWN)

    def update_metadata(self, name: str, metadata: str) -> models.Room:
        """:raises Refused: there is none, or it is too much."""
        room = self._world.room(name)
        check_bytes("metadata", metadata, self._world.settings.metadata_bytes_max)
        if room.info.metadata != metadata:
            room.info.metadata = metadata
            room.info.version.unix_micro = self._world.now_ms * 1000
            self._world.tell_room(room)
        return copy_of_room(room)

    def send_data(self, request: room_messages.SendDataRequest) -> None:
        """Data from the server: to everybody in the room, or to those it names by sid or identity.

        :raises Refused: there is no such room, or it is too much.
        """
        room = self._world.room(request.room)
        if len(request.data) > self._world.settings.data_bytes_max:
            raise Refused(Code.INVALID_ARGUMENT, "data size exceeds limits")
        packet = models.DataPacket(kind=request.kind, destination_identities=request.destination_identities)
        packet.user.CopyFrom(
            models.UserPacket(
                payload=request.data,
                destination_sids=request.destination_sids,
                destination_identities=request.destination_identities,
                nonce=request.nonce,
            )
        )
        if request.HasField("topic"):
            packet.user.topic = request.topic
        for one in addressed(room, request.destination_sids, request.destination_identities):
            self._world.tell(one, DataSent(packet))

    def due(self, name: str) -> None:
        """The room's time is over: nobody who keeps it alive came, or came again."""
        room = self._world.rooms.get(name)
        if room is not None and all(one.is_dependent for one in room.participants.values()):
            self._finish(room, models.ROOM_CLOSED, models.ROOM_END_IDLE_TIMEOUT)

    def _finish(self, room: Room, why_left: models.DisconnectReason, why_ended: models.RoomEndReason) -> None:
        world = self._world
        for participant in tuple(room.participants.values()):
            if participant.info.identity in room.participants:
                self._leaving.close(participant, why_left)
        for watcher in world.watchers:
            watcher.room_ending(room)
        world.timers.cancel(("room", room.info.name))
        del world.rooms[room.info.name]
        world.happened(world.builder.room_finished(room.info, reason=why_ended))

    def _check(self, name: str, request: room_messages.CreateRoomRequest) -> None:
        settings = self._world.settings
        if not name:
            raise Refused(Code.INVALID_ARGUMENT, "no room name")
        check_chars("room name", name, settings)
        check_bytes("metadata", request.metadata, settings.metadata_bytes_max)
        if len(self._world.rooms) >= settings.rooms_max:
            raise Refused(Code.RESOURCE_EXHAUSTED, f"there are {settings.rooms_max} rooms already")

    def _info(self, name: str, request: room_messages.CreateRoomRequest) -> models.Room:
        world, settings = self._world, self._world.settings
        info = models.Room(
            sid=world.new_id("RM_"),
            name=name,
            empty_timeout=request.empty_timeout or settings.empty_timeout_s,
            departure_timeout=request.departure_timeout or settings.departure_timeout_s,
            max_participants=request.max_participants or settings.max_participants,
            creation_time=world.now_ms // 1000,
            creation_time_ms=world.now_ms,
            turn_password=world.new_id(""),
            metadata=request.metadata,
        )
        for mime in settings.enabled_codecs:
            info.enabled_codecs.add(mime=mime)
        return info


def check_chars(what: str, text: str, settings: RoomSettings) -> None:
    """:raises Refused: it is too long for a name."""
    if len(text) > settings.name_chars_max:
        raise Refused(Code.INVALID_ARGUMENT, f"{what} length exceeds limits")


def check_bytes(what: str, text: str, bytes_max: int) -> None:
    """:raises Refused: it is too much."""
    if len(text.encode()) > bytes_max:
        raise Refused(Code.INVALID_ARGUMENT, f"{what} size exceeds limits")


def addressed(room: Room, sids: Iterable[str], identities: Iterable[str]) -> tuple[Participant, ...]:
    """Those that are named; everybody where nobody is."""
    everybody, named = tuple(room.participants.values()), (frozenset(sids), frozenset(identities))
    if not any(named):
        return everybody
    return tuple(one for one in everybody if one.info.sid in named[0] or one.info.identity in named[1])
