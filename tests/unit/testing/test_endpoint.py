"""The scripted endpoint, seen by a client that is not ours: bare sockets and the standard library."""

import asyncio
import json

import pytest

from roombell.errors import EventError, PeerError, UsageError
from roombell.testing import behaviours as play
from roombell.testing.endpoint import NotReceived, ScriptedEndpoint, ScriptError

BODY = b'{"event":"room_started","room":{"name":"demo"},"id":"EV_1"}'


def request_bytes(body: bytes = BODY, **headers: str) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return (
        "\r\n".join(["POST /webhook?x=1 HTTP/1.1", "Host: a", *lines, f"Content-Length: {len(body)}", "", ""]).encode()
        + body
    )


async def open_to(endpoint: ScriptedEndpoint):
    return await asyncio.open_connection("127.0.0.1", endpoint.port)


async def exchange(endpoint: ScriptedEndpoint, *requests: bytes) -> bytes:
    """All that comes back until the endpoint closes, or until the last request's answer for one that keeps it."""
    reader, writer = await open_to(endpoint)
    try:
        for request in requests:
            writer.write(request)
            await endpoint.wait_for(len(endpoint.requests) + 1)
        return await reader.read()
    finally:
        writer.close()


async def test_requests_are_recorded_as_they_came():
    async with ScriptedEndpoint(play.close()) as endpoint:
        told = {"Webhook_Id": "EV_1%0A", "Webhook_Attempt": "2", "webhook_sequence": "7", "Webhook_Lane": "a-1"}
        await exchange(endpoint, request_bytes(**told))
        (request,) = await endpoint.wait_for(1)
    assert (request.method, request.target, request.body, request.connection) == ("POST", "/webhook?x=1", BODY, 1)
    assert (request.event_id, request.attempt, request.sequence, request.lane) == ("EV_1\n", 2, 7, "a-1")
    assert request.headers[0] == ("Host", "a")
    assert request.header("HOST") == "a"
    assert request.header("X-Other") is None
    assert (request.event.type, request.event.room_name) == ("room_started", "demo")


async def test_what_a_stranger_sends_is_recorded_and_told_when_it_is_asked_for():
    async with ScriptedEndpoint(play.close()) as endpoint:
        await exchange(endpoint, request_bytes(b"not json"))
    (request,) = endpoint.requests
    with pytest.raises(PeerError, match="no Webhook-Attempt header"):
        _ = request.attempt
    with pytest.raises(EventError):
        _ = request.event


async def test_a_sequence_is_played_in_turn_and_its_last_step_repeats():
    async with ScriptedEndpoint([play.reply(503), play.reply(200)], requests_per_connection_max=4) as endpoint:
        answers = await exchange(endpoint, *[request_bytes()] * 4)
    assert [line for line in answers.split(b"\r\n") if line.startswith(b"HTTP")] == [
        b"HTTP/1.1 503 Service Unavailable",
        *[b"HTTP/1.1 200 OK"] * 3,
    ]


async def test_a_function_chooses_by_the_request():
    def choose(request):
        return play.close(json.loads(request.body)["id"].encode())

    async with ScriptedEndpoint(choose) as endpoint:
        assert await exchange(endpoint, request_bytes()) == b"EV_1"


