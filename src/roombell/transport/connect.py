"""From a URL to an open connection, in three steps that stand apart: resolve, choose an address, dial that address.

Between the first and the last a guard may judge the addresses: what is dialled is the very address that was resolved,
never the name again, so that a name server cannot answer the judge with one address and the connection with another.
TLS and ``Host`` go by the name all the same.

Addresses are tried one after another, in the resolver's order (RFC 6724 has sorted them already). Racing them
(RFC 8305) was rejected: it halves the wait for a browser's first click, and opens connections that an endpoint under
load must pay for; here a connection lives long and the next attempt is soon.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

import msgspec

from roombell.engine.model import FailureKind
from roombell.transport.failures import Trouble, TroubleError, connect_trouble, dns_trouble
from roombell.transport.target import HttpLimits
from roombell.transport.url import EndpointUrl

P = TypeVar("P", bound=asyncio.BaseProtocol)


class Address(msgspec.Struct, frozen=True):
    """An IP address and a port: all that dialling needs, and all that a judge may go by."""

    ip: str
    port: int

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


class Progress:
    """What is being waited for, in words for the sentence that a timeout ends in."""

    __slots__ = ("doing",)

    def __init__(self, doing: str) -> None:
        self.doing = doing


class Resolver:
    """Turns names into addresses, with one lookup at a time for each name.

    A lookup that hangs cannot be called off: it holds a thread of the loop's pool until the system gives up. That all
    who ask for the name share one lookup keeps an endpoint whose name server is dead from taking the whole pool, which
    would stop every other endpoint. Answers are not kept: the system's resolver knows for how long they hold.
    """

    def __init__(self, addresses_max: int) -> None:
        self._addresses_max = addresses_max
        self._lookups: dict[str, asyncio.Task[tuple[Address, ...] | Trouble]] = {}

    async def resolve(self, url: EndpointUrl) -> tuple[Address, ...]:
        """The addresses of ``url``, in the order in which they should be tried; at least one.

        :raises TroubleError: the name has none.
        """
        if _is_ip(url.host):
            return (Address(url.host, url.port),)
        key = f"{url.name_to_resolve}:{url.port}"
        lookup = self._lookups.get(key)
        if lookup is None:
            lookup = self._lookups[key] = asyncio.create_task(self._look_up(url))
            lookup.add_done_callback(lambda _: self._lookups.pop(key, None))
        found = await asyncio.shield(lookup)
        if isinstance(found, Trouble):
            raise TroubleError(found.kind, found.detail)
        return found

    async def close(self) -> None:
        """Stops waiting for lookups."""
        lookups = tuple(self._lookups.values())
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)

    async def _look_up(self, url: EndpointUrl) -> tuple[Address, ...] | Trouble:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(url.name_to_resolve, url.port, type=socket.SOCK_STREAM)
        except OSError as error:
            return dns_trouble(error, url.host)
        except UnicodeError:
            return Trouble(FailureKind.DNS, f"Cannot resolve {url.host}: it is not a host name.")
        ips = dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found)
        if not ips:
            return Trouble(FailureKind.DNS, f"Cannot resolve {url.host}: the name has no address.")
        return tuple(Address(ip, url.port) for ip in ips)[: self._addresses_max]


class Dialer:
    """Opens connections to one URL."""

    def __init__(
        self, url: EndpointUrl, *, resolver: Resolver, tls: ssl.SSLContext | None, timeout_s: float, limits: HttpLimits
    ) -> None:
        self._url = url
        self._resolver = resolver
        self._tls = tls
        self._timeout_s = timeout_s
        self._address_timeout_s = limits.address_timeout_ms / 1000

    async def connect(self, factory: Callable[[], P], progress: Progress) -> P:
        """The protocol of a new connection, its TLS handshake done. The caller sets the deadline for the whole.

        :raises TroubleError: no address could be connected to; the last one's reason.
        """
        progress.doing = f"resolving {self._url.host}"
        addresses = await self._resolver.resolve(self._url)
        trouble = Trouble(FailureKind.DNS, f"Cannot resolve {self._url.host}: the name has no address.")
        for address in addresses:
            progress.doing = f"connecting to {address}"
            try:
                async with asyncio.timeout(None if address is addresses[-1] else self._address_timeout_s):
                    return await self._dial(address, factory)
            except OSError as error:
                trouble = connect_trouble(error, self._url.origin, str(address), is_tls=self._tls is not None)
            if trouble.kind is FailureKind.TLS:
                break
        raise TroubleError(trouble.kind, trouble.detail)

    async def _dial(self, address: Address, factory: Callable[[], P]) -> P:
        loop = asyncio.get_running_loop()
        if self._tls is None:
            _, protocol = await loop.create_connection(factory, address.ip, address.port)
            return protocol
        _, protocol = await loop.create_connection(
            factory,
            address.ip,
            address.port,
            ssl=self._tls,
            server_hostname=self._url.host,
            # The attempt's own deadline comes first; the loop's default of 60 s would cut a longer one short.
            ssl_handshake_timeout=self._timeout_s + 1,
        )
        return protocol


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
