"""A name server on loopback that answers what a test wants, and a lookup that asks it: real datagrams, real DNS."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Self

_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!HHHIH")
_A, _AAAA, _IN = 1, 28, 1


class NameServer(asyncio.DatagramProtocol):
    """Answers the n-th query with the n-th of ``answers``, and all further ones with the last: that is rebinding.

    :param answers: the addresses of each answer.
    """

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.queries: list[str] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self._address = self._transport.get_extra_info("sockname")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question_end = data.index(b"\0", _HEADER.size) + 5
        self.queries.append(_name(data))
        answer = self.answers[min(len(self.queries), len(self.answers)) - 1]
        records = b"".join(_record(ip) for ip in answer)
        ident = struct.unpack_from("!H", data)[0]
        head = _HEADER.pack(ident, 0x8180, 1, len(answer), 0, 0)
        self._transport.sendto(head + data[_HEADER.size : question_end] + records, addr)

    async def lookup(self, name: str, port: int) -> list[str]:
        """The addresses of ``name`` as this server tells them now."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()

        class Client(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
                answer.set_result(data)

        transport, _ = await loop.create_datagram_endpoint(Client, remote_addr=self._address)
        labels = b"".join(bytes((len(label),)) + label.encode() for label in name.rstrip(".").split("."))
        transport.sendto(_HEADER.pack(7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", _A, _IN))
        try:
            return _addresses(await asyncio.wait_for(answer, 10))
        finally:
            transport.close()


def _name(query: bytes) -> str:
    labels, at = [], _HEADER.size
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    return ".".join(labels)


def _record(ip: str) -> bytes:
    packed = ip_address(ip).packed
    return _RECORD.pack(0xC00C, _A if len(packed) == 4 else _AAAA, _IN, 0, len(packed)) + packed


def _addresses(answer: bytes) -> list[str]:
    count = _HEADER.unpack_from(answer)[3]
    at = answer.index(b"\0", _HEADER.size) + 5
    found = []
    for _ in range(count):
        kind, size = _RECORD.unpack_from(answer, at)[1], _RECORD.unpack_from(answer, at)[4]
        at += _RECORD.size
        found.append(socket.inet_ntop(socket.AF_INET if kind == _A else socket.AF_INET6, answer[at : at + size]))
        at += size
    return found