async def test_another_script_can_be_played_at_any_time():
    async with ScriptedEndpoint(play.close(b"first")) as endpoint:
        assert await exchange(endpoint, request_bytes()) == b"first"
        endpoint.play(play.close(b"second"))
        assert await exchange(endpoint, request_bytes()) == b"second"


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (play.close(), b""),
        (play.close(b"HTTP/1.1 2"), b"HTTP/1.1 2"),
        (play.drip(b"HTTP/1.1 204 No Content\r\n\r\n", ending="close"), b"HTTP/1.1 204 No Content\r\n\r\n"),
        (play.http_1_0(200, b"old"), b"HTTP/1.0 200 OK\r\n\r\nold"),
        (play.truncated_body(), b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npartial"),
        (play.raw(b"a", b"b", ending="close"), b"ab"),
    ],
)
async def test_behaviours_that_close_send_what_they_say(behaviour, expected):
    async with ScriptedEndpoint(behaviour) as endpoint:
        assert await exchange(endpoint, request_bytes()) == expected


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (play.reply(200, b"ok"), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        (play.reply(299), b"HTTP/1.1 299 Unknown\r\nContent-Length: 0\r\n\r\n"),
        (play.redirect("http://b/"), b"HTTP/1.1 302 Found\r\nLocation: http://b/\r\nContent-Length: 0\r\n\r\n"),
        (
            play.interim(2, then=play.reply(204)),
            b"HTTP/1.1 100 Continue\r\n\r\n" * 2 + b"HTTP/1.1 204 No Content\r\n\r\n",
        ),
        (play.no_content_with_body(), b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nbody"),
        (play.surplus(b"more"), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nmore"),
        (play.garbage(b"\x00\x01"), b"\x00\x01"),
        (play.dripping_header(), b"HTTP/1.1 200 OK\r\nX-Endless: xx"),
        (play.dripping_body(), b"HTTP/1.1 200 OK\r\nContent-Length: 4611686018427387904\r\n\r\nxx"),
        (play.endless_body(), b"HTTP/1.1 200 OK\r\nContent-Length: 4611686018427387904\r\n\r\n" + b"x" * 1_000_000),
        (play.giant_header(100_000), b"HTTP/1.1 200 OK\r\nX-Giant: " + b"x" * 100_000),
        (play.invalid_chunking(), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a chunk size\r\n"),
    ],
)
async def test_behaviours_that_keep_the_connection_send_what_they_say(behaviour, expected):
    async with ScriptedEndpoint(behaviour) as endpoint:
        reader, writer = await open_to(endpoint)
        writer.write(request_bytes())
        assert await reader.readexactly(len(expected)) == expected
        writer.transport.abort()


async def test_a_reset_is_a_reset():
    async with ScriptedEndpoint(play.reset()) as endpoint:
        with pytest.raises(ConnectionResetError):
            await exchange(endpoint, request_bytes())


async def test_a_held_answer_comes_when_the_test_says_so():
    released = asyncio.Event()
    async with ScriptedEndpoint(play.hold(released, play.close(b"now"))) as endpoint:
        answer = asyncio.ensure_future(exchange(endpoint, request_bytes()))
        await endpoint.wait_for(1)
        assert not answer.done()
        released.set()
        assert await answer == b"now"


async def test_a_refusing_endpoint_keeps_its_port_and_comes_back():
    async with ScriptedEndpoint(play.close(b"back")) as endpoint:
        port = endpoint.port
        await endpoint.refuse()
        with pytest.raises(ConnectionRefusedError):
            await open_to(endpoint)
        await endpoint.listen()
        assert endpoint.port == port
        assert await exchange(endpoint, request_bytes()) == b"back"


async def test_a_black_hole_takes_connections_and_reads_nothing():
    async with ScriptedEndpoint() as endpoint:
        await endpoint.black_hole()
        _, writer = await open_to(endpoint)
        writer.write(request_bytes())
        await endpoint.listen()
        assert endpoint.requests == []
        assert endpoint.connections_count == 0
        writer.transport.abort()


async def test_dropping_connections_is_seen_by_clients():
    async with ScriptedEndpoint() as endpoint:
        reader, writer = await open_to(endpoint)
        writer.write(request_bytes())
        await reader.readuntil(b"\r\n\r\n")
        assert endpoint.open_connections_count == 1
        endpoint.drop_connections()
        assert await reader.read() == b""
        writer.close()


async def test_what_does_not_come_is_told_with_the_counts():
    async with ScriptedEndpoint() as endpoint:
        with pytest.raises(NotReceived, match=r"0 of 2 requests came within 0\.01 s") as told:
            await endpoint.wait_for(2, deadline_s=0.01)
    assert (told.value.expected, told.value.received) == (2, 0)


async def test_a_script_that_fails_fails_the_test():
    def choose(_):
        raise KeyError("no such answer")

    with pytest.raises(ScriptError, match="KeyError: 'no such answer'"):
        async with ScriptedEndpoint(choose) as endpoint:
            assert await exchange(endpoint, request_bytes()) == b""


async def test_a_script_that_fails_ends_the_waiting():
    def choose(_):
        raise KeyError("no such answer")

    async with ScriptedEndpoint(choose) as endpoint:
        _, writer = await open_to(endpoint)
        writer.write(request_bytes())
        with pytest.raises(ScriptError):
            await endpoint.wait_for(2)
        writer.transport.abort()


def test_an_empty_script_is_refused():
    with pytest.raises(UsageError, match="at least one"):
        ScriptedEndpoint([])


async def test_an_endpoint_can_be_closed_in_the_middle_of_anything():
    released = asyncio.Event()
    async with ScriptedEndpoint([play.hold(released), play.silence(), play.endless_body()]) as endpoint:
        writers = [(await open_to(endpoint))[1] for _ in range(3)]
        for number, writer in enumerate(writers):
            writer.write(request_bytes())
            await endpoint.wait_for(number + 1)
    assert endpoint.open_connections_count == 0
    for writer in writers:
        writer.transport.abort()
