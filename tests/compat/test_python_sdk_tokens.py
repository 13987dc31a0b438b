"""Our signatures and LiveKit's own Python SDK, each against the other."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from datetime import timedelta
from pathlib import Path

import pytest
from livekit.api import AccessToken, TokenVerifier, WebhookReceiver
from livekit.protocol import models

from roombell.events import EVENT_TYPES, EventBuilder, parse
from roombell.receiver import Receiver
from roombell.signing import KeyRing, NoBodyHash
from roombell.testing.payloads import sample

API_KEY = "APIabc"
SECRET = "a secret of at least thirty-two bytes"
REAL_PAYLOADS = sorted((Path(__file__).parents[1] / "data" / "real_payloads").glob("*.json"))


def sdk_token(body: bytes) -> str:
    sha256 = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return AccessToken(API_KEY, SECRET).with_ttl(timedelta(minutes=5)).with_sha256(sha256).to_jwt()


def our_token(body: bytes) -> str:
    return KeyRing({API_KEY: SECRET}).sign(body, api_key=API_KEY, now=time.time())


def sdk_receiver() -> WebhookReceiver:
    return WebhookReceiver(TokenVerifier(API_KEY, SECRET))


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_the_sdk_accepts_what_we_sign_and_decodes_the_same_message(event_type: str) -> None:
    body = sample(event_type)
    received = sdk_receiver().receive(body.decode(), our_token(body))
    assert received == parse(body).message
    assert received.event == event_type


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_we_accept_what_the_sdk_signs(event_type: str) -> None:
    body = sample(event_type)
    event = Receiver({API_KEY: SECRET}).receive(body, sdk_token(body))
    assert event.message == sdk_receiver().receive(body.decode(), sdk_token(body))


@pytest.mark.parametrize("path", REAL_PAYLOADS, ids=lambda path: path.stem)
def test_recorded_payloads_pass_both_ways(path: Path) -> None:
    body = path.read_bytes()
    ours = Receiver({API_KEY: SECRET}).receive(body, sdk_token(body))
    assert ours.raw == body
    assert ours.message == sdk_receiver().receive(body.decode(), our_token(body))


def test_a_built_event_is_accepted_by_the_sdk() -> None:
    room = models.Room(sid="RM_1", name="Größe 😀")
    event = EventBuilder(time.time, secrets.token_bytes).room_started(room)
    assert sdk_receiver().receive(event.raw.decode(), our_token(event.raw)).room == room


def test_an_access_token_of_the_sdk_is_no_webhook_signature() -> None:
    body = sample("room_started")
    with pytest.raises(NoBodyHash):
        Receiver({API_KEY: SECRET}).receive(body, AccessToken(API_KEY, SECRET).with_identity("alice").to_jwt())
