"""Tokens that LiveKit's SDK makes, as the machine takes them."""

from __future__ import annotations

import time
from datetime import timedelta

import jwt
import pytest
from livekit.api import AccessToken, TokenVerifier, VideoGrants
from livekit.protocol import models
from livekit.protocol.room import RoomConfiguration

from roombell.rooms.grants import grants_of, joining_of, permission_of
from roombell.rooms.refusals import Refused
from roombell.signing import (
    AccessClaims,
    BadSignature,
    KeyRing,
    MalformedToken,
    MissingClaim,
    TokenExpired,
    TokenNotYetValid,
    UnknownKey,
    WrongAlgorithm,
)
from roombell.signing import VideoGrants as Grants

SECRET = "secret-that-is-long-enough-for-pyjwt"
RING = KeyRing({"devkey": SECRET})


def token(grants: VideoGrants | None = None) -> AccessToken:
    return (
        AccessToken("devkey", SECRET)
        .with_identity("alice")
        .with_grants(grants or VideoGrants(room_join=True, room="demo"))
    )


def _raw(**claims: object) -> str:
    return jwt.encode({"iss": "devkey", **claims}, SECRET, algorithm="HS256")


def claims_of(made: AccessToken) -> AccessClaims:
    return RING.verify_access(made.to_jwt(), now=time.time())


def test_a_token_of_the_sdk_says_who_joins_and_as_what() -> None:
    made = (
        token()
        .with_name("Alice")
        .with_metadata("m")
        .with_attributes({"a": "1"})
        .with_kind("agent")
        .with_room_config(RoomConfiguration(empty_timeout=7, metadata="room"))
    )
    joining = joining_of(claims_of(made))
    assert (joining.room, joining.identity, joining.name, joining.metadata) == ("demo", "alice", "Alice", "m")
    assert joining.attributes == {"a": "1"}
    assert joining.kind == models.ParticipantInfo.AGENT
    assert joining.configuration == RoomConfiguration(empty_timeout=7, metadata="room")


def test_what_a_token_does_not_say_is_allowed_but_for_metadata() -> None:
    permission = permission_of(Grants())
    assert permission == models.ParticipantPermission(can_subscribe=True, can_publish=True, can_publish_data=True)


def test_data_goes_with_publishing_unless_it_is_said() -> None:
    assert not permission_of(Grants(can_publish=False)).can_publish_data
    assert permission_of(Grants(can_publish=False, can_publish_data=True)).can_publish_data


def test_every_right_arrives() -> None:
    grants = VideoGrants(
        room_join=True,
        room="demo",
        can_publish=True,
        can_subscribe=False,
        can_publish_data=False,
        can_publish_sources=["microphone", "screen_share", "hologram"],
        can_update_own_metadata=True,
        hidden=True,
        recorder=True,
        agent=True,
    )
    assert joining_of(claims_of(token(grants))).permission == models.ParticipantPermission(
        can_publish=True,
        can_publish_sources=[models.MICROPHONE, models.SCREEN_SHARE],
        can_update_metadata=True,
        can_manage_agent_session=True,
        hidden=True,
        recorder=True,
        agent=True,
    )


def test_a_token_without_the_right_to_join_joins_nothing() -> None:
    with pytest.raises(Refused, match="permissions denied"):
        joining_of(claims_of(token(VideoGrants(room="demo", room_admin=True))))


def test_a_refreshed_token_says_what_the_participant_is_now_and_the_sdk_reads_it() -> None:
    info = models.ParticipantInfo(
        identity="alice",
        name="A",
        metadata="m",
        attributes={"a": "1"},
        kind=models.ParticipantInfo.AGENT,
        permission=models.ParticipantPermission(can_publish=True, can_publish_sources=[models.CAMERA], hidden=True),
    )
    fresh = RING.sign_access(grants_of(info, "demo"), api_key="devkey", now=time.time(), life_s=600)
    read = TokenVerifier("devkey", SECRET).verify(fresh)
    assert (read.identity, read.name, read.metadata, read.attributes) == ("alice", "A", "m", {"a": "1"})
    assert read.video is not None
    assert (read.video.room, read.video.can_subscribe, read.video.hidden) == ("demo", False, True)
    assert joining_of(RING.verify_access(fresh, now=time.time())).permission == info.permission


@pytest.mark.parametrize(
    ("error", "made"),
    [
        (UnknownKey, lambda: AccessToken("other", SECRET).to_jwt()),
        (BadSignature, lambda: AccessToken("devkey", "x" * 32).to_jwt()),
        (TokenExpired, lambda: token().with_ttl(timedelta(seconds=-61)).to_jwt()),
        (TokenNotYetValid, lambda: _raw(nbf=time.time() + 90, exp=time.time() + 600)),
        (MissingClaim, _raw),
        (MalformedToken, lambda: _raw(exp=time.time() + 60, video="all")),
        (MalformedToken, lambda: "not a token"),
        (WrongAlgorithm, lambda: jwt.encode({"iss": "devkey"}, "x" * 64, algorithm="HS512")),
    ],
)
def test_what_is_no_token_of_ours_is_refused(error, made) -> None:
    with pytest.raises(error):
        RING.verify_access(made(), now=time.time())


@pytest.mark.parametrize("lateness_s", [-59, 59])
def test_a_minute_of_skew_is_allowed(lateness_s: int) -> None:
    now = time.time()
    assert RING.verify_access(_raw(nbf=now, exp=now), now=now + lateness_s)


def test_a_token_without_a_beginning_is_taken() -> None:
    assert RING.verify_access(_raw(exp=time.time() + 60), now=time.time()).iss == "devkey"


def test_a_room_configuration_that_is_none_is_refused() -> None:
    made = _raw(exp=time.time() + 60, video={"roomJoin": True, "room": "demo"}, roomConfig={"emptyTimeout": "soon"})
    with pytest.raises(Refused, match="roomConfig"):
        joining_of(RING.verify_access(made, now=time.time()))


def test_claims_show_nothing_of_what_they_carry() -> None:
    assert "hush" not in repr(AccessClaims(sub="alice", metadata="hush", attributes={"a": "hush"}))
