"""What a transport is told about an endpoint, and the bounds it works within."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from roombell._version import __version__
from roombell.errors import UsageError
from roombell.signing.standard import StandardSigner
from roombell.transport.guard import NetworkPolicy
from roombell.transport.headers import check_custom_headers
from roombell.transport.proxy import parse_proxy
from roombell.transport.tls import ClientTls
from roombell.transport.url import parse_url

USER_AGENT: Final = f"LiveKit (Roombell/{__version__})"
"""Begins as LiveKit's own does, so that firewalls and proxies that let LiveKit's webhooks pass let ours pass too."""


class HttpTarget(msgspec.Struct, frozen=True):
    """An endpoint, as the transport needs to know it. Its representation hides headers, path and query."""

    name: str
    url: str
    api_key: str
    """Which key of the ring signs."""
    headers: tuple[tuple[str, str], ...] = ()
    """The operator's own headers; none of the protocol's may be among them."""
    timeout_ms: int = 15_000
    """For a whole attempt, from the moment it is asked for to the end of the answer's headers."""
    connect_timeout_ms: int | None = None
    """For resolving, connecting and the TLS handshake together, where that is to be less."""
    wait_timeout_ms: int | None = None
    """From sending the request to the end of the answer's headers, where that is to be less."""
    connections_max: int = 64
    secrets: tuple[str, ...] = ()
    """Standard Webhooks' secrets, each of which signs besides LiveKit's token."""
    network: NetworkPolicy = NetworkPolicy()
    """Where the endpoint may be."""
    proxy: str = ""
    """A forward proxy's URL; empty for none."""
    tls: ClientTls | None = None
    """None: the system's authorities, TLS 1.2 or newer."""

    def check(self) -> None:
        """Refuses what could not be sent.

        :raises UsageError: names the endpoint, the field and what it may be; ``EndpointUrlError`` for the URL.
        """
        try:
            parse_url(self.url)
            check_custom_headers(self.headers)
            for name, value in self._numbers():
                _check_at_least_one(name, value)
            self.network.check()
            if self.proxy:
                parse_proxy(self.proxy)
            if self.secrets:
                StandardSigner(self.secrets)
        except UsageError as error:
            raise type(error)(f"Endpoint {self.name!r}: {error}") from None

    def _numbers(self) -> Iterator[tuple[str, int]]:
        yield "timeout_ms", self.timeout_ms
        yield "connections_max", self.connections_max
        if self.connect_timeout_ms is not None:
            yield "connect_timeout_ms", self.connect_timeout_ms
        if self.wait_timeout_ms is not None:
            yield "wait_timeout_ms", self.wait_timeout_ms

    def __repr__(self) -> str:
        return f"<HttpTarget {self.name!r}>"


def _check_at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise UsageError(f"{name} is {value}; it must be at least 1.")


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on what any one endpoint can make the transport do."""

    header_bytes_max: int = 65_536
    """An answer whose status line and headers are longer is a protocol failure."""
    body_bytes_max: int = 65_536
    """An answer's body is read to here; past it the answer counts as it stands and the connection is dropped."""
    excerpt_bytes_max: int = 1_024
    """How much of the body is kept for people to read."""
    body_grace_ms: int = 1_000
    """How long the body may take once the headers are complete, within the attempt's timeout."""
    interim_max: int = 16
    """How many 1xx answers are skipped before the real one."""
    idle_timeout_ms: int = 30_000
    """An unused connection is closed after this; ``Keep-Alive: timeout`` may make it shorter."""
    addresses_max: int = 8
    """How many of a name's addresses are tried."""
    address_timeout_ms: int = 3_000
    """How long one address is tried while there is another; the last one has what is left of the attempt's time."""
