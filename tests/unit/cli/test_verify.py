"""`roombell verify`: what is valid, and what was done to what is not."""

from __future__ import annotations

import io
import json
import sys
import time

import pytest

from roombell.cli.reencoding import looks_reencoded, what_was_done
from roombell.signing import KeyRing
from roombell.testing.payloads import sample
from support.commands import SECRET, write_config

RING = KeyRing({"devkey": "secret"})
BODY = sample("participant_joined", room="café & co", id="EV_1", created_at=1_800_000_000)
DAY_S = 86_400


def sign(body: bytes = BODY, *, ago_s: float = 0) -> str:
    return RING.sign(body, api_key="devkey", now=time.time() - ago_s)


@pytest.fixture
def check(cli, clean_place):
    async def call(body: bytes, authorization: str, *options: str):
        (clean_place / "body").write_bytes(body)
        return await cli("verify", "--body", "body", "--authorization", authorization, *options)

    return call


async def test_a_valid_webhook_is_told_with_event_key_and_age(check):
    ended = await check(BODY, sign(ago_s=130))
    assert ended.code == 0
    assert ended.out.startswith("Valid. Signed with devkey 2 min ago.\n")
    for told in ("participant_joined", "EV_1", "café & co", "alice"):
        assert told in ended.out


async def test_json_tells_the_same(check):
    ended = await check(BODY, f"Bearer {sign()}", "--json")
    (verdict,) = ended.records
    assert ended.code == 0
    assert verdict["expires_at_s"] - verdict["signed_at_s"] == 300
    assert (verdict["valid"], verdict["event"], verdict["id"], verdict["api_key"]) == (
        True, "participant_joined", "EV_1", "devkey",
    )  # fmt: skip


async def test_an_old_webhook_has_expired_unless_time_is_ignored(check):
    old = sign(ago_s=3 * DAY_S)
    ended = await check(BODY, old)
    assert ended.code == 1
    assert "expired 3 days ago" in ended.out
    assert "--ignore-time" in ended.out
    ended = await check(BODY, old, "--ignore-time")
    assert ended.code == 0
    assert ended.out.startswith("Valid. Signed with devkey 3 days ago.")


async def test_a_webhook_from_the_future_is_told(check):
    assert "valid only in" in (await check(BODY, sign(ago_s=-DAY_S))).out
    assert (await check(BODY, sign(ago_s=-DAY_S), "--ignore-time")).code == 0


async def test_behind_an_expired_token_a_changed_body_is_found_all_the_same(check):
    ended = await check(BODY + b"x", sign(ago_s=DAY_S), "--json")
    assert ended.records[0]["error"] == "body_hash_mismatch"


@pytest.mark.parametrize(
    ("authorization", "told"),
    [
        ("", "There is no Authorization header"),
        ("nonsense", "no usable token"),
        (KeyRing({"other": "secret"}).sign(BODY, api_key="other", now=0), "API key 'other', which is not among"),
        (KeyRing({"devkey": "wrong"}).sign(BODY, api_key="devkey", now=0), "the secret that the sender has"),
    ],
)
async def test_what_is_wrong_with_the_header_is_told(check, authorization, told):
    ended = await check(BODY, authorization)
    assert ended.code == 1
    assert ended.out.startswith("Not valid. ")
    assert told in ended.out


async def test_a_body_that_is_signed_and_no_event_is_told(check):
    assert (await check(b"[]", sign(b"[]"))).code == 1


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (BODY + b"\n", "white space was put around it"),
        (b"\xef\xbb\xbf" + BODY, "a byte order mark was put before it"),
        (json.dumps(json.loads(BODY)).encode(), "its JSON was decoded and encoded again"),
        (json.dumps(json.loads(BODY), indent=2).encode(), "its JSON was decoded and encoded again"),
    ],
    ids=["line feed", "byte order mark", "other spacing", "indented"],
)
async def test_what_changed_the_body_is_found_out(check, changed, told):
    ended = await check(changed, sign())
    assert ended.code == 1
    assert f"What happened to the body: {told}" in ended.out


async def test_a_body_that_only_looks_changed_is_said_to_look_so(check):
    changed = json.loads(BODY) | {"event": "room_started"}
    ended = await check(json.dumps(changed).encode(), sign())
    assert "The body looks as if it had been decoded and encoded again: there is a space after each colon" in ended.out


@pytest.mark.parametrize(
    ("body", "looks"),
    [
        (BODY, ""),
        (b"\xff\x00", ""),
        (b"[" * 100_000, ""),
        (b'{"createdAt":"1","event":"x"}', "its keys are in alphabetical order, and LiveKit's begin with event"),
    ],
)
def test_looks_are_told_of_json_only(body, looks):
    assert looks_reencoded(body) == looks
    assert what_was_done(body, "no hash") == ""


@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
async def test_a_whole_saved_request_is_read(cli, clean_place, line_end):
    head = line_end.join(("POST /webhook HTTP/1.1", "Host: x", f"AUTHORIZATION:  {sign()} ", "", ""))
    (clean_place / "request").write_bytes(head.encode() + BODY)
    assert (await cli("verify", "--request", "request")).code == 0


async def test_headers_may_stand_in_a_file_and_the_body_on_stdin(cli, clean_place, monkeypatch):
    (clean_place / "headers").write_text(f"Content-Type: application/webhook+json\nAuthorization: {sign()}\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(BODY)))
    assert (await cli("verify", "--body", "-", "--headers", "headers")).code == 0


async def test_keys_come_from_the_configuration(cli, clean_place):
    config = write_config(clean_place / "c.yaml")
    (clean_place / "body").write_bytes(BODY)
    token = KeyRing({"APItest": SECRET}).sign(BODY, api_key="APItest", now=time.time())
    assert (await cli("verify", "--body", "body", "--authorization", token, "--config", str(config))).code == 0
