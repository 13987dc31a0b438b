"""Access tokens: who may join which room, and do what there.

Claims, defaults and the sentences of refusals are LiveKit's (``auth/grants.go`` of its protocol, and
``pkg/service/auth.go`` and ``rtcservice.go`` of its server), with one difference: where LiveKit puts the token itself
into the sentence, it is left out here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from google.protobuf import json_format
from livekit.protocol import models
from livekit.protocol import room as room_messages

from roombell.errors import SignatureError
from roombell.rooms.participants import Joining
from roombell.signing import BadSignature, KeyRing, UnknownKey

LEEWAY_S: Final = 60
TOKEN_LIFE_S: Final = 600
"""How long a token is valid that a participant is given anew, as LiveKit's are."""

IDENTITY_CHARS_MAX: Final = 256

_DENIED: Final = "permissions denied"
_KINDS: Final = {
    "ingress": models.ParticipantInfo.INGRESS,
    "egress": models.ParticipantInfo.EGRESS,
    "sip": models.ParticipantInfo.SIP,
    "agent": models.ParticipantInfo.AGENT,
    "connector": models.ParticipantInfo.CONNECTOR,
}
_SOURCES: Final = frozenset(models.TrackSource.keys())


class AccessRefused(Exception):
    """A participant may not come in: the HTTP status and LiveKit's sentence."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(message)


class VideoGrant(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """What the token lets its bearer do. Where a right is None nothing was said of it."""

    room_join: bool = False
    room: str = ""
    room_create: bool = False
    room_list: bool = False
    room_admin: bool = False
    room_record: bool = False
    ingress_admin: bool = False
    can_publish: bool | None = None
    can_subscribe: bool | None = None
    can_publish_data: bool | None = None
    can_publish_sources: list[str] = []
    can_update_own_metadata: bool | None = None
    hidden: bool = False
    recorder: bool = False
    agent: bool = False
    destination_room: str = ""


class Grants(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """The claims of an access token."""

    iss: str = ""
    sub: str = ""
    exp: float | None = None
    nbf: float | None = None
    name: str = ""
    kind: str = ""
    metadata: str = ""
    attributes: dict[str, str] = {}
    video: VideoGrant | None = None
    room_config: dict[str, object] | None = None

    @property
    def grant(self) -> VideoGrant:
        return self.video or VideoGrant()


def read_token(keys: KeyRing, token: str, now_s: float) -> Grants:
    """The claims of a token that one of the keys has signed and whose time is now.

    :raises AccessRefused: it is no such token.
    """
    try:
        grants = keys.read_claims(token, Grants)
    except UnknownKey as error:
        raise AccessRefused(401, f"invalid API key: {error.api_key}") from error
    except BadSignature as error:
        raise AccessRefused(401, "invalid token, error: go-jose/go-jose: error in cryptographic primitive") from error
    except SignatureError as error:
        raise AccessRefused(401, "invalid authorization token") from error
    if grants.exp is None or now_s - LEEWAY_S >= grants.exp:
        raise _not_now("token is expired (exp)")
    if grants.nbf is not None and now_s + LEEWAY_S < grants.nbf:
        raise _not_now("token not valid yet (nbf)")
    return grants


def joining(grants: Grants, *, room: str = "", attributes: Mapping[str, str] | None = None) -> Joining:
    """How the bearer of the token comes in.

    :param room: where the token names no room, which one is wanted.
    :param attributes: what the client wants to add to its attributes.
    :raises AccessRefused: it may not.
    """
    grant = grants.grant
    if grants.video is None or not grant.room_join:
        raise AccessRefused(401, _DENIED)
    if not grants.sub:
        raise AccessRefused(400, "identity cannot be empty")
    if len(grants.sub) > IDENTITY_CHARS_MAX:
        raise AccessRefused(400, f"participant identity length exceeds limits: max length {IDENTITY_CHARS_MAX}")
    if attributes and not grant.can_update_own_metadata:
        raise AccessRefused(401, _DENIED)
    more = {key: value for key, value in (attributes or {}).items() if value}
    return Joining(
        room=grant.room or room,
        identity=grants.sub,
        name=grants.name,
        metadata=grants.metadata,
        attributes={**grants.attributes, **more},
        permission=permission(grants),
        kind=_KINDS.get(grants.kind.lower(), models.ParticipantInfo.STANDARD),
        configuration=_configuration(grants),
        may_create_room=grant.room_create,
    )


def permission(grants: Grants) -> models.ParticipantPermission:
    """What the token permits in the room, with LiveKit's defaults: data as media, and metadata only where said."""
    grant = grants.grant
    can_publish = grant.can_publish is not False
    return models.ParticipantPermission(
        can_subscribe=grant.can_subscribe is not False,
        can_publish=can_publish,
        can_publish_data=can_publish if grant.can_publish_data is None else grant.can_publish_data,
        can_publish_sources=[name for name in map(str.upper, grant.can_publish_sources) if name in _SOURCES],
        can_update_metadata=bool(grant.can_update_own_metadata),
        hidden=grant.hidden,
        recorder=grant.recorder,
        agent=grant.agent,
    )


def new_token(keys: KeyRing, grants: Grants, *, now_s: float, life_s: int = TOKEN_LIFE_S) -> str:
    """A token with these claims, signed by the key that signed them before, valid from now on.

    :raises UsageError: there is no such key any more.
    """
    claims = msgspec.to_builtins(grants)
    return keys.sign_claims({**claims, "nbf": int(now_s), "exp": int(now_s) + life_s}, api_key=grants.iss)


def changed(grants: Grants, participant: models.ParticipantInfo, room: str) -> Grants:
    """The claims after the server has changed what the participant is and may."""
    rights = participant.permission
    grant = msgspec.structs.replace(
        grants.grant,
        room=room,
        can_publish=rights.can_publish,
        can_subscribe=rights.can_subscribe,
        can_publish_data=rights.can_publish_data,
        can_publish_sources=[models.TrackSource.Name(source).lower() for source in rights.can_publish_sources],
        can_update_own_metadata=rights.can_update_metadata,
        hidden=rights.hidden,
    )
    return msgspec.structs.replace(
        grants,
        name=participant.name,
        metadata=participant.metadata,
        attributes=dict(participant.attributes),
        video=grant,
    )


def _configuration(grants: Grants) -> room_messages.RoomConfiguration | None:
    if grants.room_config is None:
        return None
    configuration = room_messages.RoomConfiguration()
    try:
        json_format.ParseDict(grants.room_config, configuration, ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise AccessRefused(401, "invalid authorization token") from error
    return configuration


def _not_now(why: str) -> AccessRefused:
    return AccessRefused(401, f"invalid token, error: go-jose/go-jose/jwt: validation failed, {why}")
