"""From a URL to an open connection, in three steps that stand apart: resolve, judge the addresses, dial one of them.

What is dialled is the very address that was resolved and judged, never the name again, so that a name server cannot
answer the judge with one address and the connection with another. TLS and ``Host`` go by the name all the same.

Addresses are tried one after another, in the resolver's order (RFC 6724 has sorted them already). Racing them
(RFC 8305) was rejected: it halves the wait for a browser's first click, and opens connections that an endpoint under
load must pay for; here a connection lives long and the next attempt is soon.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final, TypeVar

import msgspec

from roombell.engine.model import FailureKind
from roombell.transport.failures import Trouble, TroubleError, connect_trouble, dns_trouble
from roombell.transport.guard import Guard, Ruling
from roombell.transport.target import HttpLimits
from roombell.transport.threads import Threads
from roombell.transport.tls import ClientTls
from roombell.transport.url import EndpointUrl

P = TypeVar("P", bound=asyncio.BaseProtocol)
LOOKUPS_MAX: Final = 64
"""Names that are looked up at the same time."""


class Address(msgspec.Struct, frozen=True):
    """An IP address and a port: all that dialling needs, and all that a judge may go by."""

    ip: str
    port: int

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


class Progress:
    """What is being waited for, in words for the sentence that a timeout ends in, and whose fault a timeout is."""

    __slots__ = ("blames", "doing")

    def __init__(self, doing: str) -> None:
        self.doing = doing
        self.blames = FailureKind.TIMEOUT_CONNECT


Lookup = Callable[[str, int], Awaitable[Iterable[str]]]
"""The IP addresses of a name, for a port, in the order in which to try them. Raises what ``getaddrinfo`` raises."""


class Resolver:
    """Turns names into addresses, with one lookup at a time for each name.

    A lookup that hangs cannot be called off: it holds a thread until the system gives up. That all who ask for the name
    share one lookup keeps an endpoint whose name server is dead from taking more than one. The threads are the
    resolver's own: an event loop has a handful, which as many dead name servers would take up. Answers are not kept:
    the system's resolver knows for how long they hold.

    :param lookup: asks somebody else than the system's resolver.
    """

    def __init__(self, addresses_max: int, lookup: Lookup | None = None) -> None:
        self._addresses_max = addresses_max
        self._lookup = lookup or self._system_lookup
        self._threads = Threads(LOOKUPS_MAX, "name lookup")
        self._lookups: dict[str, asyncio.Task[tuple[Address, ...] | Trouble]] = {}

    async def resolve(self, url: EndpointUrl) -> tuple[Address, ...]:
        """The addresses of ``url``, in the order in which they should be tried; at least one.

        :raises TroubleError: the name has none.
        """
        if is_canonical(url.host):
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
        self._threads.close()
        lookups = tuple(self._lookups.values())
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)

    async def _system_lookup(self, name: str, port: int) -> Iterable[str]:
        """The hosts file, name servers and whatever else this machine goes by."""
        look_up = partial(socket.getaddrinfo, name, port, type=socket.SOCK_STREAM)
        return [str(sockaddr[0]) for *_, sockaddr in await asyncio.wrap_future(self._threads.submit(look_up))]

    async def _look_up(self, url: EndpointUrl) -> tuple[Address, ...] | Trouble:
        try:
            ips = dict.fromkeys(await self._lookup(url.name_to_resolve, url.port))
        except OSError as error:
            return dns_trouble(error, url.host)
        except UnicodeError:
            return Trouble(FailureKind.DNS, f"Cannot resolve {url.host}: it is not a host name.")
        if not ips:
            return Trouble(FailureKind.DNS, f"Cannot resolve {url.host}: the name has no address.")
        return tuple(Address(ip, url.port) for ip in ips)[: self._addresses_max]


class Dialer:
    """Opens connections to one URL, at addresses that its guard lets pass."""

    def __init__(
        self,
        url: EndpointUrl,
        *,
        resolver: Resolver,
        guard: Guard,
        tls: ClientTls | None,
        timeout_s: float,
        limits: HttpLimits,
    ) -> None:
        self._url = url
        self._resolver = resolver
        self._guard = guard
        self._tls = tls.context if tls is not None else None
        self._timeout_s = timeout_s
        self._address_timeout_s = limits.address_timeout_ms / 1000

    async def addresses(self, progress: Progress) -> tuple[Address, ...]:
        """The URL's addresses that may be connected to, at least one, resolved now.

        :raises TroubleError: it has none, or all of them are forbidden.
        """
        progress.doing = f"resolving {self._url.host}"
        found = await self._resolver.resolve(self._url)
        rulings = [(address, self._guard.ruling(address.ip)) for address in found]
        allowed = tuple(address for address, ruling in rulings if ruling is None)
        if not allowed:
            address, ruling = rulings[0]
            assert ruling is not None
            raise TroubleError(FailureKind.BLOCKED, blocked_sentence(self._url.origin, address.ip, ruling))
        return allowed

    async def connect(self, factory: Callable[[], P], progress: Progress) -> P:
        """The protocol of a new connection, its TLS handshake done. The caller sets the deadline for the whole.

        :raises TroubleError: no address could be connected to; the last one's reason.
        """
        addresses = await self.addresses(progress)
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


def blocked_sentence(origin: str, ip: str, ruling: Ruling) -> str:
    """Why an address is forbidden, for a person: the address, the rule, and how to open it."""
    at = f"at {ip}" if ruling.ip == ip else f"at {ip}, which leads to {ruling.ip}"
    network = f" ({ruling.network})" if ruling.network else ""
    return (
        f"{origin} may not be sent to: it is {at}, and that is forbidden: {ruling.why}{network}. "
        f"If it is meant, {ruling.mend}."
    )


def is_address(host: str) -> bool:
    """Whether ``host`` is an IP address in any spelling that the system understands: decimal, octal, hex, shortened."""
    try:
        socket.inet_aton(host)
    except OSError:
        return is_canonical(host)
    return True


def is_canonical(host: str) -> bool:
    """Whether ``host`` is an IP address in the spelling that everybody reads alike."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
