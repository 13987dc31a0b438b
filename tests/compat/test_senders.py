"""Every sender of LiveKit's webhooks, received by every framework."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import subprocess
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from livekit.api import AccessToken

from roombell import Notifier, parse
from roombell.events import EVENT_TYPES
from roombell.receiver import Receiver
from roombell.testing.payloads import sample
from roombell.testing.receiver_driver import Client, Handled
from support.node import NODE_FOLDER, node
from support.service import API_KEY, SECRET
from support.web_servers import SERVERS

REAL_PAYLOADS = sorted((Path(__file__).parents[1] / "data" / "real_payloads").glob("*.json"))
BODIES = [*(sample(event_type) for event_type in EVENT_TYPES), *(path.read_bytes() for path in REAL_PAYLOADS)]
TURN_S_MAX = 30.0

EVERY_FRAMEWORK = pytest.mark.parametrize("serve", SERVERS.values(), ids=SERVERS)


def new_handled() -> Handled:
    return Handled(Receiver({API_KEY: SECRET}))


def python_sdk_token(body: bytes) -> str:
    sha256 = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return AccessToken(API_KEY, SECRET).with_ttl(timedelta(minutes=5)).with_sha256(sha256).to_jwt()


@pytest.fixture(scope="module")
def javascript_sdk_tokens() -> Mapping[bytes, str]:
    """What the SDK signs each body with; good for five minutes."""
    peer = subprocess.Popen(
        [node(), "peer.js"], cwd=NODE_FOLDER,
        env=os.environ | {"LIVEKIT_API_KEY": API_KEY, "LIVEKIT_API_SECRET": SECRET},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        connection = http.client.HTTPConnection("127.0.0.1", int(peer.stdout.readline()), timeout=TURN_S_MAX)
        tokens = {}
        for body in BODIES:
            connection.request("POST", "/sign", body)
            tokens[body] = connection.getresponse().read().decode()
        connection.close()
        peer.stdin.close()
    return tokens


async def send_all(serve, tokens: Mapping[bytes, str]) -> None:
    handled = new_handled()
    async with serve(handled.receiver) as url:
        for body, token in tokens.items():
            assert (await Client(url).post(body, authorization=token)).status == 200
    assert [event.raw for event in handled.events] == list(tokens)
    assert handled.events == [parse(body) for body in tokens]


@EVERY_FRAMEWORK
async def test_what_the_python_sdk_signs_is_received(serve) -> None:
    await send_all(serve, {body: python_sdk_token(body) for body in BODIES})


@EVERY_FRAMEWORK
async def test_what_the_javascript_sdk_signs_is_received(serve, javascript_sdk_tokens: Mapping[bytes, str]) -> None:
    await send_all(serve, javascript_sdk_tokens)


@EVERY_FRAMEWORK
async def test_what_roombell_delivers_is_received_with_its_place_in_the_lane(serve) -> None:
    handled = new_handled()
    async with (
        serve(handled.receiver) as url,
        Notifier(keys={API_KEY: SECRET}, urls=[url], store="memory:") as notifier,
    ):
        await notifier.notify_many(BODIES)
        await notifier.drain(timeout_s=TURN_S_MAX)
    assert sorted(event.raw for event in handled.events) == sorted(BODIES)
    lanes: dict[str, list[int | None]] = {}
    for event, delivery in zip(handled.events, handled.deliveries, strict=True):
        assert (delivery.webhook_id, delivery.attempt) == (event.id, 1)
        lanes.setdefault(delivery.lane, []).append(delivery.sequence)
    assert len(lanes) == len({event.ordering_key for event in handled.events})
    assert all(places == list(range(1, len(places) + 1)) for places in lanes.values())
