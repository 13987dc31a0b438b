"""``livekit.Ingress``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from livekit.protocol import ingress

from roombell.rooms.api import rights
from roombell.rooms.api.method import Handler, method
from roombell.rooms.hub import Hub
from roombell.signing import VideoGrants


def _may(grants: VideoGrants, _: object) -> bool:
    return rights.administrate_ingress(grants)


def _create(hub: Hub, request: ingress.CreateIngressRequest) -> ingress.IngressInfo:
    return hub.do(hub.ingresses.create, request)


def _update(hub: Hub, request: ingress.UpdateIngressRequest) -> ingress.IngressInfo:
    return hub.do(hub.ingresses.update, request)


def _list(hub: Hub, request: ingress.ListIngressRequest) -> ingress.ListIngressResponse:
    return ingress.ListIngressResponse(items=hub.do(hub.ingresses.listed, request.room_name, request.ingress_id))


def _delete(hub: Hub, request: ingress.DeleteIngressRequest) -> ingress.IngressInfo:
    return hub.do(hub.ingresses.delete, request.ingress_id)


METHODS: Final[Mapping[str, Handler]] = {
    "CreateIngress": method(ingress.CreateIngressRequest, _may, _create),
    "UpdateIngress": method(ingress.UpdateIngressRequest, _may, _update),
    "ListIngress": method(ingress.ListIngressRequest, _may, _list),
    "DeleteIngress": method(ingress.DeleteIngressRequest, _may, _delete),
}
