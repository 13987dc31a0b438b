"""Whatever bytes come, in whatever pieces: an answer or a close, and never an exception."""

from __future__ import annotations

import asyncio
import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roombell.service.connection import Connection, Hub
from roombell.service.limits import HttpLimits
from roombell.service.messages import Response, json_response
from roombell.service.router import Router
from roombell.service.wire import ResponseEncoder

PARTS = [
    b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\n", b"POST / HTTP/1.0\r\n", b"HEAD / HTTP/1.1\r\n", b"Host: a\r\n",
    b"Content-Length: 3\r\n", b"Content-Length: 400\r\n", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n",
    b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: x\r\n", b"\r\n", b"abc", b"3\r\nabc\r\n", b"0\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\n", b"OPTIONS * HTTP/1.1\r\n", b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n", b"\x00", b"\n", b" ",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", b"x" * 300,
]  # fmt: skip
STREAMS = st.lists(st.sampled_from(PARTS) | st.binary(max_size=20), max_size=25).map(b"".join)
ANSWER = re.compile(rb"HTTP/1\.1 (\d{3}) ")


class Transport(asyncio.Transport):
    """A socket's other side, which takes everything in."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.written = b""
        self.closed = self.half_closed = self.paused = False

    def write(self, data) -> None:
        assert not self.closed, "written after the close"
        assert not self.half_closed, "written after the end"
        self.written += bytes(data)

    def write_eof(self) -> None:
        self.half_closed = True

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False


async def _later(_request) -> Response:
    await asyncio.sleep(0)
    return json_response({})


def _hub() -> Hub:
    router = Router()
    router.add("/", GET=lambda _: json_response({}), POST=lambda request: Response(200, request.body))
    router.add("/later", GET=_later)
    limits = HttpLimits(body_bytes_max=350, head_bytes_max=600, pipeline_max=3)
    return Hub(router, limits, ResponseEncoder(0))


async def _converse(stream: bytes, sizes: list[int]) -> tuple[Hub, Transport]:
    hub, transport = _hub(), Transport()
    connection = Connection(hub, 0.0)
    connection.connection_made(transport)
    while stream:
        size = sizes.pop() if sizes else len(stream)
        piece, stream = stream[:size], stream[size:]
        if not transport.closed:
            connection.data_received(piece)
        for _ in range(4):
            await asyncio.sleep(0)
    while hub.tasks:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    for now_s in (0.0, 40.0, 80.0, 160.0, 240.0):
        connection.sweep(now_s)
        await asyncio.sleep(0)
    assert transport.closed, "a connection that nobody uses stays open"
    connection.connection_lost(None)
    return hub, transport


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stream=STREAMS, sizes=st.lists(st.integers(1, 50), max_size=40))
def test_any_bytes_are_answered_or_the_connection_ends(stream, sizes, caplog):
    caplog.clear()
    hub, transport = asyncio.run(_converse(stream, sizes))
    assert caplog.records == []
    assert transport.written == b"" or ANSWER.match(transport.written)
    assert all(int(status) < 500 or int(status) in (501, 505) for status in ANSWER.findall(transport.written))
    assert hub.bodies.held == 0
    assert not hub.connections


@settings(max_examples=150, deadline=None)
@given(stream=STREAMS, sizes=st.lists(st.integers(1, 50), max_size=60))
def test_how_the_bytes_are_cut_changes_no_answer(stream, sizes):
    _, whole = asyncio.run(_converse(stream, []))
    _, cut = asyncio.run(_converse(stream, sizes))
    assert ANSWER.findall(cut.written) == ANSWER.findall(whole.written)
