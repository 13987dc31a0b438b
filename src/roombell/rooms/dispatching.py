"""Agent dispatches: kept and listed. No worker is ever given one, so they have no jobs."""

from __future__ import annotations

from livekit.protocol import agent_dispatch

from roombell.rooms.opening import Rooms
from roombell.rooms.refusals import Code, Refused
from roombell.rooms.results import NS_PER_MS
from roombell.rooms.world import Room, Watcher, World

Wish = agent_dispatch.CreateAgentDispatchRequest | agent_dispatch.RoomAgentDispatch


class Dispatches(Watcher):
    """The dispatches of rooms. They end with their room."""

    def __init__(self, world: World, rooms: Rooms) -> None:
        self._world = world
        self._rooms = rooms

    def create(self, request: agent_dispatch.CreateAgentDispatchRequest) -> agent_dispatch.AgentDispatch:
        """A dispatch in a room, which is made if need be.

        :raises Refused: no room, or too many dispatches in it.
        """
        room = self._rooms.ensure(request.room)
        if len(room.dispatches) >= self._world.settings.dispatches_per_room_max:
            raise Refused(Code.RESOURCE_EXHAUSTED, f"the room has {len(room.dispatches)} dispatches already")
        return _copy(self._add(room, request))

    def delete(self, room_name: str, dispatch_id: str) -> agent_dispatch.AgentDispatch:
        """:raises Refused: no such room, or no such dispatch in it."""
        room = self._world.room(room_name)
        if dispatch_id not in room.dispatches:
            raise Refused(Code.NOT_FOUND, "dispatch does not exist")
        dispatch = room.dispatches.pop(dispatch_id)
        dispatch.state.deleted_at = self._world.now_ms * NS_PER_MS
        return dispatch

    def listed(self, room_name: str, dispatch_id: str = "") -> tuple[agent_dispatch.AgentDispatch, ...]:
        """Those of a room, or the one of this id.

        :raises Refused: no such room.
        """
        dispatches = self._world.room(room_name).dispatches.values()
        return tuple(_copy(one) for one in dispatches if dispatch_id in ("", one.id))

    def room_made(self, room: Room) -> None:
        """The agents that come with the room."""
        for agent in room.agents:
            self._add(room, agent)

    def _add(self, room: Room, wish: Wish) -> agent_dispatch.AgentDispatch:
        dispatch = agent_dispatch.AgentDispatch(
            id=self._world.new_id("AD_"),
            agent_name=wish.agent_name,
            room=room.info.name,
            metadata=wish.metadata,
            restart_policy=wish.restart_policy,
            deployment=wish.deployment,
            attributes=wish.attributes,
        )
        dispatch.state.created_at = self._world.now_ms * NS_PER_MS
        room.dispatches[dispatch.id] = dispatch
        return dispatch


def _copy(dispatch: agent_dispatch.AgentDispatch) -> agent_dispatch.AgentDispatch:
    told = agent_dispatch.AgentDispatch()
    told.CopyFrom(dispatch)
    return told
