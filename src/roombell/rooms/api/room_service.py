"""``livekit.RoomService``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from livekit.protocol import models, room

from roombell.rooms.api import rights
from roombell.rooms.api.method import Handler, method
from roombell.rooms.hub import Hub
from roombell.rooms.refusals import Code, Refused
from roombell.signing import VideoGrants

OfRoom = (
    room.ListParticipantsRequest
    | room.RoomParticipantIdentity
    | room.MuteRoomTrackRequest
    | room.UpdateParticipantRequest
    | room.UpdateSubscriptionsRequest
    | room.SendDataRequest
    | room.UpdateRoomMetadataRequest
    | room.PerformRpcRequest
)


def _may_create(grants: VideoGrants, _: room.CreateRoomRequest | room.DeleteRoomRequest) -> bool:
    return rights.create(grants)


def _may_list(grants: VideoGrants, _: room.ListRoomsRequest) -> bool:
    return rights.list_rooms(grants)


def _may_administrate(grants: VideoGrants, request: OfRoom) -> bool:
    return rights.administrate(grants, request.room)


def _may_move(grants: VideoGrants, request: room.MoveParticipantRequest | room.ForwardParticipantRequest) -> bool:
    return rights.move(grants, request.room, request.destination_room)


def _create(hub: Hub, request: room.CreateRoomRequest) -> models.Room:
    return hub.do(hub.rooms.create, request)


def _list(hub: Hub, request: room.ListRoomsRequest) -> room.ListRoomsResponse:
    return room.ListRoomsResponse(rooms=hub.do(hub.rooms.listed, request.names))


def _delete(hub: Hub, request: room.DeleteRoomRequest) -> room.DeleteRoomResponse:
    hub.do(hub.rooms.delete, request.room)
    return room.DeleteRoomResponse()


def _list_participants(hub: Hub, request: room.ListParticipantsRequest) -> room.ListParticipantsResponse:
    return room.ListParticipantsResponse(participants=hub.do(hub.participants.listed, request.room))


def _get_participant(hub: Hub, request: room.RoomParticipantIdentity) -> models.ParticipantInfo:
    return hub.do(hub.participants.get, request.room, request.identity)


def _remove_participant(hub: Hub, request: room.RoomParticipantIdentity) -> room.RemoveParticipantResponse:
    hub.do(hub.participants.remove, request.room, request.identity)
    return room.RemoveParticipantResponse()


def _mute(hub: Hub, request: room.MuteRoomTrackRequest) -> room.MuteRoomTrackResponse:
    mute = hub.tracks.mute_by_server
    track = hub.do(mute, request.room, request.identity, request.track_sid, muted=request.muted)
    return room.MuteRoomTrackResponse(track=track)


def _update_participant(hub: Hub, request: room.UpdateParticipantRequest) -> models.ParticipantInfo:
    return hub.do(hub.participants.update, request)


def _update_subscriptions(hub: Hub, request: room.UpdateSubscriptionsRequest) -> room.UpdateSubscriptionsResponse:
    hub.do(hub.participants.update_subscriptions, request)
    return room.UpdateSubscriptionsResponse()


def _send_data(hub: Hub, request: room.SendDataRequest) -> room.SendDataResponse:
    hub.do(hub.rooms.send_data, request)
    return room.SendDataResponse()


def _update_metadata(hub: Hub, request: room.UpdateRoomMetadataRequest) -> models.Room:
    return hub.do(hub.rooms.update_metadata, request.room, request.metadata)


def _forward(_: Hub, __: room.ForwardParticipantRequest) -> room.ForwardParticipantResponse:
    raise Refused(Code.UNIMPLEMENTED, "ForwardParticipant is not offered by this server")


def _move(hub: Hub, request: room.MoveParticipantRequest) -> room.MoveParticipantResponse:
    hub.do(hub.participants.move, request.room, request.identity, request.destination_room)
    return room.MoveParticipantResponse()


async def _perform_rpc(hub: Hub, request: room.PerformRpcRequest) -> room.PerformRpcResponse:
    return room.PerformRpcResponse(payload=await hub.perform_rpc(request))


METHODS: Final[Mapping[str, Handler]] = {
    "CreateRoom": method(room.CreateRoomRequest, _may_create, _create),
    "ListRooms": method(room.ListRoomsRequest, _may_list, _list),
    "DeleteRoom": method(room.DeleteRoomRequest, _may_create, _delete),
    "ListParticipants": method(room.ListParticipantsRequest, _may_administrate, _list_participants),
    "GetParticipant": method(room.RoomParticipantIdentity, _may_administrate, _get_participant),
    "RemoveParticipant": method(room.RoomParticipantIdentity, _may_administrate, _remove_participant),
    "MutePublishedTrack": method(room.MuteRoomTrackRequest, _may_administrate, _mute),
    "UpdateParticipant": method(room.UpdateParticipantRequest, _may_administrate, _update_participant),
    "UpdateSubscriptions": method(room.UpdateSubscriptionsRequest, _may_administrate, _update_subscriptions),
    "SendData": method(room.SendDataRequest, _may_administrate, _send_data),
    "UpdateRoomMetadata": method(room.UpdateRoomMetadataRequest, _may_administrate, _update_metadata),
    "ForwardParticipant": method(room.ForwardParticipantRequest, _may_move, _forward),
    "MoveParticipant": method(room.MoveParticipantRequest, _may_move, _move),
    "PerformRpc": method(room.PerformRpcRequest, _may_administrate, _perform_rpc),
}
