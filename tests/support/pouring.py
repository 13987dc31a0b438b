"""Many signed webhooks as fast as the service takes them: a few connections, several requests at a time on each."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable, Iterator

from roombell.signing import KeyRing
from support.service import API_KEY, SECRET, ServiceProcess

CONNECTIONS = 16
REQUESTS_AT_A_TIME = 16


async def pour(service: ServiceProcess, bodies: Iterable[bytes]) -> None:
    """Sends ``bodies``, each until it is answered 200. Those of one room may be accepted in any order."""
    ring, left = KeyRing({API_KEY: SECRET}), iter(bodies)
    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(_pour(service.port, ring, left))


async def _pour(port: int, ring: KeyRing, left: Iterator[bytes]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while some := list(itertools.islice(left, REQUESTS_AT_A_TIME)):
            while some:
                writer.write(b"".join(_request(ring, body) for body in some))
                statuses = [await _status(reader) for _ in some]
                assert set(statuses) <= {200, 503}
                some = [body for body, status in zip(some, statuses, strict=True) if status == 503]
    finally:
        writer.close()
        await writer.wait_closed()


def _request(ring: KeyRing, body: bytes) -> bytes:
    token = ring.sign(body, api_key=API_KEY, now=time.time()).encode()
    head = b"POST /webhook HTTP/1.1\r\nHost: roombell\r\nAuthorization: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (token, len(body)) + body


async def _status(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.partition(b":")[2]))
    return int(head.split(b" ", 2)[1])
