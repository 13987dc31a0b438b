"""What counts as an answer: the status, once the headers are complete; whatever becomes of the body."""

import asyncio

import pytest

from roombell.engine.model import Answered, Failed, FailureKind
from roombell.testing import behaviours as play
from roombell.testing.endpoint import ScriptedEndpoint
from roombell.transport import HttpLimits


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize(
    "status", [200, 201, 202, 299, 300, 301, 302, 303, 307, 308, 304, 400, 404, 410, 429, 500, 503, 999]
)
async def test_every_status_is_an_answer_and_redirects_are_not_followed(connect, status):
    async with ScriptedEndpoint(play.redirect("http://127.0.0.1:1/elsewhere", status)) as endpoint:
        outcome = await connect(endpoint).send()
    assert isinstance(outcome, Answered)
    assert outcome.status == status
    assert len(endpoint.requests) == 1


async def test_retry_after_and_date_are_kept_as_they_came(connect):
    headers = [("retry-AFTER", "120"), ("Retry-After", "1"), ("Date", "Tue, 24 Nov 2026 03:12:00 GMT")]
    async with ScriptedEndpoint(play.reply(429, headers=headers)) as endpoint:
        outcome = await connect(endpoint).send()
    assert (outcome.retry_after, outcome.date) == ("120", "Tue, 24 Nov 2026 03:12:00 GMT")


async def test_kept_headers_have_a_bounded_length(connect):
    async with ScriptedEndpoint(play.reply(503, headers=[("Retry-After", "1" * 5000)])) as endpoint:
        outcome = await connect(endpoint).send()
    assert outcome.retry_after == "1" * 256


async def test_without_them_retry_after_and_date_are_none(connect):
    async with ScriptedEndpoint() as endpoint:
        outcome = await connect(endpoint).send()
    assert (outcome.retry_after, outcome.date) == (None, None)


async def test_the_duration_is_measured_by_the_clock(connect):
    async with ScriptedEndpoint() as endpoint:
        client = connect(endpoint)
        times = iter([100.0, 101.2345])
        client.transport._clock.monotonic = lambda: next(times)
        assert (await client.send()).duration_ms == 1234


async def test_the_excerpt_is_the_first_kilobyte_of_the_body(connect):
    async with ScriptedEndpoint([play.reply(500, b"why" * 1000), play.reply(200, b"ok")]) as endpoint:
        client = connect(endpoint)
        first, second = await client.send(), await client.send()
    assert first.excerpt == (b"why" * 1000)[:1024]
    assert (second.excerpt, second.reused_connection) == (b"ok", True)


@pytest.mark.parametrize(
    ("answer", "excerpt"),
    [
        pytest.param(
            head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n",
            b"abc",
            id="chunked",
        ),
        pytest.param(
            head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Trailer: X") + b"1\r\na\r\n0\r\nX: y\r\n\r\n",
            b"a",
            id="trailers",
        ),
        pytest.param(head("HTTP/1.1 204 No Content"), b"", id="204"),
        pytest.param(head("HTTP/1.1 304 Not Modified", "Content-Length: 5"), b"", id="304 with a length"),
        pytest.param(head("HTTP/1.1 200", "Content-Length: 0"), b"", id="no reason phrase"),
        pytest.param(
            head("HTTP/1.1 103 Early Hints", "Link: x") + head("HTTP/1.1 200 OK", "Content-Length: 0"), b"", id="103"
        ),
    ],
)
async def test_good_answers_keep_the_connection_whole_or_byte_by_byte(connect, answer, excerpt):
    async with ScriptedEndpoint([play.raw(answer), play.drip(answer), play.raw(answer)]) as endpoint:
        client = connect(endpoint)
        outcomes = [await client.send() for _ in range(3)]
    assert [outcome.excerpt for outcome in outcomes] == [excerpt] * 3
    assert [outcome.reused_connection for outcome in outcomes] == [False, True, True]


