"""What ``--dev`` adds for rooms: tokens, files, and what happens live."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator

import pytest

from roombell.engine.hooks import AttemptFinished, EventAccepted
from roombell.engine.model import AttemptRecord, Delivery, LaneId, Sequence
from roombell.service.dev_live import EVENTS_MAX, LiveFeed
from roombell.service.dev_rooms import STATIC, DevRooms
from roombell.service.messages import Request, Response
from roombell.service.router import Router
from roombell.signing import KeyRing
from roombell.testing.payloads import sample
from roombell.wiring import SystemClock

KEYS = {"APIabc": "a secret of at least thirty-two bytes"}


def request(query: str = "", host: str = "127.0.0.1:7890") -> Request:
    return Request("GET", "/", query, {b"host": host.encode()}, b"", "127.0.0.1:1")


def rooms(port: int = 0) -> DevRooms:
    return DevRooms(KEYS, "127.0.0.1", port, SystemClock(), lambda _: None)


@pytest.fixture
async def running() -> AsyncIterator[DevRooms]:
    made = rooms()
    await made.start()
    yield made
    await made.stop()


def get(made: DevRooms, path: str, asked: Request) -> Response:
    router = Router()
    made.add_to(router)
    target = router.find("GET", path.encode())
    assert target is not None
    return target.handlers["GET"](asked)


async def test_a_token_lets_its_bearer_join_the_room(running: DevRooms) -> None:
    answer = get(running, "/dev/token", request("room=lab&identity=alice"))
    told = json.loads(answer.body)
    claims = KeyRing(KEYS).verify_access(told["token"], now=SystemClock().now_ms() / 1000)
    assert (claims.sub, claims.video.room, claims.video.room_join) == ("alice", "lab", True)
    assert (claims.video.room_admin, claims.video.room_create) == (False, False)
    assert told["port"] == running.port != 0


@pytest.mark.parametrize(
    "query", ["", "room=lab", "identity=alice", "room=+&identity=x", f"room=lab&identity={'x' * 101}"]
)
async def test_a_token_needs_a_room_and_an_identity(running: DevRooms, query: str) -> None:
    assert get(running, "/dev/token", request(query)).status == 400


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:7890", 200), ("[::1]:7890", 200), ("localhost", 200), ("evil.example:7890", 403), ("", 403)],
)
async def test_tokens_are_for_pages_of_this_machine(running: DevRooms, host: str, status: int) -> None:
    assert get(running, "/dev/token", request("room=lab&identity=alice", host)).status == status


@pytest.mark.parametrize("path", STATIC)
async def test_the_page_s_parts_are_in_the_package(running: DevRooms, path: str) -> None:
    answer = get(running, path, request())
    assert answer.status == 200
    assert len(answer.body) > 1000


async def test_the_page_may_run_its_own_scripts_only(running: DevRooms) -> None:
    answer = running.page(request())
    policy = dict(answer.headers)[b"content-security-policy"].decode()
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    port = running.port
    sources = f"ws://localhost:{port} http://localhost:{port} ws://127.0.0.1:{port} http://127.0.0.1:{port}"
    assert f"connect-src 'self' {sources};" in policy
    assert b"<script>" not in answer.body
    assert b"style=" not in answer.body


async def test_a_taken_port_is_told_and_ends_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        made = rooms(taken.getsockname()[1])
        await made.start()
    assert made.port == 0
    assert "is taken" in made.why_off
    assert "--rooms-port" in made.why_off
    await made.stop()


async def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "roombell.rooms.server", None)
    made = rooms()
    await made.start()
    assert (made.port, made.why_off) == (0, "not installed: pip install 'roombell[rooms]'")


# What happens, live


def accepted(number: int) -> EventAccepted:
    return EventAccepted(f"EV_{number}", "participant_joined", deliveries=2, duplicate=False, accepted_at_ms=number)


def attempted(number: int, decision: str = "delivered") -> AttemptFinished:
    body = sample("participant_joined", room="lab", identity="alice")
    delivery = Delivery(LaneId(1), Sequence(1), f"EV_{number}", "participant_joined", number, 0, body)
    attempt = AttemptRecord(1, 0, 5, "answered", 200, "")
    return AttemptFinished("app", delivery, attempt, decision, "", 0, 7, "lab")


async def told(feed: LiveFeed, after: int = 0) -> dict:
    answer = await feed.handle(request(f"after={after}"))
    return json.loads(answer.body)


async def test_an_event_is_told_with_what_became_of_its_deliveries() -> None:
    feed = LiveFeed()
    feed.observe(accepted(1))
    feed.observe(attempted(1))
    (event,) = (await told(feed))["events"]
    assert (event["id"], event["room"], event["participant"], event["owed"]) == ("EV_1", "lab", "alice", 2)
    assert event["deliveries"] == {
        "app": {"state": "delivered", "attempt": 1, "status": 200, "detail": "", "took_ms": 7}
    }


async def test_only_what_changed_is_told_and_who_asks_too_early_waits() -> None:
    feed = LiveFeed()
    feed.observe(accepted(1))
    version = (await told(feed))["version"]
    waiting = asyncio.ensure_future(told(feed, version))
    await asyncio.sleep(0)
    assert not waiting.done()
    feed.observe(accepted(2))
    assert [event["id"] for event in (await waiting)["events"]] == ["EV_2"]


async def test_a_feed_that_is_closed_lets_nobody_wait() -> None:
    feed = LiveFeed()
    waiting = asyncio.ensure_future(told(feed))
    await asyncio.sleep(0)
    feed.close()
    assert await waiting == {"version": 0, "events": []}
    assert await told(feed, 5) == {"version": 0, "events": []}


async def test_the_feed_remembers_so_many_events() -> None:
    feed = LiveFeed()
    for number in range(EVENTS_MAX + 5):
        feed.observe(accepted(number))
    events = (await told(feed))["events"]
    assert (len(events), events[0]["id"]) == (EVENTS_MAX, "EV_5")


@pytest.mark.parametrize("after", ["x", "-1", "9" * 30])
async def test_a_version_that_is_none_is_taken_for_the_first(after: str) -> None:
    feed = LiveFeed()
    feed.observe(accepted(1))
    answer = await feed.handle(request(f"after={after}"))
    assert len(json.loads(answer.body)["events"]) == 1
