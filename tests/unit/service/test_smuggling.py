"""What must never pass for a request, or for two.

Each case is sent with a second request behind it: an answer to that one would mean that the first was misread.
"""

from __future__ import annotations

import pytest

from roombell.service.messages import Response, json_response
from roombell.service.router import Router

NEXT = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"

REFUSED = {
    "a length and a coding": (POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a coding and a length": (CHUNKED + b"Content-Length: 3\r\n\r\n0\r\n\r\n", 400),
    "two equal lengths": (POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    "two lengths": (POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
    "a list of lengths": (POST + b"Content-Length: 3, 3\r\n\r\nabc", 400),
    "a signed length": (POST + b"Content-Length: +3\r\n\r\nabc", 400),
    "a negative length": (POST + b"Content-Length: -3\r\n\r\nabc", 400),
    "a hexadecimal length": (POST + b"Content-Length: 0x3\r\n\r\nabc", 400),
    "an empty length": (POST + b"Content-Length: \r\n\r\nabc", 400),
    "a length in two parts": (POST + b"Content-Length: 3 0\r\n\r\nabc", 400),
    "a length beyond 64 bits": (POST + b"Content-Length: 18446744073709551619\r\n\r\nabc", 400),
    "chunked not last": (POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    "chunked twice": (CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a coding we do not undo": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "a coding that looks like chunked": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    "the identity coding": (POST + b"Transfer-Encoding: identity\r\n\r\n", 501),
    "a vertical tab before chunked": (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "a coding in HTTP/1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a folded header": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
    "a folded length": (POST + b"Content-Length:\r\n 3\r\n\r\nabc", 400),
    "a first header after a space": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "a space before the colon": (POST + b"Content-Length : 3\r\n\r\nabc", 400),
    "a tab before the colon": (POST + b"Content-Length\t: 3\r\n\r\nabc", 400),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "a bare line feed in the head": (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
    "a bare carriage return": (b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400),
    "a zero byte": (b"GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n", 400),
    "a control character": (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400),
    "a header without a name": (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
    "a header without a colon": (b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400),
    "a name with a parenthesis": (b"GET / HTTP/1.1\r\nHost: a\r\nX(: b\r\n\r\n", 400),
    "a name beyond ASCII": (b"GET / HTTP/1.1\r\nHost: a\r\nX\xff: b\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "no host, with a word on staying open": (b"GET / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 505),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    "HTTP/2.0 that stays open": (b"GET / HTTP/2.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", 505),
    "HTTP/2's preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "a proxy's request": (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "a method in lower case": (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a space in the target": (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a byte beyond ASCII in the target": (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a chunk size with 0x": (CHUNKED + b"\r\n0x3\r\nabc\r\n0\r\n\r\n", 400),
    "a negative chunk size": (CHUNKED + b"\r\n-3\r\nabc\r\n0\r\n\r\n", 400),
    "a space after the chunk size": (CHUNKED + b"\r\n3 \r\nabc\r\n0\r\n\r\n", 400),
    "a chunk size beyond 64 bits": (CHUNKED + b"\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n", 400),
    "a chunk size ended by a line feed": (CHUNKED + b"\r\n3\nabc\r\n0\r\n\r\n", 400),
    "a chunk extension ended by a line feed": (CHUNKED + b"\r\n3;a\nabc\r\n0\r\n\r\n", 400),
    "a chunk longer than its size": (CHUNKED + b"\r\n3\r\nabcd\r\n0\r\n\r\n", 400),
    "a chunk without its line end": (CHUNKED + b"\r\n3\r\nabcX0\r\n\r\n", 400),
    "a length among the trailers": (CHUNKED + b"\r\n0\r\nContent-Length: 3\r\n\r\n", 400),
    "an upgrade with two framings": (
        POST + b"Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
}

TAKEN = {
    "empty lines before the request": b"\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    "white space around a length": POST + b"Content-Length:\t 3 \t\r\n\r\nabc",
    "an underscore in place of a hyphen": POST + b"Content_Length: 99\r\nContent-Length: 3\r\n\r\nabc",
    "a length named by Connection": POST + b"Connection: Content-Length\r\nContent-Length: 3\r\n\r\nabc",
    "chunked in capitals": POST + b"Transfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "an upgrade whose body looks like a request": POST
    + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc",
}


@pytest.fixture
async def seen(rig):
    paths: list[str] = []

    def echo(request):
        paths.append(request.path)
        return Response(200, request.body, b"text/plain")

    def smuggled(request):
        paths.append(request.path)
        return json_response({"smuggled": True})

    router = Router()
    router.add("/", POST=echo, GET=echo)
    router.add("/smuggled", GET=smuggled)
    await rig.serve(router)
    return paths


@pytest.mark.parametrize(("sent", "status"), REFUSED.values(), ids=REFUSED)
async def test_what_can_be_read_in_two_ways_is_refused_and_ends_the_connection(rig, seen, sent, status):
    client = await rig.connect()
    client.send(sent + NEXT)
    answer = await client.answer()
    assert (answer.status, answer.headers["connection"], set(answer.json)) == (status, "close", {"error", "message"})
    assert await client.rest() == b""
    assert seen == []


@pytest.mark.parametrize("sent", TAKEN.values(), ids=TAKEN)
async def test_what_can_be_read_in_one_way_ends_where_it_ends(rig, seen, sent):
    client = await rig.connect()
    client.send(sent + NEXT)
    assert (await client.answer()).body == b"abc"
    assert (await client.answer()).json == {"smuggled": True}
    assert seen == ["/", "/smuggled"]