ODD = {
    "bytes after the answer": (play.surplus(), b""),
    "one byte after the answer": (play.surplus(b"H"), b""),
    "garbage after the answer": (play.surplus(b"\x00\xff"), b""),
    "204 with a body": (play.no_content_with_body(), b""),
    "a body that is cut short": (play.truncated_body(), b"partial"),
    "a body that is cut short by a reset": (play.reset(head("HTTP/1.1 200 OK", "Content-Length: 9") + b"part"), None),
    "invalid chunks": (play.invalid_chunking(), b""),
    "a chunked body that is cut short": (
        play.close(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"5\r\nab"),
        b"ab",
    ),
    "HTTP/1.0, ended by a close": (play.http_1_0(), b"old"),
    "HTTP/1.1 without a length, ended by a close": (play.close(head("HTTP/1.1 200 OK") + b"abc"), b"abc"),
    "Connection: close": (play.reply(200, b"bye", [("Connection", "close")]), b"bye"),
    "Keep-Alive: timeout=0": (play.reply(200, b"bye", [("Keep-Alive", "timeout=0, max=100")]), b"bye"),
    "an endless body": (play.endless_body(), b"x" * 1024),
    "endless chunk extensions": (
        play.endless(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"1;", b"x" * 10_000),
        b"",
    ),
    "endless trailers": (
        play.endless(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"0\r\n", b"X-Trailer: x\r\n" * 500),
        b"",
    ),
}


@pytest.mark.parametrize("name", ODD)
async def test_what_goes_wrong_after_the_headers_costs_the_connection_and_not_the_answer(connect, name):
    odd, excerpt = ODD[name]
    async with ScriptedEndpoint([odd, play.reply(202)]) as endpoint:
        client = connect(endpoint)
        first = await client.send()
        second = await client.send()
    assert isinstance(first, Answered)
    assert first.status in {200, 204}
    assert excerpt is None or first.excerpt == excerpt
    assert (second.status, second.reused_connection) == (202, False)


async def test_a_body_that_drips_is_given_a_short_grace(connect):
    limits = HttpLimits(body_grace_ms=30)
    async with ScriptedEndpoint([play.dripping_body(), play.reply(202)]) as endpoint:
        client = connect(endpoint, limits=limits)
        first, second = await client.send(), await client.send()
    assert first.status == 200
    assert set(first.excerpt) <= {ord("x")}
    assert first.duration_ms < 10_000
    assert (second.status, second.reused_connection) == (202, False)


async def test_a_body_that_drips_past_the_deadline_is_answered_all_the_same(connect, eventually):
    async with ScriptedEndpoint(play.dripping_body()) as endpoint:
        client = connect(endpoint, limits=HttpLimits(body_grace_ms=60_000))
        sending = asyncio.ensure_future(client.send())
        await eventually(lambda: any(one.status for one in client.connections))
        client.let_deadlines_pass()
        assert (await sending).status == 200


async def test_a_body_up_to_the_cap_keeps_the_connection_and_one_byte_more_does_not(connect):
    async with ScriptedEndpoint(
        [play.reply(body=b"x" * 65_536), play.reply(body=b"x" * 65_537), play.reply()]
    ) as endpoint:
        client = connect(endpoint)
        reused = [(await client.send()).reused_connection for _ in range(3)]
    assert reused == [False, True, False]


async def test_interim_answers_are_skipped_up_to_a_bound(connect):
    async with ScriptedEndpoint([play.interim(16, then=play.reply(200)), play.interim(17)]) as endpoint:
        client = connect(endpoint)
        first, second = await client.send(), await client.send()
    assert (first.status, first.retry_after) == (200, None)
    assert (second.kind, "16 interim" in second.detail) == (FailureKind.PROTOCOL, True)


async def test_headers_of_an_interim_answer_are_not_the_answers(connect):
    early = head("HTTP/1.1 103 Early Hints", "Retry-After: 99")
    async with ScriptedEndpoint(play.raw(early, play.answer_bytes(503))) as endpoint:
        assert (await connect(endpoint).send()).retry_after is None


