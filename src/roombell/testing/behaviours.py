"""What a scripted endpoint can do with a request, from a plain answer to everything that real endpoints do wrong.

Each function makes a ``Behaviour``, which can be played any number of times. After it the connection stays open for the
next request, unless the behaviour has closed it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Final, Literal

import msgspec

from roombell.testing.wire import Turn

Ending = Literal["keep", "close", "reset", "silence"]
"""What follows the last byte: nothing, a close in good form, a broken connection, or an open one that says no more."""

_CHUNK: Final = b"x" * 65_536


class Behaviour(msgspec.Struct, frozen=True):
    """One way to treat a request."""

    name: str
    play: Callable[[Turn], Awaitable[None]]

    def __repr__(self) -> str:
        return f"<Behaviour {self.name}>"


def answer_bytes(
    status: int = 200, body: bytes = b"", headers: Iterable[tuple[str, str]] = (), *, version: str = "1.1"
) -> bytes:
    """A whole HTTP answer. ``Content-Length`` is set where the status may have a body and no header says otherwise."""
    lines = [f"HTTP/{version} {status} {_reason(status)}", *(f"{name}: {value}" for name, value in headers)]
    framed = any(name.lower() in {"content-length", "transfer-encoding"} for name, _ in headers)
    if not framed and status not in {204, 304} and status >= HTTPStatus.OK:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def reply(status: int = 200, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()) -> Behaviour:
    """Answers as it should be."""
    return raw(answer_bytes(status, body, tuple(headers)), name=f"reply({status})")


def redirect(location: str, status: int = 302) -> Behaviour:
    """Sends the client elsewhere."""
    return reply(status, headers=(("Location", location),))


def hold(until: asyncio.Event, then: Behaviour | None = None) -> Behaviour:
    """Waits for the test to set ``until``, and goes on with ``then`` (by default a 200)."""
    follower = then or reply()

    async def play(turn: Turn) -> None:
        await until.wait()
        await follower.play(turn)

    return Behaviour(f"hold, then {follower.name}", play)


def raw(*segments: bytes, ending: Ending = "keep", name: str = "raw") -> Behaviour:
    """Sends bytes as they are, each argument in a segment of its own."""

    async def play(turn: Turn) -> None:
        for segment in segments:
            await turn.write(segment)
        await _end(turn, ending)

    return Behaviour(name, play)


def drip(data: bytes | None = None, *, gap_s: float = 0.0, ending: Ending = "keep") -> Behaviour:
    """Sends ``data`` (by default a 200) one byte at a time, with a pause after each."""
    dripped = answer_bytes() if data is None else data

    async def play(turn: Turn) -> None:
        for byte in dripped:
            await turn.write(bytes((byte,)))
            await asyncio.sleep(gap_s)
        await _end(turn, ending)

    return Behaviour("drip", play)


def endless(head: bytes, chunk: bytes, *, gap_s: float = 0.0) -> Behaviour:
    """Sends ``head``, and then ``chunk`` again and again until the client leaves."""

    async def play(turn: Turn) -> None:
        await turn.write(head)
        while True:
            await turn.write(chunk)
            await asyncio.sleep(gap_s)

    return Behaviour("endless", play)


def silence() -> Behaviour:
    """Takes the request and never answers."""
    return raw(ending="silence", name="silence")


def close(after: bytes = b"") -> Behaviour:
    """Closes the connection, with or without a part of an answer."""
    return raw(after, ending="close", name="close")


def reset(after: bytes = b"") -> Behaviour:
    """Breaks the connection, with or without a part of an answer."""
    return raw(after, ending="reset", name="reset")


def truncated_body(status: int = 200, body: bytes = b"partial") -> Behaviour:
    """Promises a body of 1000 bytes, sends less, and closes."""
    head = answer_bytes(status, headers=(("Content-Length", "1000"),))
    return raw(head + body, ending="close", name="truncated_body")


def endless_body(status: int = 200) -> Behaviour:
    """A body without end, as fast as the client reads."""
    return endless(answer_bytes(status, headers=(("Content-Length", str(2**62)),)), _CHUNK)


def dripping_body(status: int = 200, *, gap_s: float = 0.005) -> Behaviour:
    """A body without end, one byte at a time."""
    return endless(answer_bytes(status, headers=(("Content-Length", str(2**62)),)), b"x", gap_s=gap_s)


def dripping_header(*, gap_s: float = 0.005) -> Behaviour:
    """A header without end, one byte at a time."""
    return endless(b"HTTP/1.1 200 OK\r\nX-Endless: ", b"x", gap_s=gap_s)


def giant_header(value_bytes: int = 1_000_000) -> Behaviour:
    """An answer whose headers are larger than anyone needs."""
    return reply(headers=(("X-Giant", "x" * value_bytes),))


def http_1_0(status: int = 200, body: bytes = b"old") -> Behaviour:
    """Answers in HTTP/1.0, the body ended by the end of the connection."""
    head = f"HTTP/1.0 {status} {_reason(status)}\r\n\r\n".encode()
    return raw(head + body, ending="close", name="http_1_0")


def interim(count: int = 1, status: int = 100, then: Behaviour | None = None) -> Behaviour:
    """Sends 1xx answers before the real one."""
    follower = then or reply()

    async def play(turn: Turn) -> None:
        for _ in range(count):
            await turn.write(answer_bytes(status))
        await follower.play(turn)

    return Behaviour(f"{count} x {status}, then {follower.name}", play)


def surplus(extra: bytes = b"HTTP/1.1 500 Never asked for\r\n\r\n", status: int = 200) -> Behaviour:
    """Sends bytes after the answer, in the same segment: the start of an answer that nobody asked for."""
    return raw(answer_bytes(status) + extra, name="surplus")


def invalid_chunking(status: int = 200) -> Behaviour:
    """Announces chunks and sends something else."""
    head = answer_bytes(status, headers=(("Transfer-Encoding", "chunked"),))
    return raw(head + b"not a chunk size\r\n", ending="silence", name="invalid_chunking")


def no_content_with_body() -> Behaviour:
    """A 204 that has a body all the same."""
    return raw(answer_bytes(204, headers=(("Content-Length", "4"),)) + b"body", name="no_content_with_body")


def garbage(data: bytes = b"SSH-2.0-OpenSSH_9.6\r\n") -> Behaviour:
    """Something that is not HTTP."""
    return raw(data, ending="silence", name="garbage")


async def _end(turn: Turn, ending: Ending) -> None:
    match ending:
        case "close":
            turn.close()
        case "reset":
            turn.reset()
        case "silence":
            await turn.until_client_leaves()
        case "keep":
            pass


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
