"""The server over real sockets, with raw bytes."""

from __future__ import annotations

import asyncio
import logging

import pytest

from roombell.errors import ConfigError, Overloaded, UsageError
from roombell.service.http import HttpServer
from roombell.service.limits import HttpLimits
from roombell.service.messages import Deferred, Response, json_response
from roombell.service.reader import SLICE_BYTES, Phase
from roombell.service.router import Router

HOST = b"Host: a\r\n"
HELLO = b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"


class Later(Deferred):
    """Answers when the test says so."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked = 0
        self.future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def when_done(self, callback) -> None:
        self.future.add_done_callback(callback)

    def response(self) -> Response:
        self.asked += 1
        return self.future.result()


class Handlers:
    def __init__(self) -> None:
        self.later: list[Later] = []
        self.gates: list[asyncio.Future[None]] = []
        self.requests = []

    def hello(self, request):
        self.requests.append(request)
        return json_response({"hello": request.query})

    def echo(self, request):
        self.requests.append(request)
        return Response(200, request.body, b"application/octet-stream")

    def deferred(self, request):
        later = Later(request.query)
        self.later.append(later)
        return later

    async def coroutine(self, request):
        gate = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        await gate
        return json_response({"waited": True})

    def future(self, request):
        future = asyncio.get_running_loop().create_future()
        future.set_result(json_response({"future": True}))
        return future

    def broken(self, request):
        raise ValueError("secret detail")

    async def broken_later(self, request):
        raise ValueError("secret detail")

    def overloaded(self, request):
        raise Overloaded("Too much.", retry_after_s=7)

    def big(self, request):
        return Response(200, b"x" * 4_000_000, b"text/plain")


@pytest.fixture
def handlers() -> Handlers:
    return Handlers()


def routes(handlers: Handlers) -> Router:
    router = Router()
    router.add("/hello", GET=handlers.hello)
    router.add("/echo", POST=handlers.echo)
    router.add("/deferred", GET=handlers.deferred, POST=handlers.deferred)
    router.add("/coroutine", GET=handlers.coroutine)
    router.add("/future", GET=handlers.future)
    router.add("/broken", GET=handlers.broken)
    router.add("/broken-later", GET=handlers.broken_later)
    router.add("/overloaded", GET=handlers.overloaded)
    router.add("/big", GET=handlers.big)
    return router


@pytest.fixture
async def server(rig, handlers):
    return await rig.serve(routes(handlers), HttpLimits(body_bytes_max=100_000))


def post(body: bytes, headers: bytes = b"", path: bytes = b"/echo") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n%b" % (path, len(body), headers, body)


# Plain requests --------------------------------------------------------------------------------------------------


async def test_answers_with_date_length_and_type(rig, server):
    answer = await rig.ask(HELLO)
    assert (answer.status, answer.json) == (200, {"hello": ""})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["date"] == "Mon, 12 Jan 1970 13:46:40 GMT"
    assert "connection" not in answer.headers


async def test_the_date_follows_the_clock_at_each_sweep(rig, server):
    rig.pass_time(5)
    assert (await rig.ask(HELLO)).headers["date"] == "Mon, 12 Jan 1970 13:46:45 GMT"


async def test_a_handler_sees_the_request_as_it_was_sent(rig, server, handlers):
    client = await rig.connect()
    await client.ask(post(b"body", b"X-Two: a\r\nx-two:  b \t\r\nX-Empty:\r\nX-High: \xff\r\n", b"/echo?a=1&b=%20#no"))
    request = handlers.requests[0]
    assert (request.method, request.path, request.query, request.body) == ("POST", "/echo", "a=1&b=%20", b"body")
    assert request.headers[b"x-two"] == b"a, b"
    assert request.headers[b"x-empty"] == b""
    assert request.text(b"x-high") == "\xff"
    assert request.text(b"x-none") is None
    assert request.peer.startswith("127.0.0.1:")


async def test_a_connection_serves_many_requests(rig, server):
    client = await rig.connect()
    for _ in range(50):
        assert (await client.ask(HELLO)).status == 200
    assert server.connections == 1


async def test_bytes_one_by_one_make_the_same_request(rig, server):
    client = await rig.connect()
    for byte in post(b"slow", b"X: y\r\n"):
        client.send(bytes([byte]))
        await client.writer.drain()
        await asyncio.sleep(0)
    assert (await client.answer()).body == b"slow"


async def test_coroutines_futures_and_deferred_answers_all_answer(rig, server, handlers):
    client = await rig.connect()
    assert (await client.ask(b"GET /future HTTP/1.1\r\nHost: a\r\n\r\n")).json == {"future": True}
    client.send(b"GET /coroutine HTTP/1.1\r\nHost: a\r\n\r\n")
    await rig.until(lambda: handlers.gates)
    handlers.gates[0].set_result(None)
    assert (await client.answer()).json == {"waited": True}
    client.send(b"GET /deferred HTTP/1.1\r\nHost: a\r\n\r\n")
    await rig.until(lambda: handlers.later)
    handlers.later[0].future.set_result(json_response({"later": True}))
    assert (await client.answer()).json == {"later": True}


async def test_head_has_the_length_and_no_body(rig, server):
    client = await rig.connect()
    answer = await client.ask(b"HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n", head=True)
    assert (answer.status, answer.headers["content-length"]) == (200, "12")
    assert await client.is_open()


async def test_options_tells_what_is_allowed(rig, server):
    client = await rig.connect()
    answer = await client.ask(b"OPTIONS /hello HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (answer.status, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert "content-length" not in answer.headers
    assert (await client.ask(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")).status == 204


async def test_another_method_is_405_with_allow_and_the_connection_goes_on(rig, server):
    client = await rig.connect()
    for method in (b"GET", b"PUT", b"DELETE", b"TRACE", b"PROPFIND"):
        answer = await client.ask(method + b" /echo HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (answer.status, answer.headers["allow"]) == (405, "OPTIONS, POST")
        assert answer.json["error"] == "method_not_allowed"
    assert await client.is_open()


async def test_an_unknown_path_is_404_and_its_body_is_read(rig, server):
    client = await rig.connect()
    answer = await client.ask(post(b"x" * 5000, path=b"/nothing"))
    assert (answer.status, answer.json["error"]) == (404, "not_found")
    assert await client.is_open()


@pytest.mark.parametrize("target", [b"http://a/hello", b"HTTP://a:80/hello?", b"https://a/hello"])
async def test_an_absolute_target_is_taken_by_its_path(rig, server, target):
    assert (await rig.ask(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")).status == 200


@pytest.mark.parametrize("target", [b"*", b"http:///hello", b"http://u@a/hello", b"ftp://a/hello"])
async def test_a_target_in_no_known_form_is_400(rig, server, target):
    assert (await rig.ask(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")).status == 400


async def test_http10_closes_unless_asked_to_stay(rig, server):
    client = await rig.connect()
    answer = await client.ask(b"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert (answer.status, answer.headers["connection"]) == (200, "keep-alive")
    answer = await client.ask(b"GET /hello HTTP/1.0\r\n\r\n")
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await client.rest() == b""


async def test_connection_close_is_obeyed_and_later_bytes_are_ignored(rig, server, handlers):
    client = await rig.connect()
    client.send(b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + HELLO)
    assert (await client.answer()).headers["connection"] == "close"
    assert await client.rest() == b""
    assert len(handlers.requests) == 1


async def test_a_half_closed_client_gets_its_answers(rig, server, handlers):
    client = await rig.connect()
    client.send(b"GET /deferred HTTP/1.1\r\nHost: a\r\n\r\n" + HELLO + b"GET /half")
    client.writer.write_eof()
    await rig.until(lambda: len(handlers.requests) == 1)
    handlers.later[0].future.set_result(json_response(1))
    assert (await client.answer()).json == 1
    assert (await client.answer()).json == {"hello": ""}
    assert await client.rest() == b""


async def test_an_upgrade_is_ignored_and_the_body_read(rig, server):
    client = await rig.connect()
    headers = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    assert (await client.ask(post(b"kept", headers))).body == b"kept"
    client.send(post(b"one", headers) * 3 + HELLO)
    assert [(await client.answer()).body for _ in range(3)] == [b"one"] * 3
    assert (await client.answer()).status == 200
    assert (await client.ask(HELLO[:-2] + b"Connection: upgrade, close\r\nUpgrade: x\r\n\r\n")).headers[
        "connection"
    ] == "close"


# Failing handlers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [b"/broken", b"/broken-later"])
async def test_a_failing_handler_is_a_500_without_details_logged_once(rig, server, caplog, path):
    client = await rig.connect()
    answer = await client.ask(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (answer.status, answer.json["error"]) == (500, "internal")
    assert b"secret" not in answer.body
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1
    assert await client.is_open()


async def test_our_own_errors_answer_for_themselves(rig, server):
    answer = await rig.ask(b"GET /overloaded HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (answer.status, answer.headers["retry-after"]) == (503, "7")
    assert answer.json == {"error": "overloaded", "message": "Too much."}


async def test_a_usage_error_tells_the_client_nothing(rig, handlers, caplog):
    def misused(_request):
        raise UsageError("inside")

    router = Router()
    router.add("/", GET=misused)
    await rig.serve(router)
    answer = await rig.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (answer.status, b"inside" in answer.body) == (500, False)


# Bodies ----------------------------------------------------------------------------------------------------------


async def test_chunked_bodies_with_extensions_and_trailers_are_read(rig, server, handlers):
    client = await rig.connect()
    body = b"3;a=b\r\nabc\r\n5\r\ndefgh\r\n0\r\nX-Trailer: t\r\nHost: b\r\n\r\n"
    answer = await client.ask(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n" + body)
    assert (answer.status, answer.body) == (200, b"abcdefgh")
    assert b"x-trailer" not in handlers.requests[0].headers
    assert await client.is_open()


async def test_a_body_of_exactly_the_limit_is_taken(rig, server):
    client = await rig.connect()
    assert len((await client.ask(post(b"x" * 100_000))).body) == 100_000
    assert await client.is_open()
    assert server.body_bytes_held == 0


async def test_an_announced_body_over_the_limit_is_413_before_it_is_sent(rig, server):
    client = await rig.connect()
    answer = await client.ask(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n")
    assert (answer.status, answer.json["error"], answer.headers["connection"]) == (413, "body_too_large", "close")
    client.send(b"x" * 100_001)
    assert await client.rest() == b""


async def test_a_chunked_body_is_413_as_soon_as_it_passes_the_limit(rig, server):
    client = await rig.connect()
    client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.send((b"%x\r\n" % 60_000 + b"x" * 60_000 + b"\r\n") * 2)
    assert (await client.answer()).status == 413
    assert server.body_bytes_held == 0


async def test_a_refused_client_that_still_sends_gets_to_read_why(rig, server):
    client = await rig.connect()
    client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)
    assert (await client.answer()).status == 413


async def test_endless_chunk_extensions_and_trailers_are_refused(rig, server):
    for noise in (b"1;" + b"e" * 200_000, b"1\r\nx\r\n0\r\nX-T: " + b"t" * 200_000):
        client = await rig.connect()
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + noise)
        assert (await client.answer()).status == 400


async def test_all_bodies_together_are_bounded(rig, handlers):
    server = await rig.serve(routes(handlers), HttpLimits(bodies_bytes_max=10_000))
    first, second = await rig.connect(), await rig.connect()
    first.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n" + b"x" * 8_000)
    await rig.until(lambda: server.body_bytes_held == 8_000)
    assert (await second.ask(post(b"x" * 3_000))).status == 503
    first.send(b"x" * 1_000)
    assert (await first.answer()).status == 200
    assert server.body_bytes_held == 0


async def test_a_client_that_leaves_in_its_body_leaves_nothing_behind(rig, server):
    client = await rig.connect()
    client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n" + b"x" * 8_000)
    await rig.until(lambda: server.body_bytes_held == 8_000)
    await client.close()
    await rig.until(lambda: server.connections == 0)
    assert server.body_bytes_held == 0


# Expect ----------------------------------------------------------------------------------------------------------


async def test_expect_gets_a_100_and_then_its_answer(rig, server):
    client = await rig.connect()
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-Continue\r\n\r\n"
    assert (await client.ask(head)).status == 100
    assert (await client.ask(b"abc")).body == b"abc"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\nExpect: 100-continue\r\n\r\n", 413),
        (b"POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n", 404),
        (b"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n", 405),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: a-miracle\r\n\r\n", 417),
    ],
)
async def test_expect_is_answered_finally_where_the_body_is_of_no_use(rig, server, head, status):
    client = await rig.connect()
    assert (await client.ask(head)).status == status
    assert await client.rest() == b""


async def test_a_100_never_overtakes_an_answer(rig, server, handlers):
    client = await rig.connect()
    client.send(b"GET /deferred HTTP/1.1\r\nHost: a\r\n\r\n")
    client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    await rig.until(lambda: handlers.later)
    handlers.later[0].future.set_result(json_response(1))
    assert [(await client.answer()).status for _ in range(2)] == [200, 100]
    assert (await client.ask(b"abc")).body == b"abc"


async def test_http10_gets_no_100(rig, server):
    head = b"POST /echo HTTP/1.0\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc"
    assert (await rig.ask(head)).body == b"abc"


# Pipelining ------------------------------------------------------------------------------------------------------


async def test_pipelined_requests_run_together_and_are_answered_in_order(rig, server, handlers):
    client = await rig.connect()
    client.send(b"".join(b"GET /deferred?%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(8)))
    await rig.until(lambda: len(handlers.later) == 8)
    for later in reversed(handlers.later):
        later.future.set_result(json_response(later.name))
    assert [(await client.answer()).json for _ in range(8)] == [str(n) for n in range(8)]


async def test_at_most_sixteen_requests_of_a_connection_run_at_once(rig, server, handlers):
    client = await rig.connect()
    total = 2_000
    client.send(b"".join(b"GET /deferred?%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(total)))
    await rig.until(lambda: len(handlers.later) == 16)
    for n in range(total):
        await rig.until(lambda n=n: len(handlers.later) > n)
        assert len(handlers.later) <= n + 16
        handlers.later[n].future.set_result(json_response(n))
        assert (await client.answer()).json == n
    assert await client.is_open()


async def test_pipelined_bodies_larger_than_one_piece_keep_their_borders(rig, server):
    client = await rig.connect()
    bodies = [bytes([65 + n]) * (SLICE_BYTES + n) for n in range(20)]
    client.send(b"".join(post(body) for body in bodies))
    assert [(await client.answer()).body for _ in bodies] == bodies


async def test_a_bad_request_in_a_pipeline_is_answered_in_its_turn(rig, server, handlers):
    client = await rig.connect()
    client.send(b"GET /deferred HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n")
    await rig.until(lambda: handlers.later)
    handlers.later[0].future.set_result(json_response(1))
    assert [(await client.answer()).status for _ in range(2)] == [200, 400]
    assert await client.rest() == b""


async def test_a_client_that_takes_no_answers_in_is_not_served_further(rig, server, handlers):
    client = await rig.connect()
    client.writer.transport.pause_reading()
    client.send(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n" + b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n" * 3 + HELLO)
    await rig.until(lambda: server.answers_by_status.get(200, 0) == 1)
    assert handlers.requests == []
    client.writer.transport.resume_reading()
    assert [len((await client.answer()).body) for _ in range(4)] == [4_000_000] * 4
    assert (await client.answer()).status == 200


async def test_a_client_that_takes_no_answers_in_is_cut_in_the_end(rig, server):
    client = await rig.connect()
    client.writer.transport.pause_reading()
    client.send(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
    await rig.until(lambda: server.answers_by_status.get(200, 0) == 1)
    rig.pass_time(31)
    await rig.until(lambda: server.connections == 0)


# Deadlines -------------------------------------------------------------------------------------------------------


async def test_headers_that_drip_are_408(rig, server):
    client = await rig.connect()
    client.send(b"GE")
    await rig.until(lambda: [c._reader.phase for c in server._hub.connections] == [Phase.HEAD])
    client.send(b"T /hello HTTP/1.1\r\n")
    for _ in range(6):
        rig.pass_time(2)
        client.send(b"X: y\r\n")
        await asyncio.sleep(0)
    answer = await client.answer()
    assert (answer.status, answer.json["error"]) == (408, "timeout")
    assert await client.rest() == b""


async def test_a_body_that_drips_is_408(rig, server):
    client = await rig.connect()
    client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx")
    await rig.until(lambda: server.body_bytes_held)
    rig.pass_time(29)
    client.send(b"x")
    await rig.until(lambda: server.body_bytes_held == 2)
    rig.pass_time(2)
    assert (await client.answer()).status == 408
    assert server.body_bytes_held == 0


async def test_an_idle_connection_is_closed_without_a_word(rig, server):
    client = await rig.connect()
    assert await client.is_open()
    rig.pass_time(74)
    assert await client.is_open()
    rig.pass_time(76)
    assert await client.rest() == b""


async def test_a_connection_that_never_speaks_is_closed(rig, server):
    client = await rig.connect()
    await rig.until(lambda: server.connections)
    rig.pass_time(76)
    assert await client.rest() == b""


async def test_an_answer_that_does_not_come_is_a_503_and_the_handler_goes_on(rig, server, handlers):
    client = await rig.connect()
    client.send(b"GET /deferred HTTP/1.1\r\nHost: a\r\n\r\n")
    await rig.until(lambda: handlers.later)
    rig.pass_time(31)
    answer = await client.answer()
    assert (answer.status, answer.json["error"], answer.headers["retry-after"]) == (503, "timeout", "1")
    handlers.later[0].future.set_result(json_response(1))
    assert await client.is_open()
    assert handlers.later[0].asked == 1


async def test_a_request_after_a_long_pause_has_its_full_time(rig, server, handlers):
    client = await rig.connect()
    assert await client.is_open()
    rig.pass_time(60)
    client.send(b"GET /deferred HTTP/1.1\r\nHost: a\r\n\r\n")
    await rig.until(lambda: handlers.later)
    server.sweep()
    rig.pass_time(20)
    handlers.later[0].future.set_result(json_response(1))
    assert (await client.answer()).json == 1
    rig.pass_time(60)
    assert await client.is_open()


async def test_a_refused_client_that_never_stops_sending_is_cut(rig, server):
    client = await rig.connect()
    assert (await client.ask(b"nonsense\r\n\r\n")).status == 400
    assert server.connections == 1
    rig.pass_time(6)
    await rig.until(lambda: server.connections == 0)


# Bounds on heads and connections ---------------------------------------------------------------------------------


async def test_a_header_without_end_is_431(rig, server):
    client = await rig.connect()
    client.send(b"GET /hello HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000)
    answer = await client.answer()
    assert (answer.status, answer.json["error"]) == (431, "headers_too_large")


async def test_many_headers_are_431(rig, server):
    client = await rig.connect()
    client.send(b"GET /hello HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(4_000)) + b"\r\n")
    assert (await client.answer()).status == 431


async def test_a_small_bound_on_heads_is_kept_to_the_byte(rig, handlers):
    await rig.serve(routes(handlers), HttpLimits(head_bytes_max=1_000))
    fits = b"GET /hello HTTP/1.1\r\nHost: a\r\nX: " + b"x" * (1_000 - 9 - 5)
    assert (await rig.ask(fits + b"\r\n\r\n")).status == 200
    assert (await rig.ask(fits + b"x\r\n\r\n")).status == 431


async def test_a_long_target_is_414(rig, server):
    assert (await rig.ask(b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")).status == 414


async def test_connections_beyond_the_bound_are_told_and_closed(rig, handlers):
    server = await rig.serve(routes(handlers), HttpLimits(connections_max=2))
    first, second = await rig.connect(), await rig.connect()
    assert await first.is_open()
    assert await second.is_open()
    third = await rig.connect()
    assert (await third.answer()).status == 503
    assert await third.rest() == b""
    await third.close()
    await first.close()
    await rig.until(lambda: server.connections == 1)
    assert await (await rig.connect()).is_open()


async def test_a_thousand_connections_at_once_are_served(rig, server):
    clients = await asyncio.gather(*(rig.connect() for _ in range(1_000)))
    for _ in range(3):
        answers = await asyncio.gather(*(client.ask(post(b"%d" % n)) for n, client in enumerate(clients)))
        assert [answer.body for answer in answers] == [b"%d" % n for n in range(1_000)]
    assert server.connections == 1_000


# Stopping --------------------------------------------------------------------------------------------------------


async def test_stop_closes_idle_connections_at_once_and_finishes_what_has_begun(rig, server, handlers):
    idle, busy, reading = await rig.connect(), await rig.connect(), await rig.connect()
    assert await idle.is_open()
    busy.send(b"GET /deferred HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
    reading.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
    await rig.until(lambda: len(handlers.later) == 2 and server.body_bytes_held)
    port = server.port
    stopping = asyncio.ensure_future(server.stop(30))
    assert await idle.rest() == b""
    reading.send(b"cd")
    answer = await reading.answer()
    assert (answer.body, answer.headers["connection"]) == (b"abcd", "close")
    assert not stopping.done()
    for later in handlers.later:
        later.future.set_result(json_response(1))
    answers = [await busy.answer() for _ in range(2)]
    assert ["connection" in answer.headers for answer in answers] == [False, True]
    await stopping
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection("127.0.0.1", port)


async def test_stop_cuts_what_does_not_end_by_the_deadline(rig, server, handlers):
    client = await rig.connect()
    client.send(b"GET /coroutine HTTP/1.1\r\nHost: a\r\n\r\n")
    await rig.until(lambda: handlers.gates)
    await server.stop(0.01)
    assert handlers.gates[0].cancelled()
    assert await client.rest() == b""
    await server.stop(0.01)


async def test_a_client_that_is_gone_does_not_cancel_its_request(rig, server, handlers):
    client = await rig.connect()
    client.send(b"GET /deferred HTTP/1.1\r\nHost: a\r\n\r\n")
    await rig.until(lambda: handlers.later)
    client.reset()
    await rig.until(lambda: server.connections == 0)
    handlers.later[0].future.set_result(json_response(1))
    await rig.until(lambda: handlers.later[0].asked == 1)


async def test_a_port_in_use_is_a_clear_error(rig, server, clock):
    with pytest.raises(
        ConfigError, match=rf"Cannot listen on 127\.0\.0\.1, port {server.port}: Address already in use"
    ):
        await HttpServer(Router(), clock).start(["127.0.0.1"], server.port)
