"""Who may call what: the checks of LiveKit's server (``pkg/service/auth.go`` of livekit/livekit)."""

from __future__ import annotations

from roombell.errors import SignatureError
from roombell.rooms.refusals import Code, Refused
from roombell.signing import AccessClaims, KeyRing, VideoGrants


def claims_of(authorization: str | None, keys: KeyRing, now: float) -> AccessClaims:
    """What the caller's token says.

    :raises Refused: there is none of ours; the message says why, and how LiveKit wants it.
    """
    if authorization is not None and not authorization.startswith("Bearer "):
        raise Refused(Code.UNAUTHENTICATED, "invalid authorization header. Must start with Bearer ")
    try:
        return keys.verify_access(authorization, now=now)
    except SignatureError as error:
        raise Refused(Code.UNAUTHENTICATED, f"invalid token: {error}") from None


def create(grants: VideoGrants) -> bool:
    return grants.room_create


def list_rooms(grants: VideoGrants) -> bool:
    return grants.room_list


def administrate(grants: VideoGrants, room: str) -> bool:
    return grants.room_admin and grants.room == room


def move(grants: VideoGrants, room: str, destination: str) -> bool:
    return administrate(grants, room) and grants.destination_room == destination


def record(grants: VideoGrants) -> bool:
    return grants.room_record


def administrate_ingress(grants: VideoGrants) -> bool:
    return grants.ingress_admin


def denied() -> Refused:
    """The token is one of ours, and does not grant this."""
    return Refused(Code.UNAUTHENTICATED, "permissions denied")
