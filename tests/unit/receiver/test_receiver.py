"""The receiver: one call from a request's bytes to an event, one error for each way it can be wrong."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from roombell import signing
from roombell.errors import BodyTooLarge, EventError, ReceiveError, UsageError
from roombell.events import parse
from roombell.receiver import Receiver
from roombell.signing import KeyRing
from roombell.testing.payloads import sample

NOW = 1_789_411_342.0
KEYS = {"APIabc": "secret", "APIold": "older secret"}
BODY = sample("participant_joined")


def receiver(**settings: int) -> Receiver:
    return Receiver(KEYS, now=lambda: NOW, **settings)


def signed(body: bytes = BODY, *, api_key: str = "APIabc", now: float = NOW) -> str:
    return KeyRing(KEYS).sign(body, api_key=api_key, now=now)


def test_a_signed_webhook_becomes_its_event() -> None:
    assert receiver().receive(BODY, signed()) == parse(BODY)


def test_every_key_of_the_ring_is_accepted() -> None:
    assert receiver().receive(BODY, signed(api_key="APIold")).type == "participant_joined"


def test_a_key_ring_may_be_shared() -> None:
    ring = KeyRing(KEYS)
    assert Receiver(ring, now=lambda: NOW).receive(BODY, signed()).type == "participant_joined"


def test_the_machines_clock_is_the_default() -> None:
    assert Receiver(keys={"APIabc": "secret"}).receive(BODY, signed(now=time.time())).type == "participant_joined"
    with pytest.raises(signing.TokenExpired):
        Receiver(keys={"APIabc": "secret"}).receive(BODY, signed(now=5))


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_other_kinds_of_bytes_are_taken_and_copied(kind: type[bytearray | memoryview]) -> None:
    event = receiver().receive(kind(BODY), signed())
    assert type(event.raw) is bytes
    assert event.raw == BODY


def test_a_body_at_the_limit_is_taken_and_one_above_is_refused_unverified() -> None:
    assert receiver(body_bytes_max=len(BODY)).receive(BODY, signed()).raw == BODY
    with pytest.raises(BodyTooLarge) as caught:
        receiver(body_bytes_max=len(BODY) - 1).receive(BODY, None)
    assert caught.value.status == 413


def test_the_leeway_can_be_set() -> None:
    late = signed(now=NOW - 310)
    assert receiver().receive(BODY, late).type == "participant_joined"
    with pytest.raises(signing.TokenExpired):
        receiver(leeway_s=5).receive(BODY, late)


def test_an_unsigned_webhook_is_refused_before_it_is_looked_at() -> None:
    with pytest.raises(signing.NoAuthorization) as caught:
        receiver().receive(b"not an event", None)
    assert caught.value.status == 401


def test_a_signed_body_that_is_no_event_is_a_bad_request() -> None:
    with pytest.raises(EventError) as caught:
        receiver().receive(b"hello", signed(b"hello"))
    assert caught.value.status == 400


@pytest.mark.parametrize("body", [BODY.decode(), {"event": "room_started"}, None])
def test_a_decoded_body_is_the_callers_mistake_and_no_receive_error(body: object) -> None:
    with pytest.raises(UsageError, match=r"await request\.body\(\)") as caught:
        receiver().receive(body, signed())  # type: ignore[arg-type]
    assert not isinstance(caught.value, ReceiveError)


def test_a_receiver_without_keys_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="at least one API key"):
        Receiver(keys={})


LOADED = """
import sys, msgspec
before = set(sys.modules)
{statement}
print(*sorted(set(sys.modules) - before))
"""


@pytest.mark.parametrize("statement", ["import roombell.receiver", "from roombell import Receiver"])
def test_importing_the_receiver_loads_little_beyond_its_decoder(statement: str) -> None:
    """Its time is a matter of what is loaded: with msgspec, which takes most of it, under 50 ms (``bench import``)."""
    script = LOADED.format(statement=statement)
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in loaded if name.partition(".")[0] == "roombell"}
    foreign = set(loaded) - ours
    assert {name.split(".")[1] for name in ours if "." in name} == {
        "_version", "errors", "events", "receiver", "signing"
    }  # fmt: skip
    assert len(ours) <= 25
    assert foreign <= {"_blake2", "_hashlib", "hashlib", "hmac", "binascii", "fnmatch", "__future__"} | {
        "contextvars", "_contextvars", "posixpath", "os.path"
    }, "a module of the standard library that every application would have to wait for"  # fmt: skip
