"""LiveKit's access token: who somebody is and what it may do. Joins, and calls of the server API, carry one.

Source: ``auth/grants.go`` of livekit/protocol.
"""

from __future__ import annotations

import msgspec


class VideoGrants(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The rights in a token. Where a right may be None, the token says nothing of it."""

    room_create: bool = False
    room_list: bool = False
    room_record: bool = False
    room_admin: bool = False
    room_join: bool = False
    room: str = ""
    destination_room: str = ""
    can_publish: bool | None = None
    can_subscribe: bool | None = None
    can_publish_data: bool | None = None
    can_publish_sources: tuple[str, ...] | None = None
    can_update_own_metadata: bool | None = None
    ingress_admin: bool = False
    hidden: bool = False
    recorder: bool = False
    agent: bool = False
    can_subscribe_metrics: bool | None = None
    can_manage_agent_session: bool | None = None


class AccessClaims(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What an access token says. Times are unix seconds."""

    iss: str | None = None
    sub: str = ""
    """The identity."""
    name: str = ""
    kind: str = ""
    kind_details: tuple[str, ...] = ()
    metadata: str = ""
    attributes: dict[str, str] = {}
    video: VideoGrants = VideoGrants()
    room_config: msgspec.Raw = msgspec.Raw()
    """The JSON of a RoomConfiguration; empty where there is none."""
    nbf: int | float | None = None
    exp: int | float | None = None
    iat: int | float | None = None

    def __repr__(self) -> str:  # metadata and attributes are the application's, and may be anything
        return f"<AccessClaims iss={self.iss!r} sub={self.sub!r}>"
