"""``livekit.AgentDispatchService``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from livekit.protocol import agent_dispatch

from roombell.rooms.api import rights
from roombell.rooms.api.method import Handler, method
from roombell.rooms.hub import Hub
from roombell.signing import VideoGrants

OfRoom = (
    agent_dispatch.CreateAgentDispatchRequest
    | agent_dispatch.DeleteAgentDispatchRequest
    | agent_dispatch.ListAgentDispatchRequest
)


def _may(grants: VideoGrants, request: OfRoom) -> bool:
    return rights.administrate(grants, request.room)


def _create(hub: Hub, request: agent_dispatch.CreateAgentDispatchRequest) -> agent_dispatch.AgentDispatch:
    return hub.do(hub.dispatches.create, request)


def _delete(hub: Hub, request: agent_dispatch.DeleteAgentDispatchRequest) -> agent_dispatch.AgentDispatch:
    return hub.do(hub.dispatches.delete, request.room, request.dispatch_id)


def _list(hub: Hub, request: agent_dispatch.ListAgentDispatchRequest) -> agent_dispatch.ListAgentDispatchResponse:
    found = hub.do(hub.dispatches.listed, request.room, request.dispatch_id)
    return agent_dispatch.ListAgentDispatchResponse(agent_dispatches=found)


METHODS: Final[Mapping[str, Handler]] = {
    "CreateDispatch": method(agent_dispatch.CreateAgentDispatchRequest, _may, _create),
    "DeleteDispatch": method(agent_dispatch.DeleteAgentDispatchRequest, _may, _delete),
    "ListDispatch": method(agent_dispatch.ListAgentDispatchRequest, _may, _list),
}