PROTOCOL = {
    "ssh": (play.garbage(), "does not speak HTTP"),
    "our own request echoed": (play.garbage(b"POST /webhook HTTP/1.1\r\n\r\n"), "does not speak HTTP"),
    "a TLS alert": (play.garbage(b"\x15\x03\x01\x00\x02\x02\x46"), "use https://"),
    "zeros": (play.garbage(bytes(100)), "does not speak HTTP"),
    "HTTP/2": (play.garbage(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00"), "does not speak HTTP"),
    "HTTP/0.9": (play.garbage(b"<html>hello</html>"), "does not speak HTTP"),
    "a status of four digits": (play.garbage(head("HTTP/1.1 2000 OK")), "not valid HTTP"),
    "a status below 100": (play.garbage(head("HTTP/1.1 099 No")), "below 100"),
    "a status of letters": (play.garbage(head("HTTP/1.1 OK")), "not valid HTTP"),
    "101": (play.garbage(head("HTTP/1.1 101 Switching", "Upgrade: x", "Connection: Upgrade")), "101"),
    "101 without upgrade": (play.garbage(head("HTTP/1.1 101 Switching")), "101"),
    "two lengths": (play.reply(headers=[("Content-Length", "0"), ("Content-Length", "0")]), "not valid HTTP"),
    "a length and chunks": (
        play.reply(headers=[("Content-Length", "5"), ("Transfer-Encoding", "chunked")]),
        "not valid HTTP",
    ),
    "a negative length": (play.reply(headers=[("Content-Length", "-1")]), "not valid HTTP"),
    "a length beyond all numbers": (play.reply(headers=[("Content-Length", "9" * 40)]), "not valid HTTP"),
    "a header with a zero byte": (play.reply(headers=[("X", "a\x00b")]), "not valid HTTP"),
    "a giant header": (play.giant_header(), "headers larger than 65536 bytes"),
    "many headers": (play.reply(headers=[(f"X-{n}", "x" * 100) for n in range(700)]), "headers larger than"),
    "an endless header": (play.endless(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 1000), "headers larger than"),
    "an endless status line": (play.endless(b"HTTP/1.1 200 O", b"K" * 1000), "headers larger than"),
}


@pytest.mark.parametrize("name", PROTOCOL)
async def test_what_is_no_http_answer_is_a_protocol_failure_and_the_next_attempt_is_clean(connect, name):
    wrong, told = PROTOCOL[name]
    async with ScriptedEndpoint([wrong, play.reply(202)]) as endpoint:
        client = connect(endpoint)
        first, second = await client.send(), await client.send()
    assert isinstance(first, Failed)
    assert first.kind is FailureKind.PROTOCOL
    assert told in first.detail
    assert f"127.0.0.1:{endpoint.port}" in first.detail
    assert (second.status, second.reused_connection) == (202, False)


async def test_an_answer_before_the_body_was_taken_counts_and_costs_the_connection(connect):
    """A 413 that comes while the body is still on its way."""

    async def refuse_early(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()
        writer.write(play.answer_bytes(413))
        await writer.drain()
        await gone.wait()
        writer.transport.abort()

    gone = asyncio.Event()
    server = await asyncio.start_server(refuse_early, "127.0.0.1", 0)
    client = connect(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    outcome = await client.send(body=bytes(30_000_000))
    assert (outcome.status, len(client.transport._routes[1].pool._idle)) == (413, 0)
    gone.set()
    server.close()
    await server.wait_closed()


def echo(status: int):
    """An error page that repeats the request, as debugging pages do."""

    def answer(request) -> play.Behaviour:
        lines = [f"Cannot POST {request.target}", *(f"{name}: {value}" for name, value in request.headers)]
        return play.reply(status, "\n".join(lines).encode())

    return answer


CONFIDENTIAL = (("X-Api-Key", "key-for-the-customer"), ("X-Team", "a-team-with-a-name"), ("X-Short", "no"))
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize("status", [400, 500])
async def test_an_answer_that_repeats_the_request_gives_no_secret_away(connect, status):
    async with ScriptedEndpoint(echo(status)) as endpoint:
        url = endpoint.url.replace("/webhook", "/hooks/T0KEN9/v1?key=abc123def&who=me")
        client = connect(url, headers=CONFIDENTIAL, secrets=(STANDARD_SECRET,))
        told = (await client.send()).excerpt.decode()
        (request,) = endpoint.requests
    signatures = [request.header("Authorization"), request.header("Webhook-Signature")]
    for secret in (*signatures, "T0KEN9", "abc123def", "key-for-the-customer", "a-team-with-a-name"):
        assert secret in "".join([request.target, *(value for _, value in request.headers)])
        assert secret not in told
    assert told.startswith("Cannot POST /hooks/[hidden]/v1?key=[hidden]&who=me\n")
    assert "X-Short: no\n" in told


@pytest.mark.parametrize("cut", [1024, 1023, 1010, 900])
async def test_a_secret_that_is_cut_off_where_the_excerpt_ends_is_hidden_too(connect, cut):
    def answer(request) -> play.Behaviour:
        return play.reply(400, b"." * (1024 - cut) + request.header("Authorization").encode() * 5)

    async with ScriptedEndpoint(answer) as endpoint:
        told = (await connect(endpoint).send()).excerpt
        token = endpoint.requests[0].header("Authorization").encode()
    assert b"[hidden]" in told
    assert not any(token[i : i + 8] in told for i in range(0, len(token) - 8, 4))
