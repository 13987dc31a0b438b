"""From what a token says to what the machine takes, as LiveKit reads it (``auth/grants.go`` of livekit/protocol)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from google.protobuf import json_format
from livekit.protocol import models
from livekit.protocol.room import RoomConfiguration

from roombell.rooms.participants import Joining
from roombell.rooms.refusals import Code, Refused
from roombell.signing import AccessClaims, VideoGrants

_SOURCES: Final = frozenset(models.TrackSource.keys())
_NAME_BY_SOURCE: Final = {number: name.lower() for name, number in models.TrackSource.items()}
_KINDS: Final = frozenset(models.ParticipantInfo.Kind.keys())
_KIND_DETAILS: Final = frozenset(models.ParticipantInfo.KindDetail.keys())


def permission_of(grants: VideoGrants) -> models.ParticipantPermission:
    """What a participant with these grants may do. What the token does not say is allowed, but for its metadata."""
    may_publish = _or(grants.can_publish, default=True)
    return models.ParticipantPermission(
        can_subscribe=_or(grants.can_subscribe, default=True),
        can_publish=may_publish,
        can_publish_data=_or(grants.can_publish_data, default=may_publish),
        can_publish_sources=_known(grants.can_publish_sources or (), _SOURCES),
        can_update_metadata=_or(grants.can_update_own_metadata, default=False),
        can_subscribe_metrics=_or(grants.can_subscribe_metrics, default=False),
        can_manage_agent_session=_or(grants.can_manage_agent_session, default=grants.agent),
        hidden=grants.hidden,
        recorder=grants.recorder,
        agent=grants.agent,
    )


def joining_of(claims: AccessClaims, *, client_protocol: int = 0, listens: bool = True) -> Joining:
    """The join that the token is for.

    :raises Refused: the token does not grant roomJoin (``permission_denied``), or its room configuration is none.
    """
    if not claims.video.room_join:
        raise Refused(Code.PERMISSION_DENIED, "permissions denied")
    kinds = _known((claims.kind,), _KINDS) or ["STANDARD"]
    about = models.ParticipantInfo(kind=kinds[0], kind_details=_known(claims.kind_details, _KIND_DETAILS))
    return Joining(
        room=claims.video.room,
        identity=claims.sub,
        name=claims.name,
        metadata=claims.metadata,
        attributes=claims.attributes,
        permission=permission_of(claims.video),
        kind=about.kind,
        kind_details=tuple(about.kind_details),
        client_protocol=client_protocol,
        configuration=_configuration(claims),
        may_create_room=claims.video.room_create,
        listens=listens,
    )


def grants_of(participant: models.ParticipantInfo, room: str) -> AccessClaims:
    """The claims of a fresh token for a participant as it is now: what a token refresh carries."""
    permission = participant.permission
    return AccessClaims(
        sub=participant.identity,
        name=participant.name,
        kind=models.ParticipantInfo.Kind.Name(participant.kind).lower(),
        metadata=participant.metadata,
        attributes=dict(participant.attributes),
        video=VideoGrants(
            room_join=True,
            room=room,
            can_publish=permission.can_publish,
            can_subscribe=permission.can_subscribe,
            can_publish_data=permission.can_publish_data,
            can_publish_sources=tuple(_NAME_BY_SOURCE.get(one, "unknown") for one in permission.can_publish_sources),
            can_update_own_metadata=permission.can_update_metadata,
            can_subscribe_metrics=permission.can_subscribe_metrics,
            can_manage_agent_session=permission.can_manage_agent_session,
            hidden=permission.hidden,
            recorder=permission.recorder,
            agent=permission.agent,
        ),
    )


def _known(names: Iterable[str], known: frozenset[str]) -> list[str]:
    """Names of an enum, which tokens write small; those that are newer than the installed protocol are left out."""
    return [name.upper() for name in names if name.upper() in known]


def _or(said: bool | None, *, default: bool) -> bool:  # noqa: FBT001 - what the token says
    return default if said is None else said


def _configuration(claims: AccessClaims) -> RoomConfiguration | None:
    text = bytes(claims.room_config)
    if not text or text == b"null":
        return None
    try:
        return json_format.Parse(text, RoomConfiguration(), ignore_unknown_fields=True)
    except json_format.ParseError:
        raise Refused(Code.INVALID_ARGUMENT, "the token's roomConfig is no room configuration") from None
