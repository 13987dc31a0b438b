"""The drop-in for livekit-api's receiver, and the original beside it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
from datetime import timedelta
from pathlib import Path

import jwt
import pytest
from livekit import api as original
from livekit.protocol.webhook import WebhookEvent as Message

from roombell import KeyRing, ReceiveError, Receiver, UsageError, signing
from roombell.errors import EventError
from roombell.events import EVENT_TYPES
from roombell.receiver import livekit_api as ours
from roombell.testing.payloads import sample

KEY, SECRET = "APIabc", "a secret of at least thirty-two bytes"
BODY = sample("participant_joined")
REAL_PAYLOADS = sorted((Path(__file__).parents[1] / "data" / "real_payloads").glob("*.json"))
MODULES = pytest.mark.parametrize("verifiers", [ours, original], ids=["our verifier", "the original verifier"])


def token(body: bytes, **claims: object) -> str:
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    now_s = int(time.time())
    told = {"iss": KEY, "nbf": now_s, "exp": now_s + 300, "sha256": digest} | claims
    return jwt.encode({name: value for name, value in told.items() if value is not None}, SECRET, algorithm="HS256")


def receiver(verifiers=ours) -> ours.WebhookReceiver:
    return ours.WebhookReceiver(verifiers.TokenVerifier(KEY, SECRET))


def official() -> original.WebhookReceiver:
    return original.WebhookReceiver(original.TokenVerifier(KEY, SECRET))


@MODULES
@pytest.mark.parametrize("body", [sample(one) for one in EVENT_TYPES], ids=EVENT_TYPES)
def test_it_gives_the_message_that_the_original_gives(body: bytes, verifiers) -> None:
    given = receiver(verifiers).receive(body.decode(), token(body))
    assert type(given) is Message
    assert given == official().receive(body.decode(), token(body))


@pytest.mark.parametrize("path", REAL_PAYLOADS, ids=lambda path: path.stem)
def test_recorded_payloads_give_the_same_message_as_bytes_and_as_text(path: Path) -> None:
    body = path.read_bytes()
    expected = official().receive(body.decode(), token(body))
    assert receiver().receive(body, token(body)) == expected
    assert receiver().receive(body.decode(), token(body)) == expected


def test_it_takes_bytes_and_bearer_where_the_original_breaks() -> None:
    assert receiver().receive(BODY, f"Bearer {token(BODY)}").event == "participant_joined"
    with pytest.raises(AttributeError):
        official().receive(BODY, token(BODY))  # type: ignore[arg-type]
    with pytest.raises(jwt.DecodeError):
        official().receive(BODY.decode(), f"Bearer {token(BODY)}")


@pytest.mark.parametrize(
    ("change", "error", "officially"),
    [
        ({"sha256": None}, signing.NoBodyHash, Exception),
        ({"sha256": base64.b64encode(hashlib.sha256(b"other").digest()).decode()}, signing.BodyHashMismatch, Exception),
        ({"sha256": "x"}, ReceiveError, binascii.Error),
        ({"exp": 5}, signing.TokenExpired, jwt.ExpiredSignatureError),
        ({"iss": "APIother"}, signing.UnknownKey, jwt.InvalidIssuerError),
    ],
)
def test_what_the_original_refuses_is_refused_by_an_error_that_says_why(
    change: dict[str, object], error: type[ReceiveError], officially: type[Exception]
) -> None:
    with pytest.raises(officially):
        official().receive(BODY.decode(), token(BODY, **change))
    with pytest.raises(error) as caught:
        receiver().receive(BODY.decode(), token(BODY, **change))
    assert caught.value.status == 401


def test_a_missing_header_a_lone_surrogate_and_a_foreign_body_are_told_apart() -> None:
    with pytest.raises(signing.NoAuthorization):
        receiver().receive(BODY, None)
    with pytest.raises(signing.BodyHashMismatch):
        receiver().receive('{"event":"\ud800"}', token(BODY))
    with pytest.raises(EventError):
        receiver().receive(b"hello", token(b"hello"))


@MODULES
def test_the_leeway_of_the_verifier_counts(verifiers) -> None:
    late = token(BODY, nbf=int(time.time()) - 1_000, exp=int(time.time()) - 300)
    with pytest.raises(signing.TokenExpired):
        receiver(verifiers).receive(BODY, late)
    patient = verifiers.TokenVerifier(KEY, SECRET, leeway=timedelta(minutes=10))
    assert ours.WebhookReceiver(patient).receive(BODY, late).event == "participant_joined"


@MODULES
def test_key_and_secret_may_come_from_the_environment(verifiers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEKIT_API_KEY", KEY)
    monkeypatch.setenv("LIVEKIT_API_SECRET", SECRET)
    taken = ours.WebhookReceiver(verifiers.TokenVerifier())
    assert taken.receive(BODY, token(BODY)).event == "participant_joined"


@MODULES
def test_a_verifier_without_a_key_is_refused_at_once(verifiers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIVEKIT_API_KEY", raising=False)
    monkeypatch.delenv("LIVEKIT_API_SECRET", raising=False)
    with pytest.raises(UsageError, match="LIVEKIT_API_KEY and LIVEKIT_API_SECRET"):
        ours.WebhookReceiver(verifiers.TokenVerifier())
    with pytest.raises(UsageError, match="no key or no secret"):
        ours.WebhookReceiver({"APIabc": "secret"})


def test_a_receiver_with_several_keys_can_stand_behind_it() -> None:
    keys = {"APIold": "old secret", "APInew": "new secret"}
    both = ours.WebhookReceiver(Receiver(keys))
    for key in keys:
        signed = KeyRing(keys).sign(BODY, api_key=key, now=time.time())
        assert both.receive(BODY, signed).event == "participant_joined"
