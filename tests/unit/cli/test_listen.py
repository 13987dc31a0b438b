"""`roombell listen` as a process, and what it notices."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time

from roombell.cli.http_client import Reply, fetch
from roombell.cli.listening import LANES_MAX, Lanes
from roombell.signing import KeyRing
from roombell.testing.behaviours import reply
from roombell.testing.endpoint import ScriptedEndpoint
from roombell.testing.payloads import sample

RING = KeyRing({"devkey": "secret"})


async def post(url: str, body: bytes, *headers: tuple[str, str], signed: bool = True) -> Reply:
    token = (("Authorization", RING.sign(body, api_key="devkey", now=time.time())),) if signed else ()
    answer = await asyncio.to_thread(fetch, "POST", url, headers=(*token, *headers), body=body, timeout_s=60)
    assert isinstance(answer, Reply), answer
    return answer


async def test_events_are_shown_verified_and_the_end_is_summed_up(start, cli):
    listener = await start("listen", "--port", "0")
    url = await listener.url()
    assert (await cli("trigger", "call", "--to", f"{url}/any/path?x=1", "--room", "acme")).code == 0
    line = (await listener.until(".*participant_joined.*bob.*"))[0]
    assert "verified" in line
    assert "room=acme" in line
    assert "#5" not in line or "participant_joined" in line
    assert await listener.stop(signal.SIGINT) == 130
    assert listener.lines[-1] == "15 received, 15 verified, 0 missing."


async def test_what_is_not_verified_is_shown_with_the_reason_and_refused(start):
    listener = await start("listen", "--port", "0")
    url = await listener.url()
    assert (await post(url, sample("room_started"), signed=False)).status == 401
    assert "There is no Authorization header." in (await listener.until("NOT VERIFIED.*"))[0]
    assert (await post(url, b'{"event":""}')).status == 400
    assert (await asyncio.to_thread(fetch, "GET", url, timeout_s=60)).status == 405
    assert await listener.stop() == 0
    assert listener.lines[-1] == "2 received, 0 verified, 0 missing."


async def test_json_is_one_object_a_line_and_nothing_else_on_stdout(start):
    listener = await start("listen", "--port", "0", "--json")
    url = await listener.url()
    body = sample("participant_joined", room="\x1b[31m", id="EV_1")
    await post(url, body, ("Webhook-Lane", "l%201"), ("Webhook-Sequence", "7"), ("Webhook-Attempt", "2"))
    record = json.loads((await listener.until(r"^\{.*"))[0])
    assert record | {"received_at_ms": 0} == {
        "received_at_ms": 0, "verified": True, "api_key": "devkey", "error": "", "event": "participant_joined",
        "id": "EV_1", "room": "\x1b[31m", "participant": "alice", "track": "", "egress": "", "ingress": "",
        "lane": "l 1", "sequence": 7, "attempt": 2, "missing": 0, "repeated": False, "body_bytes": len(body),
        "forwarded": None,
    }  # fmt: skip
    await listener.stop()


async def test_a_gap_and_a_repeat_are_noticed(start):
    listener = await start("listen", "--port", "0")
    url = await listener.url()
    for sequence in (3, 4, 7, 4):
        body = sample("room_started", id=f"EV_{sequence}")
        await post(url, body, ("Webhook-Lane", "lane-1"), ("Webhook-Sequence", str(sequence)))
    await listener.until("gap +2 missing before #7 of lane lane-1")
    await listener.until("id=EV_4 .*#4.*repeated")
    await listener.stop()
    assert listener.lines[-1] == "4 received, 4 verified, 2 missing."


async def test_what_strangers_wrote_cannot_steer_the_terminal(start):
    listener = await start("listen", "--port", "0")
    await post(await listener.url(), sample("room_started", room="\x1b[2J\r\nfake"))
    line = (await listener.until(".*room=.*"))[0]
    assert "\x1b" not in line
    assert r"\x1b[2J\r\nfake" in line
    await listener.stop()


async def test_a_webhook_is_handed_on_unchanged_with_its_own_headers_and_the_answer_comes_back(start):
    answer = reply(422, body=b"<no>", headers=(("Content-Type", "text/x"), ("Retry-After", "7"), ("X-Other", "1")))
    async with ScriptedEndpoint(answer) as target:
        listener = await start("listen", "--port", "0", "--forward-to", target.url)
        url = await listener.url()
        body = b'{"event": "room_started",   "room": {"name": "\xc3\xa9"}}\n'
        came_back = await post(
            url, body,
            ("Content-Type", "application/webhook+json"), ("User-Agent", "LiveKit"), ("Webhook-Id", "EV_1"),
            ("Webhook-Sequence", "1"), ("X-Secret", "stays here"),
        )  # fmt: skip
        await listener.until("verified.*-> 422 in")
        await listener.stop()
    (request,) = target.requests
    assert request.body == body
    assert RING.verify(request.header("Authorization"), request.body, now=time.time()).api_key == "devkey"
    told = {name.lower(): value for name, value in request.headers}
    assert told["content-type"] == "application/webhook+json"
    assert told["user-agent"] == "LiveKit"
    assert (told["webhook-id"], told["webhook-sequence"]) == ("EV_1", "1")
    assert "x-secret" not in told
    assert (came_back.status, came_back.body) == (422, b"<no>")
    assert (came_back.headers["content-type"], came_back.headers["retry-after"]) == ("text/x", "7")
    assert "x-other" not in came_back.headers


async def test_what_is_not_verified_is_handed_on_all_the_same(start):
    async with ScriptedEndpoint(reply(401)) as target:
        listener = await start("listen", "--port", "0", "--forward-to", target.url)
        assert (await post(await listener.url(), sample("room_started"), signed=False)).status == 401
        await listener.until("NOT VERIFIED.*-> 401")
        await listener.stop()
    assert target.requests[0].header("Authorization") is None


async def test_a_target_that_is_down_is_answered_with_502(start):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        target = f"http://127.0.0.1:{free.getsockname()[1]}/hook"
        listener = await start("listen", "--port", "0", "--forward-to", target)
        came_back = await post(await listener.url(), sample("room_started"))
        await listener.until("-> 502: .*refused the connection")
        await listener.stop()
    assert came_back.status == 502
    assert b"refused the connection" in came_back.body


async def test_a_target_that_speaks_no_http_is_answered_with_502(start):
    async def babble(_reader, writer):
        writer.write(b"220 mail.example.com ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        target = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        listener = await start("listen", "--port", "0", "--forward-to", target)
        assert (await post(await listener.url(), sample("room_started"))).status == 502
        await listener.stop()


async def test_a_taken_port_is_told_with_the_mend(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listener = await start("listen", "--port", str(taken.getsockname()[1]))
        assert await listener.ended() == 5
    (line,) = listener.lines
    assert line.endswith("Address already in use. Choose another with --port.")


def test_numbering_is_followed_lane_by_lane():
    lanes = Lanes()
    assert lanes.take("a", 5) == (0, False)
    assert lanes.take("b", 1) == (0, False)
    assert lanes.take("a", 6) == (0, False)
    assert lanes.take("a", 9) == (2, False)
    assert lanes.take("a", 8) == (0, True)
    assert lanes.take("a", 10) == (0, False)
    assert lanes.take("", 3) == lanes.take("b", 0) == (0, False)


def test_the_lanes_that_are_remembered_are_bounded():
    lanes = Lanes()
    for number in range(LANES_MAX + 10):
        lanes.take(f"lane-{number}", 1)
    assert len(lanes._last) == LANES_MAX
    assert lanes.take("lane-0", 9) == (0, False)
    assert lanes.take(f"lane-{LANES_MAX}", 9) == (7, False)
