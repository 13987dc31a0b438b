"""``livekit.Egress``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from livekit.protocol import egress

from roombell.rooms.api import rights
from roombell.rooms.api.method import Handler, method
from roombell.rooms.hub import Hub
from roombell.rooms.outputs import Request
from roombell.rooms.refusals import Code, Refused
from roombell.signing import KeyRing, VideoGrants


def _may_record(grants: VideoGrants, _: object) -> bool:
    return rights.record(grants)


def _check_webhooks(keys: KeyRing, request: Request) -> None:
    """A webhook that nobody could sign is refused here; LiveKit takes the request and loses the events."""
    for number, one in enumerate(request.webhooks):
        if not one.url.startswith(("http://", "https://")):
            raise Refused(Code.INVALID_ARGUMENT, f"webhooks[{number}].url must begin with http:// or https://")
        if one.signing_key and one.signing_key not in keys:
            known = ", ".join(keys.api_keys)
            raise Refused(
                Code.INVALID_ARGUMENT,
                f"webhooks[{number}].signing_key {one.signing_key!r} is the name of no API key; there is: {known}",
            )


def _start(hub: Hub, request: Request) -> egress.EgressInfo:
    return hub.do(hub.egresses.start, request)


def _update_layout(hub: Hub, request: egress.UpdateLayoutRequest) -> egress.EgressInfo:
    return hub.do(hub.egresses.update_layout, request)


def _update_stream(hub: Hub, request: egress.UpdateStreamRequest) -> egress.EgressInfo:
    return hub.do(hub.egresses.update_stream, request)


def _list(hub: Hub, request: egress.ListEgressRequest) -> egress.ListEgressResponse:
    found = hub.do(hub.egresses.listed, request.room_name, request.egress_id, active=request.active)
    return egress.ListEgressResponse(items=found)


def _stop(hub: Hub, request: egress.StopEgressRequest) -> egress.EgressInfo:
    return hub.do(hub.egresses.stop, request.egress_id)


METHODS: Final[Mapping[str, Handler]] = {
    "StartEgress": method(egress.StartEgressRequest, _may_record, _start, _check_webhooks),
    "StartRoomCompositeEgress": method(egress.RoomCompositeEgressRequest, _may_record, _start, _check_webhooks),
    "StartWebEgress": method(egress.WebEgressRequest, _may_record, _start, _check_webhooks),
    "StartParticipantEgress": method(egress.ParticipantEgressRequest, _may_record, _start, _check_webhooks),
    "StartTrackCompositeEgress": method(egress.TrackCompositeEgressRequest, _may_record, _start, _check_webhooks),
    "StartTrackEgress": method(egress.TrackEgressRequest, _may_record, _start, _check_webhooks),
    "UpdateLayout": method(egress.UpdateLayoutRequest, _may_record, _update_layout),
    "UpdateStream": method(egress.UpdateStreamRequest, _may_record, _update_stream),
    "ListEgress": method(egress.ListEgressRequest, _may_record, _list),
    "StopEgress": method(egress.StopEgressRequest, _may_record, _stop),
}
